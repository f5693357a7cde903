// The values that a template computes with: Python's, as far as plain data goes. They are never
// changed once made, but for the members of a namespace.
#pragma once

#include <concepts>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/text/jinja/lexer.h"
#include "millrace/text/jinja/text.h"

namespace millrace::jinja {

struct Value;
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Function;

/// A name or member that does not exist. It prints as nothing and is false; most other uses fail
/// with `reason`.
struct Undefined {
  std::shared_ptr<const std::string> reason;
};

struct None {};

struct Value {
  using Data = std::variant<Undefined, None, bool, Integer, double, std::shared_ptr<const Text>,
                            std::shared_ptr<const List>, std::shared_ptr<const Dict>, Namespace*,
                            std::shared_ptr<Loop>, std::shared_ptr<const Function>>;
  Data data;

  Value() : data(None{}) {}
  template <typename T>
  requires(std::same_as<T, bool> || std::same_as<T, double> || std::same_as<T, Integer> ||
           std::same_as<T, Undefined> || std::same_as<T, Namespace*>)
      Value(T value)  // NOLINT: implicit by intention
      : data(value) {}
  Value(Text text)  // NOLINT: implicit by intention
      : data(std::make_shared<const Text>(std::move(text))) {}
  template <typename T>
  Value(std::shared_ptr<T> object)  // NOLINT: implicit by intention
      : data(std::move(object)) {}

  /// An Undefined with its reason.
  static Value undefined(std::string reason) {
    return Undefined{std::make_shared<const std::string>(std::move(reason))};
  }
  static Value integer(int64_t value) { return Integer{value}; }

  bool is_undefined() const { return std::holds_alternative<Undefined>(data); }
  bool is_none() const { return std::holds_alternative<None>(data); }
  bool is_bool() const { return std::holds_alternative<bool>(data); }
  bool is_number() const { return is_bool() || integer() != nullptr || real() != nullptr; }

  /// The value as one of these kinds, or nullptr.
  const Integer* integer() const { return std::get_if<Integer>(&data); }
  const double* real() const { return std::get_if<double>(&data); }
  const Text* text() const { return object<const Text>(); }
  const List* list() const { return object<const List>(); }
  const Dict* dict() const { return object<const Dict>(); }
  Loop* loop() const { return object<Loop>(); }
  const Function* function() const { return object<const Function>(); }
  Namespace* name_space() const {
    auto* found = std::get_if<Namespace*>(&data);
    return found == nullptr ? nullptr : *found;
  }

 private:
  template <typename T>
  T* object() const {
    auto* found = std::get_if<std::shared_ptr<T>>(&data);
    return found == nullptr ? nullptr : found->get();
  }
};

/// What Python calls list, tuple, generator, and the three views of a dict.
enum class ListKind { kList, kTuple, kRange, kGenerator, kKeys, kValues, kItems };

struct List {
  ListKind kind;
  std::vector<Value> items;
  int depth;                 ///< 1 + the deepest item's
  mutable size_t taken = 0;  ///< of a generator: how many items were drawn; they come once
};

/// Entries in the order of their first insertion; keys are what Python can hash.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth;
};

/// The one thing that a template can change: {% set ns.name = value %}.
struct Namespace {
  std::vector<std::pair<std::string, Value>> members;
};

/// `loop` within a {% for %}.
struct Loop {
  std::shared_ptr<const List> items;
  size_t index = 0;
  int level = 0;                     ///< of recursive loops, from 0
  std::shared_ptr<const List> seen;  ///< the arguments of the last loop.changed()
  std::function<Value(const Value&)> recurse;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  Origin names_origin = Origin::kTemplate;  ///< kData when names came out of a **mapping
};

/// Anything that can be called: a macro, a bound method, a global function.
struct Function {
  std::string name;
  int depth;  ///< 1 + that of the object that it is bound to
  std::function<Value(const Arguments&)> call;
};

/// How deep the value nests; 0 for scalars.
int depth_of(const Value& value);

/// Makes containers and charges for them. Throw Error when they nest too deeply.
Value make_list(Budget& budget, std::vector<Value> items, ListKind kind = ListKind::kList);
Value make_tuple(Budget& budget, std::vector<Value> items);
Value make_dict(Budget& budget, std::vector<std::pair<Value, Value>> entries);

/// Plain data; every string within it is of `origin`. Throws Error when it nests too deeply.
Value from_json(Budget& budget, const Json& json, Origin origin);

/// Python's name of the value's type, for messages: "str", "NoneType", …
std::string_view type_name(const Value& value);

/// The arguments by parameter name, as Python binds them: element i belongs to names[i] and is
/// nullptr when it was not given. Throws Error naming `callee` for unknown, doubled, surplus and
/// missing ones (the first `required` must be there).
std::vector<const Value*> bind(const Arguments& arguments, std::string_view callee,
                               std::initializer_list<std::string_view> names, size_t required = 0);

}  // namespace millrace::jinja
