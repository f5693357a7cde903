// Filters that take sequences apart, order them and put them together.
#include <algorithm>

#include "millrace/text/jinja/arithmetic.h"
#include "millrace/text/jinja/attributes.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"
#include "millrace/text/jinja/sorting.h"
#include "millrace/text/jinja/text_operations.h"

namespace millrace::jinja {
namespace {

Value length(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "length", {});
  return Value::integer(static_cast<int64_t>(length_of(environment.budget, input)));
}

Value to_list(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "list", {});
  return make_list(environment.budget, iterate(environment.budget, input).values());
}

Value first(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "first", {});
  const List* list = input.list();
  if (list != nullptr && list->kind == ListKind::kGenerator) {
    if (list->taken < list->items.size()) return list->items[list->taken++];
  } else {
    Items items = iterate(environment.budget, input);
    if (items.size() > 0) return items[0];
  }
  return Value::undefined("there is no first item, the sequence is empty");
}

Value last(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "last", {});
  require(input.list() == nullptr || input.list()->kind != ListKind::kGenerator,
          "last() needs a list, not a generator");
  Items items = iterate(environment.budget, input);
  if (items.size() == 0) {
    return Value::undefined("there is no last item, the sequence is empty");
  }
  return items[items.size() - 1];
}

Value reverse(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "reverse", {});
  if (input.text() != nullptr) {
    return get_slice(environment, input, Value(), Value(), Value::integer(-1));
  }
  std::vector<Value> items = iterate(environment.budget, input).values();
  std::reverse(items.begin(), items.end());
  return make_list(environment.budget, std::move(items), ListKind::kGenerator);
}

Value join(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "join", {"d", "attribute"});
  Budget& budget = environment.budget;
  Text separator = bound[0] == nullptr ? Text() : str(budget, *bound[0]);
  AttributePath path(environment, bound[1]);
  TextBuilder out(budget);
  bool is_first = true;
  for (const Value& item : iterate(budget, input)) {
    if (!is_first) out.append(separator);
    is_first = false;
    append_str(budget, out, path.read(environment, item));
  }
  return out.finish();
}

struct Keyed {
  Value key;
  Value item;
};

/// The items in the order of their keys, stable also when reversed.
std::vector<Value> sort_by_key(Budget& budget, std::vector<Keyed> keyed, bool descending) {
  merge_sort(keyed, [&](const Keyed& a, const Keyed& b) {
    return descending ? is_less(budget, b.key, a.key) : is_less(budget, a.key, b.key);
  });
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (Keyed& entry : keyed) items.push_back(std::move(entry.item));
  return items;
}

bool flag(const Value* argument) {
  return argument != nullptr && is_true(*argument);
}

Value sort(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "sort", {"reverse", "case_sensitive", "attribute"});
  Budget& budget = environment.budget;
  std::vector<AttributePath> paths;
  if (bound[2] != nullptr && bound[2]->text() != nullptr) {
    Text comma(",", Origin::kTemplate);
    for (Text& name : split(budget, *bound[2]->text(), &comma, -1, false)) {
      Value attribute(std::move(name));
      paths.emplace_back(environment, &attribute);
    }
  } else {
    paths.emplace_back(environment, bound[2]);
  }
  std::vector<Keyed> keyed;
  for (const Value& item : iterate(budget, input)) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths) {
      Value key = path.read(environment, item);
      keys.push_back(flag(bound[1]) ? key : ignore_case(environment, key));
    }
    keyed.push_back({make_list(budget, std::move(keys)), item});
  }
  return make_list(budget, sort_by_key(budget, std::move(keyed), flag(bound[0])));
}

Value dictsort(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "dictsort", {"case_sensitive", "by", "reverse"});
  Budget& budget = environment.budget;
  if (input.is_undefined()) fail_undefined(input);
  require(input.dict() != nullptr, "dictsort() needs a dictionary, not a {}", type_name(input));
  std::string by = bound[1] == nullptr ? "key" : text_argument(*bound[1], "dictsort(): by").bytes();
  require(by == "key" || by == "value", "dictsort(): by must be \"key\" or \"value\"");
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.dict()->entries) {
    const Value& order = by == "key" ? key : value;
    keyed.push_back({flag(bound[0]) ? order : ignore_case(environment, order),
                     make_tuple(budget, {key, value})});
  }
  return make_list(budget, sort_by_key(budget, std::move(keyed), flag(bound[2])));
}

Value items(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "items", {});
  std::vector<Value> pairs;
  if (!input.is_undefined()) {
    require(input.dict() != nullptr, "items() needs a dictionary, not a {}", type_name(input));
    for (const auto& [key, value] : input.dict()->entries) {
      pairs.push_back(make_tuple(environment.budget, {key, value}));
    }
  }
  return make_list(environment.budget, std::move(pairs), ListKind::kGenerator);
}

Value sum(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "sum", {"attribute", "start"});
  AttributePath path(environment, bound[0]);
  Value total = bound[1] == nullptr ? Value::integer(0) : *bound[1];
  require(total.text() == nullptr, "sum() cannot add strings; join() does");
  for (const Value& item : iterate(environment.budget, input)) {
    total = calculate(environment.budget, BinaryOp::kAdd, total, path.read(environment, item));
  }
  return total;
}

/// Lists of `linecount` items each.
Value batch(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "batch", {"linecount", "fill_with"}, 1);
  Budget& budget = environment.budget;
  int64_t size = integer_argument(bound[0], 1, "batch(): linecount");
  require(size > 0, "batch(): linecount must be positive");
  std::vector<Value> batches;
  std::vector<Value> current;
  for (const Value& item : iterate(budget, input)) {
    if (static_cast<int64_t>(current.size()) == size) {
      batches.push_back(make_list(budget, std::exchange(current, {})));
    }
    current.push_back(item);
  }
  if (!current.empty()) {
    bool fills = bound[1] != nullptr && !bound[1]->is_none();
    if (fills) budget.spend(static_cast<uint64_t>(size));
    if (fills) current.resize(static_cast<size_t>(size), *bound[1]);
    batches.push_back(make_list(budget, std::move(current)));
  }
  return make_list(budget, std::move(batches), ListKind::kGenerator);
}

/// That many lists, as equal in length as can be.
Value slice(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "slice", {"slices", "fill_with"}, 1);
  Budget& budget = environment.budget;
  int64_t count = integer_argument(bound[0], 1, "slice(): slices");
  require(count > 0, "slice(): slices must be positive");
  budget.spend(static_cast<uint64_t>(count));
  Items source = iterate(budget, input);
  auto total = static_cast<int64_t>(source.size());
  std::vector<Value> slices;
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    bool extra = i < total % count;
    int64_t end = begin + total / count + (extra ? 1 : 0);
    std::vector<Value> part(source.begin() + begin, source.begin() + end);
    if (bound[1] != nullptr && !bound[1]->is_none() && !extra) part.push_back(*bound[1]);
    slices.push_back(make_list(budget, std::move(part)));
    begin = end;
  }
  return make_list(budget, std::move(slices), ListKind::kGenerator);
}

/// Pairs (value of the attribute, items with it), in the order of that value.
Value groupby(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "groupby", {"attribute", "default", "case_sensitive"}, 1);
  Budget& budget = environment.budget;
  AttributePath path(environment, bound[0]);
  auto key_of = [&](const Value& item) {
    Value key = path.read(environment, item, bound[1]);
    return flag(bound[2]) ? key : ignore_case(environment, key);
  };
  std::vector<Keyed> keyed;
  for (const Value& item : iterate(budget, input)) keyed.push_back({key_of(item), item});
  std::vector<Value> sorted = sort_by_key(budget, std::move(keyed), false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < sorted.size();) {
    std::vector<Value> group;
    size_t end = begin;
    while (end < sorted.size() && are_equal(budget, key_of(sorted[end]), key_of(sorted[begin]))) {
      group.push_back(sorted[end++]);
    }
    groups.push_back(make_tuple(budget, {path.read(environment, sorted[begin], bound[1]),
                                         make_list(budget, std::move(group))}));
    begin = end;
  }
  return make_list(budget, std::move(groups));
}

}  // namespace

std::vector<NamedFilter> sequence_filters() {
  return {{"length", length}, {"count", length},      {"list", to_list}, {"first", first},
          {"last", last},     {"reverse", reverse},   {"join", join},    {"sort", sort},
          {"items", items},   {"dictsort", dictsort}, {"sum", sum},      {"batch", batch},
          {"slice", slice},   {"groupby", groupby}};
}

}  // namespace millrace::jinja
