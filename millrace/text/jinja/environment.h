// What one rendering has beside its variables: a budget, a clock, and the namespaces that it made.
#pragma once

#include <ctime>
#include <deque>

#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

struct Environment {
  Budget budget;
  std::tm now;  ///< what strftime_now() tells
  /// Values point to namespaces without owning them, so that a namespace may hold itself.
  std::deque<Namespace> namespaces;
};

/// A function that is called as name(…). `self` is the object that it is bound to, if any.
Value make_function(std::string_view name, std::function<Value(const Arguments&)> call,
                    const Value& self = Value());

/// The method `name` bound to `object`, or Undefined where Python's object has a method that would
/// change it; nullopt when there is no such method. Method names are the only Python attributes
/// that exist here.
std::optional<Value> find_method(Environment& environment, const Value& object,
                                 std::string_view name);

/// The global functions range, dict, namespace, raise_exception and strftime_now, by name.
std::vector<std::pair<std::string, Value>> global_functions(Environment& environment);

/// `input | name(arguments)`. Throws Error when there is no such filter.
Value apply_filter(Environment& environment, std::string_view name, const Value& input,
                   const Arguments& arguments);

/// `input is name(arguments)`. Throws Error when there is no such test.
bool apply_test(Environment& environment, std::string_view name, const Value& input,
                const Arguments& arguments);

}  // namespace millrace::jinja
