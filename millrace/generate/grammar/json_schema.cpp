#include "millrace/generate/grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/json_parts.h"
#include "millrace/generate/grammar/json_schema_merge.h"
#include "millrace/generate/grammar/json_strings.h"
#include "millrace/generate/grammar/number_ranges.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr int kMaxMerges = 2'000;
constexpr int kMaxExpansion = 60;
constexpr size_t kMaxMergedBytes = 4'000'000;
constexpr size_t kMaxProperties = 900;  // of one object
constexpr size_t kMaxNameBytes = 500;   // where others may stand beside it
constexpr double kMaxItems = 100'000;
constexpr int64_t kLargestInteger = 999'999'999'999'999'999;

constexpr std::string_view kUnsupported[] = {
    "not",          "if",          "then",          "else",
    "contains",     "minContains", "maxContains",   "dependentRequired",
    "dependencies", "$dynamicRef", "$recursiveRef", "dependentSchemas",
};

constexpr std::string_view kTypes[] = {"object",  "array",   "string", "number",
                                       "integer", "boolean", "null"};

/// Keywords that imply a type where none is given.
const std::map<std::string_view, std::string_view>& types_of_keywords() {
  static const std::map<std::string_view, std::string_view> types = {
      {"properties", "object"},
      {"required", "object"},
      {"additionalProperties", "object"},
      {"minProperties", "object"},
      {"maxProperties", "object"},
      {"propertyNames", "object"},
      {"patternProperties", "object"},
      {"items", "array"},
      {"prefixItems", "array"},
      {"additionalItems", "array"},
      {"minItems", "array"},
      {"maxItems", "array"},
      {"uniqueItems", "array"},
      {"pattern", "string"},
      {"minLength", "string"},
      {"maxLength", "string"},
      {"format", "string"},
      {"minimum", "number"},
      {"maximum", "number"},
      {"exclusiveMinimum", "number"},
      {"exclusiveMaximum", "number"},
      {"multipleOf", "number"},
  };
  return types;
}

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "number" || !value.is_number_float()) {
    return value.is_number() && (type == "number" || type == "integer");
  }
  return value.get<double>() == std::floor(value.get<double>());
}

std::string below(const std::string& pointer, std::string_view name) {
  std::string escaped;
  for (char c : name) escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return pointer + "/" + escaped;
}

std::string below(const std::string& pointer, std::string_view name, size_t index) {
  return below(pointer, name) + "/" + std::to_string(index);
}

class SchemaReader {
 public:
  explicit SchemaReader(const Json& schema)
      : root_(schema),
        start_(grammar_.add_rule("JSON Schema")),
        parts_(grammar_),
        in_string_(grammar_, TextEncoding::json_string) {}

  Grammar read() {
    rules_["#"] = start_;
    pending_.push_back({start_, root_, ""});
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.back());
      pending_.pop_back();
      grammar_.define(next.rule, value(next.schema, next.pointer));
    }
    return std::move(grammar_);
  }

 private:
  struct Pending {
    Rule rule = 0;
    Json schema;
    std::string pointer;
  };

  template <typename... Args>
  [[noreturn]] void bad(const std::string& pointer, fmt::format_string<Args...> format,
                        Args&&... args) const {
    fail("schema at '{}': {}", pointer, fmt::format(format, std::forward<Args>(args)...));
  }

  Expression as_rule(const std::string& pointer, Expression expression) {
    const Rule rule = grammar_.add_rule(pointer);
    grammar_.define(rule, expression);
    return grammar_.call(rule);
  }

  // What a schema is: a reference, a combination, a list of values, or types.

  Expression value(const Json& schema, const std::string& pointer) {
    if (schema.is_boolean()) return schema.get<bool>() ? parts_.any_value() : grammar_.nothing();
    if (!schema.is_object()) bad(pointer, "a schema must be an object, true or false");
    check_keywords(schema, pointer);
    if (schema.contains("$ref")) {
      if (without(schema, {"$ref"}).empty()) return reference(schema.at("$ref"), pointer);
      return merged(schema, pointer);
    }
    if (schema.contains("allOf")) return merged(schema, pointer);
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (schema.contains(keyword)) return alternatives(schema, keyword, pointer);
    }
    if (schema.contains("const") || schema.contains("enum")) return values(schema, pointer);
    return types(schema, pointer);
  }

  void check_keywords(const Json& schema, const std::string& pointer) {
    for (const auto& [keyword, value] : schema.items()) {
      const bool unsupported = std::find(std::begin(kUnsupported), std::end(kUnsupported),
                                         keyword) != std::end(kUnsupported);
      const bool harmless =
          (keyword == "uniqueItems" && value == false) ||
          (keyword == "patternProperties" && value.is_object() && value.empty()) ||
          (keyword == "multipleOf" && value == 1 && schema.value("type", Json()) == "integer") ||
          ((keyword == "unevaluatedProperties" || keyword == "unevaluatedItems") && value == true);
      const bool partly = keyword == "uniqueItems" || keyword == "patternProperties" ||
                          keyword == "multipleOf" || keyword == "unevaluatedProperties" ||
                          keyword == "unevaluatedItems";
      if (unsupported || (partly && !harmless)) {
        bad(pointer, "the keyword '{}' is not supported", keyword);
      }
    }
  }

  /// The keywords that say what is valid, but for those named.
  static Json without(const Json& schema, std::initializer_list<std::string_view> names) {
    Json rest = Json::object();
    for (const auto& [keyword, value] : schema.items()) {
      const bool named = std::find(names.begin(), names.end(), keyword) != names.end();
      if (!named && !is_annotation(keyword)) rest[keyword] = value;
    }
    return rest;
  }

  const Json& resolve(const Json& reference, const std::string& pointer) const {
    if (!reference.is_string()) bad(pointer, "'$ref' must be a string");
    const auto text = reference.get<std::string>();
    if (!text.starts_with('#')) {
      bad(pointer, "'$ref' is {}; only references within the schema (#/…) are supported",
          quote(text));
    }
    try {
      return root_.at(Json::json_pointer(text.substr(1)));
    } catch (const Json::exception&) {
      bad(pointer, "'$ref' is {}, which the schema does not have", quote(text));
    }
  }

  Expression reference(const Json& reference, const std::string& pointer) {
    const Json& target = resolve(reference, pointer);
    const auto text = reference.get<std::string>();
    auto found = rules_.find(text);
    if (found == rules_.end()) {
      found = rules_.emplace(text, grammar_.add_rule(text)).first;
      pending_.push_back({found->second, target, text.substr(1)});
    }
    return grammar_.call(found->second);
  }

  /// A schema with $ref or allOf among other keywords, as one schema. By its content, so that a
  /// recursive one comes to an end.
  Expression merged(const Json& schema, const std::string& pointer) {
    const Json one = expanded(schema, pointer, 0);
    const std::string content = to_json_text(one);
    merged_bytes_ += content.size();
    if (++merges_ > kMaxMerges || merged_bytes_ > kMaxMergedBytes) {
      bad(pointer, "joining the schema's parts ('allOf', '$ref' with siblings) grows too large");
    }
    auto found = rules_.find(content);
    if (found == rules_.end()) {
      found = rules_.emplace(content, grammar_.add_rule(pointer)).first;
      pending_.push_back({found->second, one, pointer});
    }
    return grammar_.call(found->second);
  }

  Json expanded(const Json& schema, const std::string& pointer, int depth) {
    if (schema.is_boolean()) return schema;
    if (!schema.is_object()) bad(pointer, "a schema must be an object, true or false");
    if (depth > kMaxExpansion || ++expansions_ > 20 * kMaxMerges) {
      bad(pointer, "'allOf' and '$ref' lead back to themselves, or too far");
    }
    check_keywords(schema, pointer);
    Json result = without(schema, {"$ref", "allOf"});
    std::vector<Json> others;
    if (schema.contains("$ref")) {
      others.push_back(expanded(resolve(schema.at("$ref"), pointer), pointer, depth + 1));
    }
    if (schema.contains("allOf")) {
      const Json& list = schema.at("allOf");
      if (!list.is_array()) bad(pointer, "'allOf' must be an array");
      for (size_t i = 0; i < list.size(); ++i) {
        others.push_back(expanded(list[i], below(pointer, "allOf", i), depth + 1));
      }
    }
    // What is referred to comes first: its properties are the older ones.
    Json joined = Json::object();
    for (const Json& other : others) {
      if (other == false) return other;
      if (other.is_object()) joined = merge_schemas(joined, other, pointer);
    }
    return merge_schemas(joined, result, pointer);
  }

  Expression alternatives(const Json& schema, const char* keyword, const std::string& pointer) {
    const Json& list = schema.at(keyword);
    if (!list.is_array() || list.empty()) bad(pointer, "'{}' must be an array of schemas", keyword);
    const Json rest = without(schema, {keyword});
    std::vector<Expression> ways;
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string at = below(pointer, keyword, i);
      ways.push_back(rest.empty() ? value(list[i], at)
                                  : merged({{"allOf", Json::array({rest, list[i]})}}, at));
    }
    return grammar_.choice(ways);
  }

  Expression values(const Json& schema, const std::string& pointer) {
    const Json rest = without(schema, {"const", "enum", "type", "nullable"});
    if (!rest.empty()) {
      bad(pointer, "the keyword '{}' beside 'enum' or 'const' is not supported",
          rest.begin().key());
    }
    Json list = schema.contains("enum") ? schema.at("enum") : Json::array({schema.at("const")});
    if (!list.is_array()) bad(pointer, "'enum' must be an array");
    const bool typed = schema.contains("type");
    const std::vector<std::string> allowed = types_of(schema, pointer);
    std::vector<Expression> ways;
    for (const Json& one : list) {
      if (schema.contains("const") && one != schema.at("const")) continue;
      const bool fits = std::any_of(allowed.begin(), allowed.end(),
                                    [&](const std::string& type) { return has_type(one, type); });
      if (typed && !fits) continue;
      ways.push_back(parts_.value(one));
    }
    return grammar_.choice(ways);
  }

  std::vector<std::string> types_of(const Json& schema, const std::string& pointer) const {
    std::vector<std::string> result;
    auto add = [&](std::string type) {
      if (std::find(result.begin(), result.end(), type) == result.end()) {
        result.push_back(std::move(type));
      }
    };
    if (schema.contains("type")) {
      const Json& type = schema.at("type");
      const Json list = type.is_array() ? type : Json::array({type});
      for (const Json& one : list) {
        const bool known = one.is_string() && std::find(std::begin(kTypes), std::end(kTypes),
                                                        one.get<std::string>()) != std::end(kTypes);
        if (!known) bad(pointer, "'type' is {}, which is none of JSON's types", to_json_text(one));
        add(one.get<std::string>());
      }
    } else {
      for (const auto& [keyword, implied] : types_of_keywords()) {
        if (schema.contains(std::string(keyword))) add(std::string(implied));
      }
    }
    if (!result.empty() && schema.value("nullable", Json()) == true) add("null");
    return result;
  }

  Expression types(const Json& schema, const std::string& pointer) {
    const std::vector<std::string> list = types_of(schema, pointer);
    if (list.empty() && !schema.contains("type")) return parts_.any_value();
    const bool has_number = std::find(list.begin(), list.end(), "number") != list.end();
    std::vector<Expression> ways;
    for (const std::string& type : list) {
      if (type == "object") ways.push_back(object(schema, pointer));
      if (type == "array") ways.push_back(array(schema, pointer));
      if (type == "string") ways.push_back(string(schema, pointer));
      if (type == "number") ways.push_back(number(schema, pointer));
      if (type == "integer" && !has_number) ways.push_back(integer(schema, pointer));
      if (type == "boolean") ways.push_back(parts_.boolean());
      if (type == "null") ways.push_back(parts_.null());
    }
    return grammar_.choice(ways);
  }

  // Strings and numbers.

  Expression string(const Json& schema, const std::string& pointer) {
    const Expression text = constrained_string(schema, pointer, grammar_, parts_, in_string_);
    return as_rule(pointer, text);
  }

  struct Bounds {
    std::optional<double> low, high;
    bool low_excluded = false, high_excluded = false;
  };

  std::optional<double> bound(const Json& schema, const char* name,
                              const std::string& pointer) const {
    return optional_json_field<double>(schema, name, fmt::format("schema at '{}'", pointer));
  }

  Bounds bounds(const Json& schema, const std::string& pointer) const {
    Bounds result{bound(schema, "minimum", pointer), bound(schema, "maximum", pointer)};
    // Draft 4 has true beside the bound; later drafts have another bound.
    const Json low = schema.value("exclusiveMinimum", Json());
    const Json high = schema.value("exclusiveMaximum", Json());
    if (low.is_boolean()) {
      result.low_excluded = low.get<bool>();
    } else if (auto more = bound(schema, "exclusiveMinimum", pointer)) {
      if (!result.low.has_value() || *more >= *result.low) {
        result.low = more;
        result.low_excluded = true;
      }
    }
    if (high.is_boolean()) {
      result.high_excluded = high.get<bool>();
    } else if (auto less = bound(schema, "exclusiveMaximum", pointer)) {
      if (!result.high.has_value() || *less <= *result.high) {
        result.high = less;
        result.high_excluded = true;
      }
    }
    return result;
  }

  Expression integer(const Json& schema, const std::string& pointer) {
    const Bounds range = bounds(schema, pointer);
    if (!range.low.has_value() && !range.high.has_value()) return parts_.integer();
    constexpr auto kLargest = static_cast<double>(kLargestInteger);
    int64_t low = -kLargestInteger, high = kLargestInteger;
    if (range.low.has_value()) {
      const double first = range.low_excluded ? std::floor(*range.low) + 1 : std::ceil(*range.low);
      if (first > kLargest) bad(pointer, "there is no integer of 18 digits above 'minimum'");
      if (first > -kLargest) low = static_cast<int64_t>(first);
    }
    if (range.high.has_value()) {
      const double last =
          range.high_excluded ? std::ceil(*range.high) - 1 : std::floor(*range.high);
      if (last < -kLargest) bad(pointer, "there is no integer of 18 digits below 'maximum'");
      if (last < kLargest) high = static_cast<int64_t>(last);
    }
    if (low > high) bad(pointer, "no integer lies between the bounds");
    return as_rule(pointer, integers_between(low, high, grammar_));
  }

  Expression number(const Json& schema, const std::string& pointer) {
    const Bounds bounds_of = bounds(schema, pointer);
    if (!bounds_of.low.has_value() && !bounds_of.high.has_value()) return parts_.number();
    NumberRange range;
    if (bounds_of.low.has_value()) range.low = to_decimal(*bounds_of.low);
    if (bounds_of.high.has_value()) range.high = to_decimal(*bounds_of.high);
    if (!range.low.has_value() && bounds_of.low.value_or(0) > 0) {
      bad(pointer, "'minimum' is too large: numbers have up to 16 digits before the point");
    }
    if (!range.high.has_value() && bounds_of.high.value_or(0) < 0) {
      bad(pointer, "'maximum' is too small: numbers have up to 16 digits before the point");
    }
    range.low_excluded = range.low.has_value() && bounds_of.low_excluded;
    range.high_excluded = range.high.has_value() && bounds_of.high_excluded;
    return as_rule(pointer, numbers_in(range, grammar_));
  }

  // Arrays.

  uint32_t count_field(const Json& schema, const char* name, uint32_t otherwise,
                       const std::string& pointer) const {
    const std::optional<double> value = bound(schema, name, pointer);
    if (!value.has_value()) return otherwise;
    if (!(*value >= 0) || *value != std::floor(*value)) {
      bad(pointer, "'{}' must be a whole number that is not negative", name);
    }
    if (*value > kMaxItems) bad(pointer, "'{}' is more than {}", name, kMaxItems);
    return static_cast<uint32_t>(*value);
  }

  Expression array(const Json& schema, const std::string& pointer) {
    const bool old_tuple = schema.contains("items") && schema.at("items").is_array();
    const char* tuple = old_tuple ? "items" : "prefixItems";
    const char* others = old_tuple ? "additionalItems" : "items";
    const uint32_t min = count_field(schema, "minItems", 0, pointer);
    uint32_t max = count_field(schema, "maxItems", kUnbounded, pointer);
    if (min > max) bad(pointer, "'minItems' is more than 'maxItems'");

    std::vector<Expression> first;
    if (schema.contains(tuple)) {
      const Json& list = schema.at(tuple);
      if (!list.is_array()) bad(pointer, "'{}' must be an array of schemas", tuple);
      if (list.size() > kMaxProperties)
        bad(pointer, "'{}' has more than {} schemas", tuple, kMaxProperties);
      for (size_t i = 0; i < list.size() && i < max; ++i) {
        first.push_back(value(list[i], below(pointer, tuple, i)));
      }
    }
    Expression rest = parts_.any_value();
    if (schema.contains(others)) {
      if (schema.at(others) == false) {
        max = std::min(max, static_cast<uint32_t>(first.size()));
        if (min > max) bad(pointer, "'minItems' is more than there are items");
      }
      rest = value(schema.at(others), below(pointer, others));
    } else if (max == 0) {
      rest = grammar_.nothing();
    } else if (!schema.contains(tuple) && min == 0 && max == kUnbounded) {
      return parts_.any_array();
    }
    if (max == 0) return grammar_.literal("[]");
    return as_rule(pointer, parts_.brackets('[', items(first, rest, min, max), min == 0, ']'));
  }

  /// At least one item: those of a tuple, then others.
  Expression items(const std::vector<Expression>& first, Expression rest, uint32_t min,
                   uint32_t max) {
    const auto count = static_cast<uint32_t>(first.size());
    if (count == 0) return parts_.list(rest, min, max);
    Expression tail = grammar_.empty();
    if (max > count) {
      const uint32_t needed = min > count ? min - count : 0;
      tail = grammar_.repeat(grammar_.sequence({parts_.comma(), rest}), needed,
                             max == kUnbounded ? kUnbounded : max - count);
    }
    for (uint32_t i = count; i-- > 1;) {
      const Expression more = grammar_.sequence({parts_.comma(), first[i], tail});
      tail = i < min ? more : grammar_.optional(more);
    }
    return grammar_.sequence({first[0], tail});
  }

  // Objects.

  struct Member {
    Expression written = 0;  // its name, the colon and its value
    bool required = false;
  };

  Expression object(const Json& schema, const std::string& pointer) {
    const std::vector<std::string> required = required_names(schema, pointer);
    const Json properties = schema.value("properties", Json::object());
    if (!properties.is_object()) bad(pointer, "'properties' must be an object");
    const Json additional =
        schema.value("additionalProperties", Json(properties.empty() && required.empty()));
    const uint32_t min = count_field(schema, "minProperties", 0, pointer);
    const uint32_t max = count_field(schema, "maxProperties", kUnbounded, pointer);
    if (properties.empty() && required.empty()) {
      return map(schema, additional, min, max, pointer);
    }
    const bool closed = additional == false;
    const size_t most = properties.size() + required.size();
    if (min > required.size() || (max != kUnbounded && !(closed && max >= most))) {
      bad(pointer, "the keyword '{}' beside 'properties' is not supported",
          min > required.size() ? "minProperties" : "maxProperties");
    }
    if (schema.contains("propertyNames")) {
      bad(pointer, "the keyword 'propertyNames' beside 'properties' is not supported");
    }
    const std::vector<Member> members =
        members_of(schema, properties, required, additional, pointer);
    Expression other = grammar_.nothing();
    if (!closed) {
      const Expression value_of = value(additional, below(pointer, "additionalProperties"));
      std::set<std::string> taken(required.begin(), required.end());
      for (const auto& [name, ignored] : properties.items()) taken.insert(name);
      for (const std::string& name : taken) {
        if (name.size() > kMaxNameBytes) {
          bad(pointer, "a name of {} bytes beside additional properties is too long", name.size());
        }
      }
      other = grammar_.sequence({name_besides(taken), parts_.colon(), value_of});
    }
    return as_rule(pointer, written_object(members, other, closed));
  }

  std::vector<std::string> required_names(const Json& schema, const std::string& pointer) const {
    std::vector<std::string> names;
    if (!schema.contains("required") || schema.at("required").is_boolean()) return names;
    if (!schema.at("required").is_array()) bad(pointer, "'required' must be an array of names");
    for (const Json& name : schema.at("required")) {
      if (!name.is_string()) bad(pointer, "'required' must be an array of names");
      names.push_back(name.get<std::string>());
    }
    return names;
  }

  std::vector<Member> members_of(const Json& schema, const Json& properties,
                                 const std::vector<std::string>& required, const Json& additional,
                                 const std::string& pointer) {
    std::vector<Member> members;
    const std::set<std::string> needed(required.begin(), required.end());
    auto add = [&](const std::string& name, const Json& of, const std::string& at) {
      const Expression written = grammar_.sequence({parts_.name(name), value(of, at)});
      members.push_back({written, needed.contains(name)});
    };
    for (const auto& [name, of] : properties.items()) {
      add(name, of, below(below(pointer, "properties"), name));
    }
    const bool closed = schema.value("additionalProperties", Json()) == false;
    for (const std::string& name : needed) {
      if (properties.contains(name)) continue;
      if (closed) bad(pointer, "{} is required but not among the properties", quote(name));
      const bool any = !schema.contains("additionalProperties");
      add(name, any ? Json(true) : additional, below(pointer, "required"));
    }
    if (members.size() > kMaxProperties) {
      bad(pointer, "an object has more than {} properties", kMaxProperties);
    }
    return members;
  }

  /// Members in their order, those that are not required left out at will. What follows member i
  /// depends on whether one came before it, which decides about the comma.
  Expression written_object(const std::vector<Member>& members, Expression other, bool closed) {
    const Expression comma = parts_.comma();
    Expression later = closed ? grammar_.empty()
                              : grammar_.repeat(grammar_.sequence({comma, other}), 0, kUnbounded);
    Expression from_here = closed ? grammar_.nothing() : grammar_.sequence({other, later});
    bool may_be_empty = true;
    for (size_t i = members.size(); i-- > 0;) {
      const Member& member = members[i];
      const Expression begins = grammar_.sequence({member.written, later});
      const Expression goes_on = grammar_.sequence({comma, member.written, later});
      from_here = member.required ? begins : grammar_.choice({begins, from_here});
      later = member.required ? goes_on : grammar_.choice({goes_on, later});
      may_be_empty = may_be_empty && !member.required;
    }
    return parts_.brackets('{', from_here, may_be_empty, '}');
  }

  /// An object without properties of its own: any names, values of one schema.
  Expression map(const Json& schema, const Json& additional, uint32_t min, uint32_t max,
                 const std::string& pointer) {
    if (min > max) bad(pointer, "'minProperties' is more than 'maxProperties'");
    if (max == 0 || additional == false) {
      if (min > 0) bad(pointer, "'minProperties' is more than there are properties");
      return grammar_.literal("{}");
    }
    const bool names = schema.contains("propertyNames");
    if (additional == true && !names && min == 0 && max == kUnbounded) return parts_.any_object();
    Expression name = parts_.string();
    if (names) {
      const std::string at = below(pointer, "propertyNames");
      const Json& of = schema.at("propertyNames");
      name = value(of.is_object() ? merge_schemas({{"type", "string"}}, of, at) : of, at);
    }
    const Expression value_of = value(additional, below(pointer, "additionalProperties"));
    const Expression member = grammar_.sequence({name, parts_.colon(), value_of});
    return as_rule(pointer, parts_.brackets('{', parts_.list(member, min, max), min == 0, '}'));
  }

  /// A string that is none of these; where one might still become one, characters have no other
  /// form than the one they are compared in.
  Expression name_besides(const std::set<std::string>& taken) {
    const Expression any = grammar_.repeat(parts_.string_character(), 0, kUnbounded);
    const Expression rest = grammar_.sequence({any, grammar_.literal("\"")});
    return grammar_.sequence(
        {grammar_.literal("\""), besides({taken.begin(), taken.end()}, 0, rest)});
  }

  Expression besides(const std::vector<std::string>& taken, size_t at, Expression rest) {
    // Sorted texts with a common beginning of `at` bytes, which is one of whole characters.
    std::map<std::string, std::vector<std::string>> next;  // by the character there
    bool may_end = true;
    for (const std::string& text : taken) {
      if (text.size() == at) {
        may_end = false;
        continue;
      }
      const size_t length = std::max<size_t>(1, utf8_length(std::string_view(text).substr(at)));
      next[text.substr(at, length)].push_back(text);
    }
    std::vector<Expression> ways;
    std::vector<CodePointRange> ranges;
    for (const auto& [character, texts] : next) {
      const char32_t c = decode_utf8(character);
      ranges.push_back({c, c});
      ways.push_back(grammar_.sequence(
          {in_string_.one_of({{c, c}}), besides(texts, at + character.size(), rest)}));
    }
    const CodePointSet others = CodePointSet(std::move(ranges)).inverted();
    ways.push_back(grammar_.sequence({in_string_.one_of(others), rest}));
    if (may_end) ways.push_back(grammar_.literal("\""));
    return grammar_.choice(ways);
  }

  const Json& root_;
  Grammar grammar_;
  Rule start_;
  JsonParts parts_;
  CharacterExpressions in_string_;
  std::map<std::string, Rule> rules_;  // by reference, or by a merged schema's text
  std::vector<Pending> pending_;
  int merges_ = 0, expansions_ = 0;
  size_t merged_bytes_ = 0;
};

}  // namespace

Grammar grammar_from_json_schema(const Json& schema) {
  return SchemaReader(schema).read();
}

}  // namespace millrace
