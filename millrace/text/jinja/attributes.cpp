#include "millrace/text/jinja/attributes.h"

#include <algorithm>
#include <optional>

#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"
#include "millrace/text/jinja/text_operations.h"

namespace millrace::jinja {
namespace {

Value missing_attribute(const Value& object, std::string_view name) {
  return Value::undefined(
      fmt::format("'{}' object has no attribute {}", type_name(object), quote(name)));
}

Value item_or_undefined(const std::vector<Value>& items, size_t index, std::string_view reason) {
  return index < items.size() ? items[index] : Value::undefined(std::string(reason));
}

Value cycle(Loop& loop, const Arguments& arguments) {
  require(!arguments.positional.empty(), "loop.cycle() needs values");
  return arguments.positional[loop.index % arguments.positional.size()];
}

Value changed(Environment& environment, Loop& loop, const Arguments& arguments) {
  Value now = make_tuple(environment.budget, arguments.positional);
  bool same = loop.seen != nullptr && are_equal(environment.budget, Value(loop.seen), now);
  loop.seen = std::get<std::shared_ptr<const List>>(now.data);
  return !same;
}

std::optional<Value> loop_attribute(Environment& environment, const Value& object,
                                    std::string_view name) {
  Loop& loop = *object.loop();
  const std::vector<Value>& items = loop.items->items;
  if (name == "index") return Value::integer(static_cast<int64_t>(loop.index) + 1);
  if (name == "index0") return Value::integer(static_cast<int64_t>(loop.index));
  if (name == "revindex") return Value::integer(static_cast<int64_t>(items.size() - loop.index));
  if (name == "revindex0") {
    return Value::integer(static_cast<int64_t>(items.size() - loop.index) - 1);
  }
  if (name == "length") return Value::integer(static_cast<int64_t>(items.size()));
  if (name == "first") return loop.index == 0;
  if (name == "last") return loop.index + 1 == items.size();
  if (name == "depth") return Value::integer(loop.level + 1);
  if (name == "depth0") return Value::integer(loop.level);
  if (name == "previtem")
    return item_or_undefined(items, loop.index - 1, "there is no item before");
  if (name == "nextitem") return item_or_undefined(items, loop.index + 1, "there is no next item");
  auto shared = std::get<std::shared_ptr<Loop>>(object.data);
  if (name == "cycle") {
    return make_function(
        name, [shared](const Arguments& arguments) { return cycle(*shared, arguments); }, object);
  }
  if (name == "changed") {
    return make_function(
        name,
        [shared, &environment](const Arguments& arguments) {
          return changed(environment, *shared, arguments);
        },
        object);
  }
  return std::nullopt;
}

/// What Python calls an attribute, as far as it exists here.
std::optional<Value> find_attribute(Environment& environment, const Value& object,
                                    std::string_view name) {
  if (object.is_undefined()) fail_undefined(object);
  if (const Namespace* space = object.name_space()) {
    for (const auto& [member, value] : space->members) {
      if (member == name) return value;
    }
    return std::nullopt;
  }
  if (object.loop() != nullptr) return loop_attribute(environment, object, name);
  return find_method(environment, object, name);
}

/// The position that `index` names among `size` items, counted from the end when negative.
std::optional<size_t> position(const Value& index, size_t size) {
  std::optional<Integer> number = as_integer(index);
  if (!number) return std::nullopt;
  Integer at = *number < 0 ? *number + static_cast<Integer>(size) : *number;
  if (at < 0 || at >= static_cast<Integer>(size)) return std::nullopt;
  return static_cast<size_t>(at);
}

std::optional<Value> character_of(Environment& environment, const Text& text, const Value& index) {
  std::optional<size_t> at = position(index, length_of(environment.budget, Value(text)));
  if (!at) return std::nullopt;
  size_t begin = byte_of_character(text.bytes(), *at);
  return cut(environment.budget, text, begin, begin + character_at(text.bytes(), begin).length);
}

bool can_be_key(const Value& key) {
  return key.list() == nullptr && key.dict() == nullptr;
}

std::optional<Value> find_item(Environment& environment, const Value& object, const Value& key) {
  if (const Dict* dict = object.dict()) {
    const Value* found = can_be_key(key) ? find(environment.budget, *dict, key) : nullptr;
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (const Text* text = object.text()) return character_of(environment, *text, key);
  const List* list = object.list();
  bool indexable =
      list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple ||
                          list->kind == ListKind::kRange);
  if (!indexable) return std::nullopt;
  std::optional<size_t> at = position(key, list->items.size());
  return at ? std::optional<Value>(list->items[*at]) : std::nullopt;
}

/// The indices that a slice selects: first, first + step, … (count of them).
struct Selection {
  Integer first;
  Integer step;
  size_t count;
};

/// A bound of a slice as Python clips it; nullopt in `value` means "to the end".
Integer clip(std::optional<Integer> value, Integer when_missing, Integer low, Integer high,
             Integer size) {
  if (!value) return when_missing;
  Integer at = *value < 0 ? *value + size : *value;
  return std::clamp(at, low, high);
}

Selection select(size_t length, std::optional<Integer> start, std::optional<Integer> stop,
                 std::optional<Integer> step) {
  auto size = static_cast<Integer>(length);
  Integer stride = step.value_or(1);
  require(stride != 0, "a slice's step cannot be zero");
  if (stride > 0) {
    Integer first = clip(start, 0, 0, size, size);
    Integer end = clip(stop, size, 0, size, size);
    Integer count = end > first ? (end - first - 1) / stride + 1 : 0;
    return {first, stride, static_cast<size_t>(count)};
  }
  // Bounds the stride so that stepping back cannot overflow.
  stride = std::max(stride, -size - 1);
  Integer first = clip(start, size - 1, -1, size - 1, size);
  Integer end = clip(stop, -1, -1, size - 1, size);
  Integer count = first > end ? (first - end - 1) / -stride + 1 : 0;
  return {first, stride, static_cast<size_t>(count)};
}

Value slice_text(Environment& environment, const Text& text, const Selection& selection) {
  environment.budget.spend_bytes(2 * text.size());
  if (selection.step == 1) {
    size_t begin = byte_of_character(text.bytes(), static_cast<size_t>(selection.first));
    std::string_view rest = std::string_view(text.bytes()).substr(begin);
    return cut(environment.budget, text, begin, begin + byte_of_character(rest, selection.count));
  }
  std::vector<size_t> starts;  // of each character
  for (size_t at = 0; at < text.size(); at += character_at(text.bytes(), at).length) {
    environment.budget.spend(1);
    starts.push_back(at);
  }
  TextBuilder out(environment.budget);
  for (size_t i = 0; i < selection.count; ++i) {
    Integer index = selection.first + static_cast<Integer>(i) * selection.step;
    size_t begin = starts[static_cast<size_t>(index)];
    out.append(text, begin, begin + character_at(text.bytes(), begin).length);
  }
  Text result = out.finish();
  result.markup = text.markup;
  return result;
}

Value slice_list(Environment& environment, const List& list, const Selection& selection) {
  environment.budget.spend(selection.count);
  std::vector<Value> items;
  items.reserve(selection.count);
  for (size_t i = 0; i < selection.count; ++i) {
    Integer index = selection.first + static_cast<Integer>(i) * selection.step;
    items.push_back(list.items[static_cast<size_t>(index)]);
  }
  return make_list(environment.budget, std::move(items), list.kind);
}

/// A slice's bound as a number. False when it is neither an integer nor none.
bool read_bound(const Value& value, std::optional<Integer>& bound) {
  bound = as_integer(value);
  constexpr Integer kFar = Integer{1} << 100;  // past any length; sums with one cannot overflow
  if (bound) bound = std::clamp(*bound, -kFar, kFar);
  return bound.has_value() || value.is_none();
}

}  // namespace

Value make_function(std::string_view name, std::function<Value(const Arguments&)> call,
                    const Value& self) {
  int depth = depth_of(self) + 1;
  require(depth <= kMaxValueDepth, "values nest deeper than {} levels", kMaxValueDepth);
  return std::make_shared<const Function>(Function{std::string(name), depth, std::move(call)});
}

Value get_attribute(Environment& environment, const Value& object, std::string_view name) {
  if (std::optional<Value> found = find_attribute(environment, object, name)) return *found;
  if (const Dict* dict = object.dict()) {
    environment.budget.spend(dict->entries.size() / 8 + 1);
    if (const Value* found = find(*dict, name)) return *found;
  }
  return missing_attribute(object, name);
}

Value get_item(Environment& environment, const Value& object, const Value& key) {
  if (object.is_undefined()) fail_undefined(object);
  if (std::optional<Value> found = find_item(environment, object, key)) return *found;
  if (const Text* name = key.text()) {
    if (std::optional<Value> found = find_attribute(environment, object, name->bytes())) {
      return *found;
    }
    return missing_attribute(object, name->bytes());
  }
  return Value::undefined(fmt::format("'{}' object has no element {}", type_name(object),
                                      str(environment.budget, key).bytes()));
}

Value get_slice(Environment& environment, const Value& object, const Value& start,
                const Value& stop, const Value& step) {
  if (object.is_undefined()) fail_undefined(object);
  std::optional<Integer> bounds[3];
  bool valid =
      read_bound(start, bounds[0]) && read_bound(stop, bounds[1]) && read_bound(step, bounds[2]);
  const Text* text = object.text();
  const List* list = object.list();
  bool sliceable = text != nullptr || (list != nullptr && (list->kind == ListKind::kList ||
                                                           list->kind == ListKind::kTuple ||
                                                           list->kind == ListKind::kRange));
  require(sliceable, "a {} cannot be sliced", type_name(object));
  require(valid, "the bounds of a slice must be integers or none");
  size_t length = length_of(environment.budget, object);
  Selection selection = select(length, bounds[0], bounds[1], bounds[2]);
  return text != nullptr ? slice_text(environment, *text, selection)
                         : slice_list(environment, *list, selection);
}

}  // namespace millrace::jinja
