#include "millrace/text/jinja/methods.h"

#include <algorithm>
#include <array>

#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/operators.h"

namespace millrace::jinja {
namespace {

Value dict_get(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "get", {"key", "default"}, 1);
  const Value* found = find(environment.budget, *self.dict(), *bound[0]);
  if (found != nullptr) return *found;
  return bound[1] == nullptr ? Value() : *bound[1];
}

Value dict_items(Environment& environment, const Value& self, const Arguments& arguments) {
  bind(arguments, "items", {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->entries) {
    items.push_back(make_tuple(environment.budget, {key, value}));
  }
  return make_list(environment.budget, std::move(items), ListKind::kItems);
}

Value dict_keys(Environment& environment, const Value& self, const Arguments& arguments) {
  bind(arguments, "keys", {});
  std::vector<Value> keys;
  for (const auto& entry : self.dict()->entries) keys.push_back(entry.first);
  return make_list(environment.budget, std::move(keys), ListKind::kKeys);
}

Value dict_values(Environment& environment, const Value& self, const Arguments& arguments) {
  bind(arguments, "values", {});
  std::vector<Value> values;
  for (const auto& entry : self.dict()->entries) values.push_back(entry.second);
  return make_list(environment.budget, std::move(values), ListKind::kValues);
}

Value copy(Environment&, const Value& self, const Arguments& arguments) {
  bind(arguments, "copy", {});
  return self;
}

Value list_index(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "index", {"value"}, 1);
  const std::vector<Value>& items = self.list()->items;
  auto found = std::find_if(items.begin(), items.end(), [&](const Value& item) {
    return are_equal(environment.budget, item, *bound[0]);
  });
  require(found != items.end(), "index(): the value is not in the list");
  return Value::integer(found - items.begin());
}

Value list_count(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "count", {"value"}, 1);
  const std::vector<Value>& items = self.list()->items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return are_equal(environment.budget, item, *bound[0]);
  }));
}

bool changes_object(const Value& object, std::string_view name) {
  static constexpr std::array<std::string_view, 5> kOfDict = {"clear", "pop", "popitem",
                                                              "setdefault", "update"};
  static constexpr std::array<std::string_view, 8> kOfList = {
      "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"};
  if (object.dict() != nullptr) return std::count(kOfDict.begin(), kOfDict.end(), name) > 0;
  const List* list = object.list();
  bool is_list = list != nullptr && list->kind == ListKind::kList;
  return is_list && std::count(kOfList.begin(), kOfList.end(), name) > 0;
}

const MethodTable* methods_of(const Value& object) {
  if (object.text() != nullptr) return &string_methods();
  if (object.dict() != nullptr) return &dict_methods();
  const List* list = object.list();
  bool indexable =
      list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple ||
                          list->kind == ListKind::kRange);
  return indexable ? &list_methods() : nullptr;
}

}  // namespace

const MethodTable& dict_methods() {
  static const MethodTable table = {{"get", dict_get},
                                    {"items", dict_items},
                                    {"keys", dict_keys},
                                    {"values", dict_values},
                                    {"copy", copy}};
  return table;
}

const MethodTable& list_methods() {
  static const MethodTable table = {{"index", list_index}, {"count", list_count}, {"copy", copy}};
  return table;
}

std::optional<Value> find_method(Environment& environment, const Value& object,
                                 std::string_view name) {
  if (changes_object(object, name)) {
    return Value::undefined(
        fmt::format("'{}' would change a {}, which a template may not", name, type_name(object)));
  }
  const MethodTable* table = methods_of(object);
  if (table == nullptr) return std::nullopt;
  auto found = table->find(name);
  if (found == table->end()) return std::nullopt;
  Method method = found->second;
  return make_function(
      name,
      [&environment, method, object](const Arguments& arguments) {
        return method(environment, object, arguments);
      },
      object);
}

}  // namespace millrace::jinja
