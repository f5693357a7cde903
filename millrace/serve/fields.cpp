#include "millrace/serve/fields.h"

#include <algorithm>
#include <cmath>

namespace millrace::serve {
namespace {

/// As a message calls a value of this kind.
std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

bool says_nothing(const Json& value) {
  return value.is_null() || value == Json(false) || value == Json("none") ||
         ((value.is_array() || value.is_object() || value.is_string()) && value.size() == 0) ||
         value == Json("");
}

}  // namespace

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) {
    throw invalid_request(path_, fmt::format("must be an object, not {}", kind_of(object)),
                          "invalid_type");
  }
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const Json* Fields::find(const char* name) {
  read_.insert(name);
  auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

namespace {

[[noreturn]] void wrong_type(const std::string& path, std::string_view wanted, const Json& value) {
  throw invalid_request(path, fmt::format("must be {}, not {}", wanted, kind_of(value)),
                        "invalid_type");
}

}  // namespace

std::optional<std::string> Fields::text(const char* name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong_type(path_of(name), "a string", *value);
  return value->get<std::string>();
}

std::optional<bool> Fields::boolean(const char* name) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong_type(path_of(name), "true or false", *value);
  return value->get<bool>();
}

std::optional<double> Fields::number(const char* name, double low, double high) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(path_of(name), "a number", *value);
  const double number = value->get<double>();
  if (!(number >= low && number <= high)) {
    throw invalid_request(path_of(name),
                          fmt::format("is {}; it must be between {} and {}", number, low, high));
  }
  return number;
}

std::optional<int64_t> Fields::integer(const char* name, int64_t low, int64_t high) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(path_of(name), "a whole number", *value);
  const double number = value->get<double>();
  if (number != std::floor(number)) {
    throw invalid_request(path_of(name), fmt::format("is {}; it must be a whole number", number),
                          "invalid_type");
  }
  // Compared as they came: 2^63 and beyond must not be turned into an int64_t before.
  const bool fits = value->is_number_unsigned()
                        ? high >= 0 && value->get<uint64_t>() <= static_cast<uint64_t>(high)
                        : number <= static_cast<double>(high);
  // What is below -2^63 is read as a float, which may be rounded to it.
  const bool rounded = value->is_number_float() && number <= -0x1p63;
  if (!fits || rounded || number < static_cast<double>(low)) {
    throw invalid_request(path_of(name), fmt::format("is {}; it must be between {} and {}",
                                                     value->dump(), low, high));
  }
  if (value->is_number_integer()) return std::clamp(value->get<int64_t>(), low, high);
  return number >= 0x1p63 ? high : std::clamp(static_cast<int64_t>(number), low, high);
}

std::optional<std::string> Fields::one_of(const char* name,
                                          std::initializer_list<const char*> words) {
  std::optional<std::string> value = text(name);
  if (!value) return std::nullopt;
  if (std::find(words.begin(), words.end(), *value) == words.end()) {
    throw invalid_request(path_of(name), fmt::format("is {}; it must be one of {}", quote(*value),
                                                     fmt::join(words, ", ")));
  }
  return value;
}

const Json* Fields::array(const char* name) {
  const Json* value = find(name);
  if (value != nullptr && !value->is_array()) wrong_type(path_of(name), "an array", *value);
  return value;
}

const Json* Fields::object(const char* name) {
  const Json* value = find(name);
  if (value != nullptr && !value->is_object()) wrong_type(path_of(name), "an object", *value);
  return value;
}

const Json* Fields::any(const char* name) {
  return find(name);
}

namespace {

template <typename T>
T present(T value, const std::string& path) {
  if (!value) throw invalid_request(path, "is missing", "missing_required_parameter");
  return value;
}

}  // namespace

std::string Fields::required_text(const char* name) {
  return *present(text(name), path_of(name));
}

const Json& Fields::required_array(const char* name) {
  return *present(array(name), path_of(name));
}

const Json& Fields::required_object(const char* name) {
  return *present(object(name), path_of(name));
}

void Fields::accept(std::initializer_list<const char*> names) {
  for (const char* name : names) read_.insert(name);
}

void Fields::refuse(const char* name, std::string_view why, const Json& harmless) {
  const Json* value = find(name);
  if (value == nullptr || says_nothing(*value) || *value == harmless) return;
  throw invalid_request(path_of(name), fmt::format("is not supported: {}", why),
                        "unsupported_parameter");
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!read_.contains(name)) names.push_back(path_of(name));
  }
  return names;
}

Json parse_body(std::string_view body) {
  if (body.empty()) throw invalid_request("", "the body is empty; it must be a JSON object");
  Json json;
  try {
    json = parse_json(body, "request body");
  } catch (const Error& error) {
    throw invalid_request("", error.what(), "invalid_json");
  }
  if (!json.is_object()) {
    throw invalid_request("",
                          fmt::format("request body: must be a JSON object, not {}", kind_of(json)),
                          "invalid_json");
  }
  return json;
}

}  // namespace millrace::serve
