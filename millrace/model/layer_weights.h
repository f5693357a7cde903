// The weights of one layer, by their places in the family's TensorSpecs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "millrace/model/model.h"

namespace millrace {

struct LayerWeights {
  const Model& model;
  int64_t index;
  size_t first = 0;  ///< of the places, where layers are of several kinds

  /// Null where the layer has no such tensor.
  const Parameter* find(size_t place) const { return model.layer(index, first + place); }
  const Parameter& at(size_t place) const { return *find(place); }
  /// A weight and the bias whose place follows.
  Context::Linear linear(size_t place) const { return {at(place), find(place + 1)}; }
};

}  // namespace millrace
