// The plain loops of quantised products: they define the results that all others must equal.
#include <cmath>

#include "millrace/kernels/quantized_tile.h"

namespace millrace {
namespace {

/// What output j sums over one block of its weights: ascending k, for each group first the products
/// of levels, then those with the group's min.
float add_block(const BlockFormat& format, const Block& weights, const RoundedBlock* x, float sum) {
  int size = format.group_size();
  for (int g = 0; g < format.groups; ++g) {
    const RoundedBlock& block = x[g * size / kQuantBlock];
    int begin = g * size % kQuantBlock;  // of the group in its block of x
    int32_t dot = 0;
    for (int i = 0; i < size; ++i) {
      dot +=
          level(format, weights.codes[static_cast<size_t>(g * size + i)]) * block.levels[begin + i];
    }
    float scale = factor_value(format, weights.d) *
                  static_cast<float>(weights.scales[static_cast<size_t>(g)]);
    sum = std::fma(scale * block.scale, static_cast<float>(dot), sum);
    if (format.has_min) {
      float min = -(factor_value(format, weights.m) *
                    static_cast<float>(weights.mins[static_cast<size_t>(g)]));
      sum = std::fma(min, block.sum[begin / size], sum);
    }
  }
  return sum;
}

void tile(DType type, const QuantizedTile& tile) {
  const BlockFormat& format = block_format(type);
  int64_t span = format.values / kQuantBlock;
  Block weights;
  for (int j = 0; j < kQuantPanel; ++j) {
    for (int r = 0; r < tile.rows && !tile.accumulate; ++r) tile.y[r * tile.y_stride + j] = 0;
    for (int64_t b = 0; b < tile.blocks; b += span) {
      read_panel_block(format, tile.panel, b / span, j, weights);
      for (int r = 0; r < tile.rows; ++r) {
        float& y = tile.y[r * tile.y_stride + j];
        y = add_block(format, weights, tile.x + r * tile.x_stride + b, y);
      }
    }
  }
}

void round_row(const BlockFormat& format, const float* x, int64_t k, RoundedBlock* out) {
  round_blocks(format, x, k, out);
}

}  // namespace

const QuantizedKernels kScalarQuantizedKernels{tile, round_row};

}  // namespace millrace
