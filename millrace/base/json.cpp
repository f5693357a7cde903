#include "millrace/base/json.h"

#include <xxhash.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>

#include "millrace/base/error.h"
#include "millrace/base/file.h"

namespace millrace {
namespace {

constexpr int kMaxDepth = 200;

template <typename T>
T convert(const Json& value, const char* name, std::string_view source) {
  if constexpr (std::is_same_v<T, bool>) {
    require(value.is_boolean(), "{}: field '{}' must be true or false", source, name);
    return value.get<bool>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    require(value.is_string(), "{}: field '{}' must be a string", source, name);
    return value.get<std::string>();
  } else if constexpr (std::is_floating_point_v<T>) {
    require(value.is_number(), "{}: field '{}' must be a number", source, name);
    double number = value.get<double>();
    require(std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max()),
            "{}: field '{}' is {}, too large", source, name, number);
    return static_cast<T>(number);
  } else {
    static_assert(std::is_integral_v<T>);
    require(value.is_number_integer(), "{}: field '{}' must be an integer", source, name);
    constexpr auto low = std::numeric_limits<T>::min();
    constexpr auto high = std::numeric_limits<T>::max();
    bool fits = value.is_number_unsigned()
                    ? value.get<uint64_t>() <= static_cast<uint64_t>(high)
                    : std::is_signed_v<T> && value.get<int64_t>() >= static_cast<int64_t>(low) &&
                          value.get<int64_t>() <= static_cast<int64_t>(high);
    require(fits, "{}: field '{}' is {}, outside {} to {}", source, name, value.dump(), low, high);
    return value.get<T>();
  }
}

/// What the parser says without its own name and without what it last read, which may be a whole
/// file: "parse error at line 1, column 8: syntax error while parsing value - invalid literal".
std::string reason_of(const Json::exception& error) {
  std::string_view text = error.what();
  if (size_t end = text.find("] "); end != std::string_view::npos) text.remove_prefix(end + 2);
  return std::string(text.substr(0, text.find("; last read: ")));
}

}  // namespace

uint64_t seeded_hash(std::string_view key) {
  static const uint64_t seed = std::random_device{}();
  return XXH3_64bits_withSeed(key.data(), key.size(), seed);
}

Json parse_json(std::string_view text, std::string_view source) {
  auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    require(depth <= kMaxDepth, "{}: is nested deeper than {} levels", source, kMaxDepth);
    return true;
  };
  try {
    return Json::parse(text, limit_depth);
  } catch (const Json::exception& error) {
    fail("{}: is not valid JSON: {}", source, reason_of(error));
  }
}

Json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

template <typename T>
std::optional<T> optional_json_field(const Json& object, const char* name,
                                     std::string_view source) {
  require(object.is_object(), "{}: must be an object", source);
  auto found = object.find(name);
  if (found == object.end() || found->is_null()) return std::nullopt;
  return convert<T>(*found, name, source);
}

template <typename T>
T json_field(const Json& object, const char* name, std::string_view source) {
  std::optional<T> value = optional_json_field<T>(object, name, source);
  require(value.has_value(), "{}: has no field '{}'", source, name);
  return *value;
}

#define MILLRACE_JSON_TYPE(T)                                           \
  template T json_field<T>(const Json&, const char*, std::string_view); \
  template std::optional<T> optional_json_field<T>(const Json&, const char*, std::string_view);
MILLRACE_JSON_TYPE(bool)
MILLRACE_JSON_TYPE(int32_t)
MILLRACE_JSON_TYPE(int64_t)
MILLRACE_JSON_TYPE(uint32_t)
MILLRACE_JSON_TYPE(uint64_t)
MILLRACE_JSON_TYPE(float)
MILLRACE_JSON_TYPE(double)
MILLRACE_JSON_TYPE(std::string)
#undef MILLRACE_JSON_TYPE

std::string to_json_text(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace millrace
