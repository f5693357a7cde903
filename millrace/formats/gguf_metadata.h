// The metadata of a GGUF file: keys with typed values, read with errors that name file and key.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace millrace {

/// An array of values of one type. The alternatives of the variant, here and in GgufValue, stand
/// in the order of GGUF's type numbers: index() is the number.
struct GgufArray {
  std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>,
               std::vector<int16_t>, std::vector<uint32_t>, std::vector<int32_t>,
               std::vector<float>, std::vector<bool>, std::vector<std::string>,
               std::vector<GgufArray>, std::vector<uint64_t>, std::vector<int64_t>,
               std::vector<double>>
      values;
  bool operator==(const GgufArray&) const = default;
};

using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string, GgufArray, uint64_t, int64_t, double>;

/// Keys and values in the order in which they were added.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  /// `source` begins every error message.
  explicit GgufMetadata(std::string source) : source_(std::move(source)) {}

  /// Adds a key or replaces its value. The alternative of the value is the type in the file.
  void set(std::string key, GgufValue value);
  /// As set, with an array of std::vector<T> for a T of GgufArray.
  template <typename T>
  void set_array(std::string key, std::vector<T> values) {
    set(std::move(key), GgufArray{std::move(values)});
  }
  void erase(std::string_view key);

  /// nullptr when there is no such key.
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// The value as a T: bool, int32_t, int64_t, uint32_t, uint64_t, float, double, std::string.
  /// Integers of any width convert when they fit, and to floats; floats only to floats. Throws
  /// Error when the key is missing or its value is something else.
  template <typename T>
  T get(std::string_view key) const;
  /// As get, but nullopt when the key is missing.
  template <typename T>
  std::optional<T> get_optional(std::string_view key) const;
  /// The array as a vector of T, each element converted as by get.
  template <typename T>
  std::vector<T> get_array(std::string_view key) const;
  /// As get_array, but nullopt when the key is missing.
  template <typename T>
  std::optional<std::vector<T>> get_optional_array(std::string_view key) const;

  using Entries = std::vector<std::pair<std::string, GgufValue>>;
  size_t size() const { return entries_.size(); }
  Entries::const_iterator begin() const { return entries_.begin(); }
  Entries::const_iterator end() const { return entries_.end(); }
  const std::string& source() const { return source_; }

 private:
  std::string source_ = "GGUF metadata";
  Entries entries_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace millrace
