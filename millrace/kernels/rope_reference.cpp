// Rotary embedding in the plainest C++.
#include "millrace/kernels/rope.h"

namespace millrace::reference {
namespace {

void rotate(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
            int64_t head_dim, int64_t row_stride, RopePairing pairing, float direction, float* x) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      float* head = x + r * row_stride + h * head_dim;
      for (int64_t i = 0; i < table.half; ++i) {
        auto angle = static_cast<size_t>(positions[r] * table.half + i);
        float c = table.cos[angle], s = direction * table.sin[angle];
        bool split = pairing == RopePairing::half_split;
        float& first = split ? head[i] : head[2 * i];
        float& second = split ? head[i + table.half] : head[2 * i + 1];
        float a = first, b = second;
        first = a * c - b * s;
        second = b * c + a * s;
      }
    }
  }
}

}  // namespace

void rope_forward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                  int64_t head_dim, int64_t row_stride, RopePairing pairing, float* x) {
  rotate(table, positions, rows, heads, head_dim, row_stride, pairing, 1, x);
}

void rope_backward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                   int64_t head_dim, int64_t row_stride, RopePairing pairing, float* dx) {
  rotate(table, positions, rows, heads, head_dim, row_stride, pairing, -1, dx);
}

}  // namespace millrace::reference
