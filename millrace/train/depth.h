// One dial for people who want no knobs: a whole recipe from the number of layers.
#pragma once

#include <filesystem>

#include "millrace/train/recipe.h"

namespace millrace {

/// The recipe of a Llama-style model of `depth` layers (1 to 64) trained from nothing on `corpus`,
/// a text file: width, heads, vocabulary, batch, learning rates and horizon follow from depth and
/// the file's size. Work grows about as depth^6. After nanochat's dial, scaled down to what CPUs
/// can do; each choice has its reason beside it in depth.cpp.
/// Throws Error when depth is out of range or the corpus cannot be read or is empty.
Recipe depth_recipe(int64_t depth, const std::filesystem::path& corpus);

}  // namespace millrace
