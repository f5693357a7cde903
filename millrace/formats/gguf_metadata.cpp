#include "millrace/formats/gguf_metadata.h"

#include <limits>
#include <type_traits>

#include "millrace/base/error.h"

namespace millrace {
namespace {

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <typename T>
constexpr const char* kKind = std::is_same_v<T, bool>          ? "true or false"
                              : std::is_same_v<T, std::string> ? "a string"
                              : std::is_integral_v<T>          ? "an integer"
                                                               : "a number";

/// Whether an integer of any type fits into another.
template <typename To, typename From>
bool fits(From value) {
  if (value < 0) {
    return std::is_signed_v<To> &&
           static_cast<int64_t>(value) >= static_cast<int64_t>(std::numeric_limits<To>::min());
  }
  return static_cast<uint64_t>(value) <= static_cast<uint64_t>(std::numeric_limits<To>::max());
}

/// A stored value as a T, or an Error that begins with `where`.
template <typename T, typename Stored>
T convert(const Stored& value, const std::string& where) {
  if constexpr (std::is_same_v<T, Stored>) {
    return value;
  } else if constexpr (kIsInteger<T> && kIsInteger<Stored>) {
    require(fits<T>(value), "{} is {}, outside {} to {}", where, value,
            std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
    return static_cast<T>(value);
  } else if constexpr (std::is_floating_point_v<T> &&
                       (kIsInteger<Stored> || std::is_floating_point_v<Stored>)) {
    return static_cast<T>(value);
  } else {
    fail("{} must be {}", where, kKind<T>);
  }
}

std::string where(const std::string& source, std::string_view key) {
  return fmt::format("{}: key {}", source, quote(key));
}

}  // namespace

void GgufMetadata::set(std::string key, GgufValue value) {
  auto [found, added] = index_.emplace(key, entries_.size());
  if (added) {
    entries_.emplace_back(std::move(key), std::move(value));
  } else {
    entries_[found->second].second = std::move(value);
  }
}

void GgufMetadata::erase(std::string_view key) {
  auto found = index_.find(key);
  if (found == index_.end()) return;
  size_t position = found->second;
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(position));
  index_.erase(found);
  for (auto& entry : index_) {
    if (entry.second > position) --entry.second;
  }
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

template <typename T>
std::optional<T> GgufMetadata::get_optional(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit([&](const auto& stored) { return convert<T>(stored, where(source_, key)); },
                    *value);
}

template <typename T>
T GgufMetadata::get(std::string_view key) const {
  std::optional<T> value = get_optional<T>(key);
  require(value.has_value(), "{} is missing", where(source_, key));
  return *std::move(value);
}

template <typename T>
std::optional<std::vector<T>> GgufMetadata::get_optional_array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string place = where(source_, key);
  const auto* array = std::get_if<GgufArray>(value);
  require(array != nullptr, "{} must be an array", place);
  return std::visit(
      [&](const auto& stored) {
        using Stored = typename std::decay_t<decltype(stored)>::value_type;
        std::vector<T> result;
        result.reserve(stored.size());
        for (const Stored& element : stored) result.push_back(convert<T, Stored>(element, place));
        return result;
      },
      array->values);
}

template <typename T>
std::vector<T> GgufMetadata::get_array(std::string_view key) const {
  std::optional<std::vector<T>> values = get_optional_array<T>(key);
  require(values.has_value(), "{} is missing", where(source_, key));
  return *std::move(values);
}

#define MILLRACE_GGUF_TYPE(T)                                                                  \
  template T GgufMetadata::get<T>(std::string_view) const;                                     \
  template std::optional<T> GgufMetadata::get_optional<T>(std::string_view) const;             \
  template std::vector<T> GgufMetadata::get_array<T>(std::string_view) const;                  \
  template std::optional<std::vector<T>> GgufMetadata::get_optional_array<T>(std::string_view) \
      const;
MILLRACE_GGUF_TYPE(bool)
MILLRACE_GGUF_TYPE(int32_t)
MILLRACE_GGUF_TYPE(int64_t)
MILLRACE_GGUF_TYPE(uint32_t)
MILLRACE_GGUF_TYPE(uint64_t)
MILLRACE_GGUF_TYPE(float)
MILLRACE_GGUF_TYPE(double)
MILLRACE_GGUF_TYPE(std::string)
#undef MILLRACE_GGUF_TYPE

}  // namespace millrace
