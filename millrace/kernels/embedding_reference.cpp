// Table look-up in the plainest C++.
#include "millrace/kernels/embedding.h"

namespace millrace::reference {

void gather_rows(const float* table, const int32_t* ids, int64_t count, int64_t width, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < width; ++c) out[i * width + c] = table[ids[i] * width + c];
  }
}

void scatter_add_rows(const float* dout, const int32_t* ids, int64_t count, int64_t width,
                      float* dtable) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < width; ++c) dtable[ids[i] * width + c] += dout[i * width + c];
  }
}

}  // namespace millrace::reference
