// Filters that choose or convert the items of a sequence one by one.
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/operators.h"

namespace millrace::jinja {
namespace {

Value generator(Environment& environment, std::vector<Value> items) {
  return make_list(environment.budget, std::move(items), ListKind::kGenerator);
}

/// The arguments but for the first `count`.
Arguments rest_of(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

Value map_attribute(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "map", {"attribute", "default"});
  AttributePath path(environment, bound[0]);
  std::vector<Value> items;
  for (const Value& item : iterate(environment.budget, input)) {
    items.push_back(path.read(environment, item, bound[1]));
  }
  return generator(environment, std::move(items));
}

Value map(Environment& environment, const Value& input, const Arguments& arguments) {
  if (!is_true(input)) return generator(environment, {});
  if (arguments.positional.empty()) {
    require(!arguments.named.empty(), "map() needs a filter's name or an attribute");
    return map_attribute(environment, input, arguments);
  }
  const Text& name = text_argument(arguments.positional[0], "map(): the filter's name");
  Arguments rest = rest_of(arguments, 1);
  std::vector<Value> items;
  for (const Value& item : iterate(environment.budget, input)) {
    items.push_back(apply_filter(environment, name.bytes(), item, rest));
  }
  return generator(environment, std::move(items));
}

/// The items whose member, or themselves when `by_attribute` is false, pass a test or, when none is
/// named, are true; the others when `wanted` is false.
template <bool by_attribute, bool wanted>
Value choose(Environment& environment, const Value& input, const Arguments& arguments) {
  if (!is_true(input)) return generator(environment, {});
  const std::vector<Value>& given = arguments.positional;
  constexpr size_t kTestAt = by_attribute ? 1 : 0;
  require(given.size() >= kTestAt, "selectattr() and rejectattr() need an attribute's name");
  AttributePath path(environment, by_attribute ? &given[0] : nullptr);
  bool has_test = given.size() > kTestAt;
  std::string test = has_test ? text_argument(given[kTestAt], "a test's name").bytes() : "";
  Arguments rest = rest_of(arguments, has_test ? kTestAt + 1 : given.size());
  std::vector<Value> items;
  for (const Value& item : iterate(environment.budget, input)) {
    Value member = path.read(environment, item);
    bool passes = has_test ? apply_test(environment, test, member, rest) : is_true(member);
    if (passes == wanted) items.push_back(item);
  }
  return generator(environment, std::move(items));
}

Value unique(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "unique", {"case_sensitive", "attribute"});
  bool case_sensitive = bound[0] != nullptr && is_true(*bound[0]);
  AttributePath path(environment, bound[1]);
  std::vector<std::pair<Value, Value>> seen;
  std::vector<Value> items;
  for (const Value& item : iterate(environment.budget, input)) {
    Value key = path.read(environment, item);
    if (!case_sensitive) key = ignore_case(environment, key);
    size_t before = seen.size();
    insert(environment.budget, seen, key, Value());
    if (seen.size() > before) items.push_back(item);
  }
  return generator(environment, std::move(items));
}

template <bool wants_largest>
Value extreme(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "min and max", {"case_sensitive", "attribute"});
  bool case_sensitive = bound[0] != nullptr && is_true(*bound[0]);
  AttributePath path(environment, bound[1]);
  Items items = iterate(environment.budget, input);
  if (items.size() == 0) return Value::undefined("the sequence is empty");
  Value best;
  Value best_key;
  bool is_first = true;
  for (const Value& item : items) {
    Value key = path.read(environment, item);
    if (!case_sensitive) key = ignore_case(environment, key);
    bool better = is_first || (wants_largest ? is_less(environment.budget, best_key, key)
                                             : is_less(environment.budget, key, best_key));
    is_first = false;
    if (!better) continue;
    best = item;
    best_key = key;
  }
  return best;
}

}  // namespace

std::vector<NamedFilter> selection_filters() {
  return {{"map", map},
          {"select", choose<false, true>},
          {"reject", choose<false, false>},
          {"selectattr", choose<true, true>},
          {"rejectattr", choose<true, false>},
          {"unique", unique},
          {"min", extreme<false>},
          {"max", extreme<true>}};
}

}  // namespace millrace::jinja
