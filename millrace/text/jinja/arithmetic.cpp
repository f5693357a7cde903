#include "millrace/text/jinja/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "millrace/text/jinja/markup.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"
#include "millrace/text/jinja/string_format.h"

namespace millrace::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void fail_operands(BinaryOp op, const Value& a, const Value& b) {
  fail("'{}' does not work on a {} and a {}", kSymbols[static_cast<size_t>(op)], type_name(a),
       type_name(b));
}

[[noreturn]] void fail_too_large() {
  fail("an integer is too large");
}

Integer floor_divide(Integer a, Integer b) {
  require(b != 0, "division by zero");
  if (b == -1) {
    Integer result;
    if (__builtin_sub_overflow(Integer{0}, a, &result)) fail_too_large();
    return result;
  }
  Integer quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Integer floor_modulo(Integer a, Integer b) {
  require(b != 0, "division by zero");
  if (b == -1) return 0;
  Integer remainder = a % b;
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

Integer power(Integer base, Integer exponent) {
  Integer result = 1;
  while (exponent > 0) {
    if (exponent % 2 == 1 && __builtin_mul_overflow(result, base, &result)) fail_too_large();
    exponent /= 2;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_too_large();
  }
  return result;
}

double float_modulo(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

Value on_integers(BinaryOp op, Integer a, Integer b) {
  Integer result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) fail_too_large();
      return result;
    case BinaryOp::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) fail_too_large();
      return result;
    case BinaryOp::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) fail_too_large();
      return result;
    case BinaryOp::kDivide:
      require(b != 0, "division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
    case BinaryOp::kFloorDivide:
      return floor_divide(a, b);
    case BinaryOp::kModulo:
      return floor_modulo(a, b);
    case BinaryOp::kPower:
      if (b >= 0) return power(a, b);
      require(a != 0, "division by zero");
      return std::pow(static_cast<double>(a), static_cast<double>(b));
  }
  return result;
}

Value on_reals(BinaryOp op, double a, double b) {
  bool divides = op == BinaryOp::kDivide || op == BinaryOp::kFloorDivide || op == BinaryOp::kModulo;
  require(!divides || b != 0, "division by zero");
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSubtract:
      return a - b;
    case BinaryOp::kMultiply:
      return a * b;
    case BinaryOp::kDivide:
      return a / b;
    case BinaryOp::kFloorDivide:
      return std::floor(a / b);
    case BinaryOp::kModulo:
      return float_modulo(a, b);
    case BinaryOp::kPower:
      return std::pow(a, b);
  }
  return a;
}

Value add_lists(Budget& budget, const List& a, const List& b) {
  budget.spend(a.items.size() + b.items.size());
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return make_list(budget, std::move(items), a.kind);
}

bool is_plain_sequence(const List* list) {
  return list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple);
}

Value repeat_text(Budget& budget, const Text& text, Integer times) {
  budget.check_text_size(text.size());
  Integer size = times * static_cast<Integer>(text.size());
  require(size <= INT32_MAX, "a text of {} bytes cannot be repeated {} times", text.size(),
          integer_text(times));
  budget.check_text_size(static_cast<size_t>(size));
  TextBuilder out(budget);
  for (Integer i = 0; i < times && text.size() > 0; ++i) out.append(text);
  Text result = out.finish();
  result.markup = text.markup;
  return result;
}

Value repeat_list(Budget& budget, const List& list, Integer times) {
  Integer size = times * static_cast<Integer>(list.items.size());
  require(size <= INT32_MAX, "a list of {} items cannot be repeated {} times", list.items.size(),
          integer_text(times));
  budget.spend(static_cast<uint64_t>(size));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(size));
  for (Integer i = 0; i < times && !list.items.empty(); ++i) {
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return make_list(budget, std::move(items), list.kind);
}

/// Text or list times an integer; nullopt for other kinds.
std::optional<Value> repeat(Budget& budget, const Value& sequence, const Value& count) {
  std::optional<Integer> times = as_integer(count);
  if (!times) return std::nullopt;
  times = std::clamp<Integer>(*times, 0, INT32_MAX);
  if (const Text* text = sequence.text()) return repeat_text(budget, *text, *times);
  if (is_plain_sequence(sequence.list())) return repeat_list(budget, *sequence.list(), *times);
  return std::nullopt;
}

}  // namespace

Value calculate(Budget& budget, BinaryOp op, const Value& a, const Value& b) {
  if (op == BinaryOp::kModulo && a.text() != nullptr) return format_percent(budget, *a.text(), b);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (a.is_number() && b.is_number()) {
    std::optional<Integer> x = as_integer(a);
    std::optional<Integer> y = as_integer(b);
    return x && y ? on_integers(op, *x, *y) : on_reals(op, *as_real(a), *as_real(b));
  }
  if (op == BinaryOp::kAdd) {
    if (a.text() != nullptr && b.text() != nullptr) return join_texts(budget, *a.text(), *b.text());
    if (is_plain_sequence(a.list()) && is_plain_sequence(b.list()) &&
        a.list()->kind == b.list()->kind) {
      return add_lists(budget, *a.list(), *b.list());
    }
  }
  if (op == BinaryOp::kMultiply) {
    if (std::optional<Value> result = repeat(budget, a, b)) return *result;
    if (std::optional<Value> result = repeat(budget, b, a)) return *result;
  }
  fail_operands(op, a, b);
}

Value negate(const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  if (const double* real = value.real()) return -*real;
  std::optional<Integer> integer = as_integer(value);
  require(integer.has_value(), "'-' does not work on a {}", type_name(value));
  Integer result;
  if (__builtin_sub_overflow(Integer{0}, *integer, &result)) fail_too_large();
  return result;
}

}  // namespace millrace::jinja
