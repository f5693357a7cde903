// Python's operators on values: truth, equality, order, arithmetic, membership, iteration.
#pragma once

#include <memory>

#include "millrace/text/jinja/ast.h"
#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

bool is_true(const Value& value);

bool are_equal(Budget& budget, const Value& a, const Value& b);

/// a < b. Throws Error where Python does: for values of different kinds.
bool is_less(Budget& budget, const Value& a, const Value& b);

/// `item in container`.
bool contains(Budget& budget, const Value& container, const Value& item);

bool compare(Budget& budget, CompareOp op, const Value& a, const Value& b);

/// len(value). Throws Error when it has none.
size_t length_of(Budget& budget, const Value& value);

bool is_iterable(const Value& value);

/// The items of a list, which lives for as long as they are looked at.
class Items {
 public:
  explicit Items(std::shared_ptr<const List> list) : list_(std::move(list)) {}

  const std::shared_ptr<const List>& list() const { return list_; }
  const std::vector<Value>& values() const { return list_->items; }
  auto begin() const { return list_->items.begin(); }
  auto end() const { return list_->items.end(); }
  size_t size() const { return list_->items.size(); }
  const Value& operator[](size_t index) const { return list_->items[index]; }

 private:
  std::shared_ptr<const List> list_;
};

/// The items of anything that can be iterated: a list's, a dict's keys, a string's characters, none
/// of Undefined. Draws all that a generator has left. Throws Error for other values.
Items iterate(Budget& budget, const Value& value);

/// The value under a key, or nullptr. Throws Error when the key cannot be one.
const Value* find(Budget& budget, const Dict& dict, const Value& key);
const Value* find(const Dict& dict, std::string_view key);

/// Adds an entry, or replaces the value of the one with this key.
void insert(Budget& budget, std::vector<std::pair<Value, Value>>& entries, Value key, Value value);

/// Throws the Error of an operation that an undefined value does not support.
[[noreturn]] void fail_undefined(const Value& value);

/// Whole number of a bool or int, or nullopt.
std::optional<Integer> as_integer(const Value& value);
/// Real value of a bool, int or float, or nullopt.
std::optional<double> as_real(const Value& value);

}  // namespace millrace::jinja
