#include "millrace/text/jinja/value.h"

#include <algorithm>

namespace millrace::jinja {
namespace {

int checked_depth(int depth) {
  require(depth <= kMaxValueDepth, "lists and dictionaries nest deeper than {} levels",
          kMaxValueDepth);
  return depth;
}

Value number_from_json(const Json& json) {
  if (json.is_number_unsigned()) return Integer{json.get<uint64_t>()};
  if (json.is_number_integer()) return Integer{json.get<int64_t>()};
  return json.get<double>();
}

Value value_from_json(Budget& budget, const Json& json, Origin origin, int level) {
  checked_depth(level);
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return number_from_json(json);
    case Json::value_t::string: {
      const auto& bytes = json.get_ref<const std::string&>();
      budget.spend(4);
      budget.spend_bytes(bytes.size());
      return Text(bytes, origin);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json)
        items.push_back(value_from_json(budget, item, origin, level + 1));
      return make_list(budget, std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        entries.emplace_back(Text(key, origin), value_from_json(budget, item, origin, level + 1));
      }
      return make_dict(budget, std::move(entries));
    }
    default:
      return Value();
  }
}

}  // namespace

int depth_of(const Value& value) {
  if (const List* list = value.list()) return list->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const Function* function = value.function()) return function->depth;
  if (const Loop* loop = value.loop()) return loop->items->depth + 1;
  return 0;
}

Value make_list(Budget& budget, std::vector<Value> items, ListKind kind) {
  budget.spend(items.size() + 4);
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  return std::make_shared<const List>(List{kind, std::move(items), checked_depth(depth + 1)});
}

Value make_tuple(Budget& budget, std::vector<Value> items) {
  return make_list(budget, std::move(items), ListKind::kTuple);
}

Value make_dict(Budget& budget, std::vector<std::pair<Value, Value>> entries) {
  budget.spend(2 * entries.size() + 4);
  int depth = 0;
  for (const auto& [key, value] : entries) {
    depth = std::max({depth, depth_of(key), depth_of(value)});
  }
  return std::make_shared<const Dict>(Dict{std::move(entries), checked_depth(depth + 1)});
}

Value from_json(Budget& budget, const Json& json, Origin origin) {
  return value_from_json(budget, json, origin, 0);
}

std::string_view type_name(const Value& value) {
  static constexpr std::string_view kNames[] = {"Undefined", "NoneType",    "bool",    "int",
                                                "float",     "str",         "list",    "dict",
                                                "Namespace", "LoopContext", "function"};
  static constexpr std::string_view kListNames[] = {
      "list", "tuple", "range", "generator", "dict_keys", "dict_values", "dict_items"};
  if (const List* list = value.list()) return kListNames[static_cast<size_t>(list->kind)];
  return kNames[value.data.index()];
}

std::vector<const Value*> bind(const Arguments& arguments, std::string_view callee,
                               std::initializer_list<std::string_view> names, size_t required) {
  require(arguments.positional.size() <= names.size(), "{}() takes at most {} arguments ({} given)",
          callee, names.size(), arguments.positional.size());
  std::vector<const Value*> bound(names.size(), nullptr);
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) fail("{}() has no parameter {}", callee, quote(name));
    const Value*& slot = bound[static_cast<size_t>(found - names.begin())];
    require(slot == nullptr, "{}() was given '{}' twice", callee, name);
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    require(bound[i] != nullptr, "{}() needs the argument '{}'", callee, *(names.begin() + i));
  }
  return bound;
}

}  // namespace millrace::jinja
