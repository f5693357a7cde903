// Jinja's tests: what may follow `is`.
#include <algorithm>
#include <map>

#include "millrace/text/jinja/arithmetic.h"
#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"

namespace millrace::jinja {
namespace {

using Predicate = bool (*)(Environment&, const Value& input, const Value* argument);

struct NamedPredicate {
  Predicate holds;
  bool takes_argument;
};

bool is_true_constant(const Value& value, bool wanted) {
  const bool* boolean = std::get_if<bool>(&value.data);
  return boolean != nullptr && *boolean == wanted;
}

/// value % divisor == remainder
bool has_remainder(Environment& environment, const Value& value, const Value& divisor,
                   int64_t remainder) {
  Value rest = calculate(environment.budget, BinaryOp::kModulo, value, divisor);
  return are_equal(environment.budget, rest, Value::integer(remainder));
}

bool is_odd(Environment& environment, const Value& value, const Value*) {
  return has_remainder(environment, value, Value::integer(2), 1);
}

bool is_even(Environment& environment, const Value& value, const Value*) {
  return has_remainder(environment, value, Value::integer(2), 0);
}

bool is_divisible(Environment& environment, const Value& value, const Value* divisor) {
  return has_remainder(environment, value, *divisor, 0);
}

bool is_sequence(const Value& value) {
  const List* list = value.list();
  bool indexable =
      list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple ||
                          list->kind == ListKind::kRange);
  return indexable || value.is_undefined() || value.text() != nullptr || value.dict() != nullptr;
}

/// All cased characters are of one case, and there is at least one.
bool is_of_case(Environment& environment, const Value& value, bool upper) {
  bool any = false;
  bool all = true;
  for_each_character(str(environment.budget, value).bytes(), [&](uint32_t code, std::string_view) {
    bool is_wanted = upper ? is_upper(code) : is_lower(code);
    bool is_other = upper ? is_lower(code) : is_upper(code);
    any = any || is_wanted;
    all = all && !is_other;
  });
  return any && all;
}

bool is_same_object(Environment& environment, const Value& a, const Value& b) {
  if (a.data.index() != b.data.index()) return false;
  if (a.list() != nullptr || a.dict() != nullptr)
    return a.list() == b.list() && a.dict() == b.dict();
  return are_equal(environment.budget, a, b);
}

template <CompareOp kOp>
bool compares(Environment& environment, const Value& input, const Value* argument) {
  return compare(environment.budget, kOp, input, *argument);
}

const std::map<std::string_view, NamedPredicate>& all_predicates() {
  using E = Environment;
  using V = Value;
  static const std::map<std::string_view, NamedPredicate> table = {
      {"defined", {[](E&, const V& v, const V*) { return !v.is_undefined(); }, false}},
      {"undefined", {[](E&, const V& v, const V*) { return v.is_undefined(); }, false}},
      {"none", {[](E&, const V& v, const V*) { return v.is_none(); }, false}},
      {"boolean", {[](E&, const V& v, const V*) { return v.is_bool(); }, false}},
      {"true", {[](E&, const V& v, const V*) { return is_true_constant(v, true); }, false}},
      {"false", {[](E&, const V& v, const V*) { return is_true_constant(v, false); }, false}},
      {"integer", {[](E&, const V& v, const V*) { return v.integer() != nullptr; }, false}},
      {"float", {[](E&, const V& v, const V*) { return v.real() != nullptr; }, false}},
      {"number", {[](E&, const V& v, const V*) { return v.is_number(); }, false}},
      {"string", {[](E&, const V& v, const V*) { return v.text() != nullptr; }, false}},
      {"mapping", {[](E&, const V& v, const V*) { return v.dict() != nullptr; }, false}},
      {"sequence", {[](E&, const V& v, const V*) { return is_sequence(v); }, false}},
      {"iterable", {[](E&, const V& v, const V*) { return is_iterable(v); }, false}},
      {"callable",
       {[](E&, const V& v, const V*) { return v.function() != nullptr || v.is_undefined(); },
        false}},
      {"escaped",
       {[](E&, const V& v, const V*) { return v.text() != nullptr && v.text()->markup; }, false}},
      {"odd", {is_odd, false}},
      {"even", {is_even, false}},
      {"lower", {[](E& e, const V& v, const V*) { return is_of_case(e, v, false); }, false}},
      {"upper", {[](E& e, const V& v, const V*) { return is_of_case(e, v, true); }, false}},
      {"divisibleby", {is_divisible, true}},
      {"sameas", {[](E& e, const V& v, const V* a) { return is_same_object(e, v, *a); }, true}},
      {"filter",
       {[](E&, const V& v, const V*) { return is_filter(text_argument(v, "a name").bytes()); },
        false}},
      {"test",
       {[](E&, const V& v, const V*) { return is_test(text_argument(v, "a name").bytes()); },
        false}},
      {"in", {compares<CompareOp::kIn>, true}},
      {"==", {compares<CompareOp::kEqual>, true}},
      {"eq", {compares<CompareOp::kEqual>, true}},
      {"equalto", {compares<CompareOp::kEqual>, true}},
      {"!=", {compares<CompareOp::kNotEqual>, true}},
      {"ne", {compares<CompareOp::kNotEqual>, true}},
      {">", {compares<CompareOp::kGreater>, true}},
      {"gt", {compares<CompareOp::kGreater>, true}},
      {"greaterthan", {compares<CompareOp::kGreater>, true}},
      {">=", {compares<CompareOp::kGreaterEqual>, true}},
      {"ge", {compares<CompareOp::kGreaterEqual>, true}},
      {"<", {compares<CompareOp::kLess>, true}},
      {"lt", {compares<CompareOp::kLess>, true}},
      {"lessthan", {compares<CompareOp::kLess>, true}},
      {"<=", {compares<CompareOp::kLessEqual>, true}},
      {"le", {compares<CompareOp::kLessEqual>, true}},
  };
  return table;
}

}  // namespace

bool is_test(std::string_view name) {
  return all_predicates().count(name) > 0;
}

bool apply_test(Environment& environment, std::string_view name, const Value& input,
                const Arguments& arguments) {
  auto found = all_predicates().find(name);
  if (found == all_predicates().end()) fail("there is no test named {}", quote(name));
  size_t expected = found->second.takes_argument ? 1 : 0;
  require(arguments.named.empty() && arguments.positional.size() == expected,
          "the test '{}' takes {} arguments", name, expected);
  const Value* argument = expected == 1 ? arguments.positional.data() : nullptr;
  return found->second.holds(environment, input, argument);
}

}  // namespace millrace::jinja
