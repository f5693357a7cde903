#include "millrace/generate/grammar/json_schema_merge.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr size_t kMaxProperties = 1000;

constexpr std::string_view kAnnotations[] = {
    "title",         "description",  "default",  "examples",         "example",
    "$schema",       "$id",          "id",       "$comment",         "$anchor",
    "$defs",         "definitions",  "readOnly", "writeOnly",        "deprecated",
    "discriminator", "externalDocs", "xml",      "contentMediaType", "contentEncoding",
    "contentSchema", "$vocabulary",  "strict",
};

bool is_one_of(std::string_view keyword, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), keyword) != list.end();
}

Json as_list(const Json& value) {
  return value.is_array() ? value : Json::array({value});
}

Json in_both(const Json& a, const Json& b) {
  Json result = Json::array();
  for (const Json& value : as_list(a)) {
    const Json others = as_list(b);
    bool found = std::find(others.begin(), others.end(), value) != others.end();
    Json kept = value;
    // An integer is a number.
    if (!found && value == "number") {
      found = std::find(others.begin(), others.end(), "integer") != others.end();
      kept = "integer";
    }
    if (!found && value == "integer") {
      found = std::find(others.begin(), others.end(), "number") != others.end();
    }
    if (found) result.push_back(kept);
  }
  return result;
}

Json both(const Json& a, const Json& b) {
  return a == b ? a : Json{{"allOf", Json::array({a, b})}};
}

/// additionalProperties of one schema says what the other's own properties may be.
void check_additional(const Json& closed, const Json& other, const std::string& pointer) {
  auto additional = closed.find("additionalProperties");
  if (additional == closed.end() || *additional == true || !other.contains("properties")) return;
  for (const auto& [name, schema] : other.at("properties").items()) {
    const bool known = closed.contains("properties") && closed.at("properties").contains(name);
    require(known,
            "schema at '{}': 'additionalProperties' beside a property {} of another part of "
            "the schema is not supported: put all properties into one object",
            pointer, quote(name));
  }
}

void check_shapes(const Json& schema, const std::string& pointer) {
  for (const char* name : {"properties", "required"}) {
    if (!schema.contains(name)) continue;
    const bool fits = std::string_view(name) == "required" ? schema.at(name).is_array()
                                                           : schema.at(name).is_object();
    require(fits, "schema at '{}': '{}' has the wrong type", pointer, name);
  }
}

Json merged_value(const std::string& keyword, const Json& a, const Json& b,
                  const std::string& pointer) {
  if (a == b || is_annotation(keyword)) return a;
  const bool numbers = a.is_number() && b.is_number();
  if (numbers && is_one_of(keyword, {"minimum", "exclusiveMinimum", "minLength", "minItems",
                                     "minProperties"})) {
    return std::max(a, b);
  }
  if (numbers && is_one_of(keyword, {"maximum", "exclusiveMaximum", "maxLength", "maxItems",
                                     "maxProperties"})) {
    return std::min(a, b);
  }
  if (keyword == "type" || keyword == "enum") return in_both(a, b);
  if (is_one_of(keyword, {"items", "propertyNames"})) return both(a, b);
  if (keyword == "additionalProperties") {
    if (a == true || b == false) return b;
    if (b == true || a == false) return a;
    return both(a, b);
  }
  if (keyword == "properties") {
    Json result = a;
    for (const auto& [name, schema] : b.items()) {
      result[name] = result.contains(name) ? both(result.at(name), schema) : schema;
    }
    require(result.size() <= kMaxProperties,
            "schema at '{}': its parts have more than {} properties", pointer, kMaxProperties);
    return result;
  }
  if (keyword == "required") {
    Json result = a;
    for (const Json& name : b) {
      if (std::find(result.begin(), result.end(), name) == result.end()) result.push_back(name);
    }
    return result;
  }
  fail("schema at '{}': two different values of '{}' must hold at once, which is not supported",
       pointer, keyword);
}

}  // namespace

bool is_annotation(const std::string& keyword) {
  return std::find(std::begin(kAnnotations), std::end(kAnnotations), keyword) !=
         std::end(kAnnotations);
}

Json merge_schemas(const Json& a, const Json& b, const std::string& pointer) {
  check_shapes(a, pointer);
  check_shapes(b, pointer);
  check_additional(a, b, pointer);
  check_additional(b, a, pointer);
  Json result = a;
  for (const auto& [keyword, value] : b.items()) {
    result[keyword] = result.contains(keyword)
                          ? merged_value(keyword, result.at(keyword), value, pointer)
                          : value;
  }
  return result;
}

}  // namespace millrace
