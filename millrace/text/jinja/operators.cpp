#include "millrace/text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "millrace/text/jinja/characters.h"

namespace millrace::jinja {
namespace {

bool same_sequence_kind(const List& a, const List& b) {
  return a.kind == b.kind && a.kind != ListKind::kGenerator && a.kind != ListKind::kValues;
}

bool equal_lists(Budget& budget, const List& a, const List& b) {
  if (&a == &b) return true;
  if (!same_sequence_kind(a, b) || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!are_equal(budget, a.items[i], b.items[i])) return false;
  }
  return true;
}

bool equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
  if (&a == &b) return true;
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = find(budget, b, key);
    if (other == nullptr || !are_equal(budget, value, *other)) return false;
  }
  return true;
}

bool equal_numbers(const Value& a, const Value& b) {
  std::optional<Integer> x = as_integer(a);
  std::optional<Integer> y = as_integer(b);
  return x && y ? *x == *y : *as_real(a) == *as_real(b);
}

bool less_lists(Budget& budget, const List& a, const List& b) {
  size_t shared = std::min(a.items.size(), b.items.size());
  for (size_t i = 0; i < shared; ++i) {
    if (!are_equal(budget, a.items[i], b.items[i])) return is_less(budget, a.items[i], b.items[i]);
  }
  return a.items.size() < b.items.size();
}

bool is_hashable(const Value& key) {
  const List* list = key.list();
  if (list != nullptr && list->kind == ListKind::kTuple) {
    return std::all_of(list->items.begin(), list->items.end(), is_hashable);
  }
  return list == nullptr && key.dict() == nullptr;
}

const Value* find_entry(Budget& budget, const std::vector<std::pair<Value, Value>>& entries,
                        const Value& key) {
  require(is_hashable(key), "a {} cannot be a dictionary's key", type_name(key));
  budget.spend(entries.size() / 8 + 1);
  for (const auto& [known, value] : entries) {
    if (are_equal(budget, known, key)) return &value;
  }
  return nullptr;
}

Items list_of(Budget& budget, std::vector<Value> items) {
  Value list = make_list(budget, std::move(items));
  return Items(std::get<std::shared_ptr<const List>>(list.data));
}

std::vector<Value> characters_of(Budget& budget, const Text& text) {
  std::vector<Value> items;
  size_t at = 0;
  for_each_character(text.bytes(), [&](uint32_t, std::string_view character) {
    budget.spend(6);
    Text piece;
    piece.append(text, at, at + character.size());
    at += character.size();
    items.emplace_back(std::move(piece));
  });
  return items;
}

std::vector<Value> keys_of(const Dict& dict) {
  std::vector<Value> keys;
  keys.reserve(dict.entries.size());
  for (const auto& entry : dict.entries) keys.push_back(entry.first);
  return keys;
}

}  // namespace

void fail_undefined(const Value& value) {
  fail("{}", *std::get<Undefined>(value.data).reason);
}

std::optional<Integer> as_integer(const Value& value) {
  if (const Integer* integer = value.integer()) return *integer;
  if (const bool* boolean = std::get_if<bool>(&value.data)) return Integer{*boolean};
  return std::nullopt;
}

std::optional<double> as_real(const Value& value) {
  if (const double* real = value.real()) return *real;
  if (std::optional<Integer> integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

bool is_true(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (std::optional<double> number = as_real(value)) return *number != 0;
  if (const Text* text = value.text()) return text->size() > 0;
  if (const List* list = value.list()) {
    return list->kind == ListKind::kGenerator || !list->items.empty();
  }
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

bool are_equal(Budget& budget, const Value& a, const Value& b) {
  budget.spend(1);
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.data.index() != b.data.index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (const Text* text = a.text()) {
    if (text->size() != b.text()->size()) return false;
    budget.spend_bytes(text->size());
    return text->bytes() == b.text()->bytes();
  }
  if (const List* list = a.list()) return equal_lists(budget, *list, *b.list());
  if (const Dict* dict = a.dict()) return equal_dicts(budget, *dict, *b.dict());
  if (const Function* function = a.function()) return function == b.function();
  if (const Loop* loop = a.loop()) return loop == b.loop();
  return a.name_space() == b.name_space();
}

bool is_less(Budget& budget, const Value& a, const Value& b) {
  budget.spend(1);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (a.is_number() && b.is_number()) {
    std::optional<Integer> x = as_integer(a);
    std::optional<Integer> y = as_integer(b);
    return x && y ? *x < *y : *as_real(a) < *as_real(b);
  }
  if (a.text() != nullptr && b.text() != nullptr) {
    budget.spend_bytes(std::min(a.text()->size(), b.text()->size()));
    return a.text()->bytes() < b.text()->bytes();  // order of UTF-8 is order of code points
  }
  const List* list = a.list();
  const List* other = b.list();
  bool ordered = list != nullptr && other != nullptr && list->kind == other->kind &&
                 (list->kind == ListKind::kList || list->kind == ListKind::kTuple);
  require(ordered, "a {} and a {} have no order", type_name(a), type_name(b));
  return less_lists(budget, *list, *other);
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    const Text* part = item.text();
    if (item.is_undefined()) fail_undefined(item);
    require(part != nullptr, "'in <string>' needs a string on its left, not a {}", type_name(item));
    budget.spend_bytes(text->size());
    return find_bytes(text->bytes(), part->bytes()) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) return find(budget, *dict, item) != nullptr;
  Items items = iterate(budget, container);
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& known) { return are_equal(budget, known, item); });
}

bool compare(Budget& budget, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEqual:
      return are_equal(budget, a, b);
    case CompareOp::kNotEqual:
      return !are_equal(budget, a, b);
    case CompareOp::kLess:
      return is_less(budget, a, b);
    case CompareOp::kGreater:
      return is_less(budget, b, a);
    case CompareOp::kLessEqual:
      return is_less(budget, a, b) || are_equal(budget, a, b);
    case CompareOp::kGreaterEqual:
      return is_less(budget, b, a) || are_equal(budget, a, b);
    case CompareOp::kIn:
      return contains(budget, b, a);
    case CompareOp::kNotIn:
      return !contains(budget, b, a);
  }
  return false;
}

size_t length_of(Budget& budget, const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* text = value.text()) {
    budget.spend_bytes(text->size());
    return count_characters(text->bytes());
  }
  const List* list = value.list();
  if (list != nullptr && list->kind != ListKind::kGenerator) return list->items.size();
  if (const Dict* dict = value.dict()) return dict->entries.size();
  if (const Loop* loop = value.loop()) return loop->items->items.size();
  fail("a {} has no length", type_name(value));
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.text() != nullptr || value.list() != nullptr ||
         value.dict() != nullptr;
}

Items iterate(Budget& budget, const Value& value) {
  if (auto* list = std::get_if<std::shared_ptr<const List>>(&value.data)) {
    if ((*list)->kind != ListKind::kGenerator) return Items(*list);
    size_t from = std::exchange((*list)->taken, (*list)->items.size());
    if (from == 0) return Items(*list);
    return list_of(
        budget, {(*list)->items.begin() + static_cast<std::ptrdiff_t>(from), (*list)->items.end()});
  }
  if (value.is_undefined()) return list_of(budget, {});
  if (const Text* text = value.text()) return list_of(budget, characters_of(budget, *text));
  if (const Dict* dict = value.dict()) return list_of(budget, keys_of(*dict));
  fail("a {} cannot be iterated", type_name(value));
}

const Value* find(Budget& budget, const Dict& dict, const Value& key) {
  return find_entry(budget, dict.entries, key);
}

const Value* find(const Dict& dict, std::string_view key) {
  for (const auto& [known, value] : dict.entries) {
    const Text* text = known.text();
    if (text != nullptr && text->bytes() == key) return &value;
  }
  return nullptr;
}

void insert(Budget& budget, std::vector<std::pair<Value, Value>>& entries, Value key, Value value) {
  const Value* known = find_entry(budget, entries, key);
  if (known != nullptr) {
    *const_cast<Value*>(known) = std::move(value);
  } else {
    entries.emplace_back(std::move(key), std::move(value));
  }
}

}  // namespace millrace::jinja
