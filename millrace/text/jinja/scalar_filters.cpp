// Filters on single values: default, and numbers.
#include <cmath>

#include "millrace/text/jinja/arithmetic.h"
#include "millrace/text/jinja/attributes.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/literals.h"
#include "millrace/text/jinja/operators.h"

namespace millrace::jinja {
namespace {

Value default_filter(Environment&, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "default", {"default_value", "boolean"});
  bool for_false = bound[1] != nullptr && is_true(*bound[1]);
  if (!input.is_undefined() && (!for_false || is_true(input))) return input;
  return bound[0] == nullptr ? Value(Text()) : *bound[0];
}

/// A float cut to its whole part; nullopt for NaN. Throws Error when it is too large.
std::optional<Integer> truncated(double value) {
  if (std::isnan(value)) return std::nullopt;
  require(std::fabs(value) < 1e37, "a number is too large for an integer");
  return static_cast<Integer>(value);
}

std::optional<Integer> to_integer(const Value& input, int base) {
  if (const Text* text = input.text()) {
    if (std::optional<Integer> whole = parse_integer(text->bytes(), base)) return whole;
    std::optional<double> real = parse_float(text->bytes());
    return real && std::isfinite(*real) ? truncated(*real) : std::nullopt;
  }
  if (const double* real = input.real()) return truncated(*real);
  return as_integer(input);
}

Value int_filter(Environment&, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "int", {"default", "base"});
  if (input.is_undefined()) fail_undefined(input);
  int64_t base = integer_argument(bound[1], 10, "int(): base");
  require(base == 0 || (base >= 2 && base <= 36), "int(): base must be 0 or 2 to 36");
  if (std::optional<Integer> value = to_integer(input, static_cast<int>(base))) return *value;
  return bound[0] == nullptr ? Value::integer(0) : *bound[0];
}

Value float_filter(Environment&, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "float", {"default"});
  if (input.is_undefined()) fail_undefined(input);
  std::optional<double> value =
      input.text() != nullptr ? parse_float(input.text()->bytes()) : as_real(input);
  if (value) return *value;
  return bound[0] == nullptr ? Value(0.0) : *bound[0];
}

Value abs_filter(Environment&, const Value& input, const Arguments& arguments) {
  bind(arguments, "abs", {});
  if (const double* real = input.real()) return std::fabs(*real);
  if (input.is_undefined()) fail_undefined(input);
  std::optional<Integer> value = as_integer(input);
  require(value.has_value(), "abs() needs a number, not a {}", type_name(input));
  return *value < 0 ? negate(*value) : Value(*value);
}

/// Rounds half to even on the exact binary value, as Python's round() does.
double round_to(double value, int precision) {
  if (!std::isfinite(value)) return value;
  if (precision >= 0) return *parse_float(fmt::format("{:.{}f}", value, precision));
  double scale = std::pow(10.0, -precision);
  return std::nearbyint(value / scale) * scale;
}

Value round_filter(Environment&, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "round", {"precision", "method"});
  if (input.is_undefined()) fail_undefined(input);
  std::optional<double> value = as_real(input);
  require(value.has_value(), "round() needs a number, not a {}", type_name(input));
  int64_t precision = integer_argument(bound[0], 0, "round(): precision");
  require(precision >= -300 && precision <= 300, "round(): precision must be -300 to 300");
  std::string method =
      bound[1] == nullptr ? "common" : text_argument(*bound[1], "round(): method").bytes();
  require(method == "common" || method == "ceil" || method == "floor",
          "round(): method must be common, ceil or floor");
  if (method != "common") {
    double scale = std::pow(10.0, static_cast<double>(precision));
    double scaled = *value * scale;
    return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
  }
  if (std::optional<Integer> whole = as_integer(input); whole && precision >= 0) return *whole;
  double rounded = round_to(*value, static_cast<int>(precision));
  if (input.real() == nullptr) return *truncated(rounded);
  return rounded;
}

}  // namespace

std::vector<NamedFilter> scalar_filters() {
  return {{"default", default_filter}, {"d", default_filter}, {"int", int_filter},
          {"float", float_filter},     {"abs", abs_filter},   {"round", round_filter}};
}

}  // namespace millrace::jinja
