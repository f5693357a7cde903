// Moving weights to where products read them fastest, while a model runs already.
#pragma once

#include <cstddef>

#include "millrace/model/model.h"

namespace millrace {

/// Moves weights of a model that is only run, about `bytes` of them, out of a mapped file or memory
/// of their own into neighbouring huge pages, where products read them up to 20 % faster; what was
/// mapped is let go. Experts stay mapped where the file is larger than half the memory: many may
/// never be read; all stay where that memory has no room for the file. A matrix that somebody else
/// holds as well (WeightCache::save_behind) waits. False when nothing is left to move. Not while
/// the model runs.
bool settle_weights(Model& model, size_t bytes);

}  // namespace millrace
