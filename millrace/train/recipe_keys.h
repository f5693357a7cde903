// The one table of what a recipe may say; validation, YAML output and documentation read it.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "millrace/train/recipe.h"

namespace millrace {

/// A pointer to the value of one key within a recipe; its alternative is the key's type.
using RecipeField = std::variant<bool*, int64_t*, double*, std::string*, std::vector<double>*,
                                 std::vector<std::string>*>;

/// The values that a key admits: numbers within [least, most], or the words of `choices`.
struct RecipeRange {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  std::vector<std::string_view> choices;
};

struct RecipeKey {
  std::string_view path;  // "optimizer.lr"
  RecipeField (*field)(Recipe&);
  RecipeRange range;
  std::string_view help;
};

/// Every key, in the order in which a recipe is written.
std::span<const RecipeKey> recipe_keys();

/// "integer", "list of numbers", …
std::string_view type_name(const RecipeField& field);

/// The value as YAML writes it.
std::string value_text(const RecipeField& field);

/// "0 to 1", "from 1", "bf16, f32"; empty where anything goes.
std::string range_text(const RecipeKey& key);

/// The table as Markdown, with types, defaults and ranges.
std::string recipe_reference();

}  // namespace millrace
