#include "millrace/generate/grammar/json_strings.h"

#include <algorithm>
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/regex.h"

namespace millrace {
namespace {

constexpr std::string_view kUnsupportedFormats[] = {
    "idn-email",     "idn-hostname",          "iri",
    "iri-reference", "uri-reference",         "uri-template",
    "json-pointer",  "relative-json-pointer", "regex",
};

// 29 February in leap years only.
constexpr std::string_view kDate =
    R"((?:[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30))"
    R"(|02-(?:0[1-9]|1\d|2[0-8]))|(?:[12]\d(?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)-02-29))";
constexpr std::string_view kTime =
    R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))";
constexpr std::string_view kLabel = "[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*";
constexpr std::string_view kByte = R"((?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))";
constexpr std::string_view kHex = "[0-9A-Fa-f]";

std::string ipv6() {
  const std::string word = fmt::format("{}{{1,4}}", kHex);
  std::string ways = fmt::format("(?:{0}:){{7}}{0}", word);
  for (int before = 0; before <= 7; ++before) {
    const std::string head = before == 0 ? "" : fmt::format("{0}(?::{0}){{{1}}}", word, before - 1);
    const std::string tail = fmt::format("(?:{0}(?::{0}){{0,{1}}})?", word, 6 - before);
    ways += "|" + head + "::" + (before < 7 ? tail : "");
  }
  return "(?:" + ways + ")";
}

/// Empty for a format that says nothing here.
std::string format_regex(std::string_view format) {
  if (format == "date") return std::string(kDate);
  if (format == "time") return std::string(kTime);
  if (format == "date-time") return fmt::format("{}T{}", kDate, kTime);
  if (format == "duration") {
    // Years, months and days from the largest to the smallest unit without a gap; so hours on.
    constexpr std::string_view kDays =
        R"((?:\d{1,9}Y(?:\d{1,9}M(?:\d{1,9}D)?)?|\d{1,9}M(?:\d{1,9}D)?|\d{1,9}D))";
    constexpr std::string_view kHours =
        R"(T(?:\d{1,9}H(?:\d{1,9}M(?:\d{1,9}S)?)?|\d{1,9}M(?:\d{1,9}S)?|\d{1,9}S))";
    return fmt::format("P(?:\\d{{1,9}}W|{0}(?:{1})?|{1})", kDays, kHours);
  }
  if (format == "email") {
    return fmt::format("[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+){{0,8}}@{0}(?:\\.{0}){{1,8}}", kLabel);
  }
  if (format == "hostname") return fmt::format("{0}(?:\\.{0}){{0,3}}", kLabel);
  if (format == "ipv4") return fmt::format("{0}(?:\\.{0}){{3}}", kByte);
  if (format == "ipv6") return ipv6();
  if (format == "uuid") return fmt::format("{0}{{8}}-(?:{0}{{4}}-){{3}}{0}{{12}}", kHex);
  if (format == "uri") {
    const std::string plain = "[A-Za-z0-9._~!$&'()*+,;=:@/-]";
    return fmt::format("[A-Za-z][A-Za-z0-9+.-]{{0,31}}:{0}+(?:\\?[?]?{0}*)?(?:#{0}*)?", plain);
  }
  return {};
}

uint32_t length_field(const Json& schema, const char* name, uint32_t otherwise,
                      const std::string& pointer) {
  const std::string source = fmt::format("schema at '{}'", pointer);
  const double value = optional_json_field<double>(schema, name, source).value_or(otherwise);
  require(value >= 0 && value == static_cast<double>(static_cast<int64_t>(value)),
          "{}: '{}' must be a whole number that is not negative", source, name);
  require(value <= 1'000'000 || value == static_cast<double>(kUnbounded),
          "{}: '{}' is {}, more than 1000000", source, name, value);
  return static_cast<uint32_t>(value);
}

}  // namespace

Expression constrained_string(const Json& schema, const std::string& pointer, Grammar& grammar,
                              JsonParts& parts, CharacterExpressions& in_string) {
  const std::string source = fmt::format("schema at '{}'", pointer);
  const auto pattern = optional_json_field<std::string>(schema, "pattern", source);
  const auto format = optional_json_field<std::string>(schema, "format", source);
  const uint32_t min = length_field(schema, "minLength", 0, pointer);
  const uint32_t max = length_field(schema, "maxLength", kUnbounded, pointer);
  require(min <= max, "{}: 'minLength' is more than 'maxLength'", source);
  if (format.has_value()) {
    const bool known = std::find(std::begin(kUnsupportedFormats), std::end(kUnsupportedFormats),
                                 *format) == std::end(kUnsupportedFormats);
    require(known, "{}: the format {} is not supported", source, quote(*format));
  }
  const std::string formatted = format.has_value() ? format_regex(*format) : "";
  const bool has_length = min > 0 || max != kUnbounded;
  require(int{pattern.has_value()} + int{!formatted.empty()} + int{has_length} <= 1,
          "{}: only one of 'pattern', 'format' and lengths is supported for one string", source);
  if (pattern.has_value()) {
    return parts.quoted(parse_regex(*pattern, source, Anchoring::search, grammar, in_string));
  }
  if (!formatted.empty()) {
    return parts.quoted(parse_regex(formatted, source, Anchoring::whole, grammar, in_string));
  }
  if (!has_length) return parts.string();
  return parts.quoted(grammar.repeat(parts.string_character(), min, max));
}

}  // namespace millrace
