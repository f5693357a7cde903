// Copies and sums of whole rows; memory decides their speed, so plain loops serve.
#include "millrace/kernels/embedding.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"

namespace millrace {

void gather_rows(const float* table, const int32_t* ids, int64_t count, int64_t width, float* out) {
  parallel_ranges(count, rows_a_part(width), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(out + i * width, table + ids[i] * width,
                  static_cast<size_t>(width) * sizeof(float));
    }
  });
}

void scatter_add_rows(const float* dout, const int32_t* ids, int64_t count, int64_t width,
                      float* dtable) {
  // Rows by id, those of one id in ascending order; a thread takes all rows of an id.
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [=](int64_t a, int64_t b) { return ids[a] != ids[b] ? ids[a] < ids[b] : a < b; });
  parallel_ranges(count, rows_a_part(width), [&](int64_t begin, int64_t end) {
    auto id_at = [&](int64_t i) { return ids[order[static_cast<size_t>(i)]]; };
    while (begin > 0 && begin < end && id_at(begin) == id_at(begin - 1)) ++begin;
    while (begin < end && end < count && id_at(end) == id_at(end - 1)) ++end;
    for (int64_t i = begin; i < end; ++i) {
      const float* from = dout + order[static_cast<size_t>(i)] * width;
      float* to = dtable + id_at(i) * width;
      for (int64_t c = 0; c < width; ++c) to[c] += from[c];
    }
  });
}

}  // namespace millrace
