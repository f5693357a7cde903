// How rows are divided: into ranges for threads, and into fixed chunks for sums over rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "millrace/base/thread_pool.h"

namespace millrace {

/// Values that make a part worth a thread of its own: some 10 µs of simple arithmetic.
inline constexpr int64_t kPartValues = 32768;

/// Rows of `width` values that make such a part.
inline int64_t rows_a_part(int64_t width) {
  return std::max<int64_t>(1, kPartValues / std::max<int64_t>(1, width));
}

/// Rows that are summed one after the other before their sum joins the others'. Part of the
/// arithmetic contract: another number gives other bits.
inline constexpr int64_t kChunkRows = 256;

/// Sums over rows that depend on no thread: calls body(begin, end, sums) for each chunk of rows,
/// with zeroed sums [width] to add to, and returns the chunks' sums added in ascending order.
template <typename Body>
std::vector<float> sum_in_chunks(int64_t rows, int64_t width, const Body& body) {
  const int64_t chunks = std::max<int64_t>(1, (rows + kChunkRows - 1) / kChunkRows);
  std::vector<float> sums(static_cast<size_t>(chunks * width));
  parallel_ranges(rows, kChunkRows, [&](int64_t begin, int64_t end) {
    body(begin, end, sums.data() + begin / kChunkRows * width);
  });
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    const float* add = sums.data() + chunk * width;
    for (int64_t c = 0; c < width; ++c) sums[static_cast<size_t>(c)] += add[c];
  }
  sums.resize(static_cast<size_t>(width));
  return sums;
}

}  // namespace millrace
