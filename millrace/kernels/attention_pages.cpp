// How keys and values get into the pages of the cache.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention_parts.h"
#include "millrace/kernels/row_chunks.h"

namespace millrace {
namespace {

template <typename T>
T rounded(float x) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(x);
  } else {
    return x;
  }
}

/// Writes one head's key or value at `slot` where the panels around it hold others already.
template <typename T>
void store_key(const PageLayout& layout, const float* k, int64_t dim, int64_t slot, T* keys) {
  const int64_t padded = layout.together() * ((dim + layout.together() - 1) / layout.together());
  for (int64_t d = 0; d < padded; ++d) {
    keys[layout.offset(layout.key_panel, slot, d)] = rounded<T>(d < dim ? k[d] : 0);
  }
}

template <typename T>
void store_value(const PageLayout& layout, const float* v, int64_t dim, int64_t slot, T* values) {
  for (int64_t d = 0; d < layout.value_panels * kPanel; ++d) {
    values[layout.offset(layout.value_panel, d, slot)] = rounded<T>(d < dim ? v[d] : 0);
  }
}

/// One head's part of a page: `count` successive positions from `slot` on. Whole panels, or for
/// values pairs, are packed at once; packing others would clear what lies behind.
template <typename T>
void store_head(const DenseKernels& kernels, const PageLayout& layout, const float* k,
                const float* v, int64_t stride, int64_t dim, int64_t count, int64_t slot, T* keys,
                T* values) {
  for (int64_t i = 0; i < count;) {
    if ((slot + i) % kPanel != 0 || count - i < kPanel) {
      store_key(layout, k + i * stride, dim, slot + i, keys);
      ++i;
      continue;
    }
    T* panel = keys + layout.offset(layout.key_panel, slot + i, 0);
    kernels.pack_panel({k + i * stride, kPanel, dim, stride, 1}, layout.arithmetic(),
                       reinterpret_cast<std::byte*>(panel));
    i += kPanel;
  }
  if (layout.value_panels == 0) return;
  const int64_t first = slot % layout.together();
  const int64_t paired = (count - first) / layout.together() * layout.together();
  if (first == 1) store_value(layout, v, dim, slot, values);
  for (int64_t d = 0; d < dim && paired > 0; d += kPanel) {
    T* panel = values + layout.offset(layout.value_panel, d, slot + first);
    kernels.pack_panel(
        {v + first * stride + d, std::min<int64_t>(kPanel, dim - d), paired, 1, stride},
        layout.arithmetic(), reinterpret_cast<std::byte*>(panel));
  }
  if (first + paired < count) {
    store_value(layout, v + (count - 1) * stride, dim, slot + count - 1, values);
  }
}

template <typename T>
void store_page(const DenseKernels& kernels, const AttentionShape& shape, const PageLayout& layout,
                const float* k, const float* v, int64_t count, int64_t slot, std::byte* page) {
  const int64_t dim = shape.head_dim, stride = shape.num_kv_heads * dim;
  for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
    store_head(kernels, layout, k + head * dim, v + head * dim, stride, dim, count, slot,
               reinterpret_cast<T*>(layout.keys(page, head)),
               reinterpret_cast<T*>(layout.values(page, head)));
  }
}

/// The scale with which the greatest magnitude becomes a level of at most 127. It has no more bits
/// than bf16, so that a weight of 1 times it is not rounded.
float level_scale(float greatest) {
  if (greatest < 0x1p-100f) return 0;
  const auto bits = std::bit_cast<uint32_t>(greatest / 127);
  return std::bit_cast<float>((bits + 0xffffu) & 0xffff0000u);
}

/// Puts one head's key or value as levels of 8 bits at the places that `place` gives; returns their
/// scale, which is NaN when a number is none.
template <typename Place>
float store_levels(const float* x, int64_t dim, int64_t padded, std::byte* levels,
                   const Place& place) {
  float greatest = 0;
  bool finite = true;
  for (int64_t d = 0; d < dim; ++d) {
    greatest = std::max(greatest, std::fabs(x[d]));
    finite &= std::isfinite(x[d]);
  }
  const float scale = finite ? level_scale(greatest) : std::numeric_limits<float>::quiet_NaN();
  const float inverse = scale > 0 ? 1 / scale : 0;
  constexpr float kRound = 12582912;  // 1.5 * 2^23: a sum with it has no fraction
  for (int64_t d = 0; d < padded; ++d) {
    const float level = d < dim && scale > 0 ? (x[d] * inverse + kRound) - kRound : 0;
    levels[place(d)] = static_cast<std::byte>(static_cast<int8_t>(level));
  }
  return scale;
}

/// store_page for levels with scales.
void store_scaled_page(const DenseKernels&, const AttentionShape& shape, const PageLayout& layout,
                       const float* k, const float* v, int64_t count, int64_t slot,
                       std::byte* page) {
  const int64_t dim = shape.head_dim, stride = shape.num_kv_heads * dim;
  for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
    float* scales = layout.scales_of(page, head);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = slot + i, from = i * stride + head * dim;
      scales[at] = store_levels(k + from, dim, (dim + 1) / 2 * 2, layout.keys(page, head),
                                [&](int64_t d) { return layout.offset(layout.key_panel, at, d); });
      scales[kPageSize + at] =
          store_levels(v + from, dim, layout.value_panels * kPanel, layout.values(page, head),
                       [&](int64_t d) { return layout.offset(layout.value_panel, d, at); });
    }
  }
}

/// The part of a segment that lies in one page.
struct PagePart {
  const AttentionSegment* segment;
  int64_t page;
};

}  // namespace

size_t page_bytes(const AttentionShape& shape, DType dtype) {
  require(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::i8,
          "keys and values cannot be kept as {}", info(dtype).name);
  require(!shape.keys_only || dtype != DType::i8, "keys alone cannot be kept as {}",
          info(dtype).name);
  return static_cast<size_t>(PageLayout(shape, dtype).page_bytes);
}

void store_keys_values(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* k, const float* v) {
  static thread_local std::vector<PagePart> list;  // kept, so that decoding does not allocate
  list.clear();
  int64_t rows = 0;
  for (const AttentionSegment& segment : segments) {
    if (segment.query_count == 0) continue;
    const int64_t end = segment.first_position + segment.query_count;
    for (int64_t page = segment.first_position / kPageSize; page * kPageSize < end; ++page) {
      list.push_back({&segment, page});
    }
    rows += segment.query_count;
  }
  if (list.empty()) return;
  const PagePart* parts = list.data();
  const auto count = static_cast<int64_t>(list.size());
  const int64_t width = shape.num_kv_heads * shape.head_dim;
  const PageLayout layout(shape, dtype);
  const auto store = layout.scaled         ? store_scaled_page
                     : dtype == DType::f32 ? store_page<float>
                                           : store_page<BFloat16>;
  const DenseKernels& kernels = dense_kernels(layout.dtype);
  const int64_t values_a_part = 2 * width * rows / count + 1;
  parallel_ranges(count, rows_a_part(values_a_part), [&](int64_t part_begin, int64_t part_end) {
    for (int64_t i = part_begin; i < part_end; ++i) {
      const AttentionSegment& s = *parts[i].segment;
      const int64_t begin = std::max(s.first_position, parts[i].page * kPageSize);
      const int64_t end =
          std::min(s.first_position + s.query_count, (parts[i].page + 1) * kPageSize);
      const int64_t offset = (s.query_begin + begin - s.first_position) * width;
      store(kernels, shape, layout, k + offset, v + offset, end - begin, begin % kPageSize,
            s.pages[static_cast<size_t>(parts[i].page)]);
    }
  });
}

}  // namespace millrace
