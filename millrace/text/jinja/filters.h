// The tables of filters: a name and what it does to a value.
#pragma once

#include <string_view>
#include <vector>

#include "millrace/text/jinja/environment.h"

namespace millrace::jinja {

struct NamedFilter {
  std::string_view name;
  Value (*apply)(Environment&, const Value& input, const Arguments& arguments);
};

std::vector<NamedFilter> text_filters();       ///< trim, upper, replace, indent, tojson, …
std::vector<NamedFilter> sequence_filters();   ///< first, length, join, sort, dictsort, …
std::vector<NamedFilter> selection_filters();  ///< map, select, selectattr, unique, min, …
std::vector<NamedFilter> scalar_filters();     ///< default, int, float, round, abs

bool is_filter(std::string_view name);
bool is_test(std::string_view name);

/// Reads members of items by a path such as "function.name" or "0": what the argument `attribute`
/// of many filters means.
class AttributePath {
 public:
  /// An empty path, which gives the item itself, for nullptr and none.
  AttributePath(Environment& environment, const Value* attribute);
  /// The member; `fallback`, when there is one, where it is undefined.
  Value read(Environment& environment, Value item, const Value* fallback = nullptr) const;

 private:
  std::vector<Value> steps_;
};

/// Lower-cased when it is a string: how sorting and uniqueness compare unless told otherwise.
Value ignore_case(Environment& environment, const Value& value);

/// An argument that must be a whole number, or `otherwise` when it was not given or is none.
int64_t integer_argument(const Value* argument, int64_t otherwise, std::string_view name);
/// An argument that must be a string.
const Text& text_argument(const Value& argument, std::string_view name);

}  // namespace millrace::jinja
