// How keys and values get into the pages of the cache.
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/attention_pages.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/attention_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

HWY_INLINE void store_keys(const float* k, int64_t stride, int64_t count, int64_t dim, float* to) {
  transpose(k, stride, count, dim, to);
}

HWY_INLINE void store_keys(const float* k, int64_t stride, int64_t count, int64_t dim,
                           BFloat16* to) {
  constexpr int64_t kDims = 16;
  float turned[kDims * kPageSize];
  for (int64_t begin = 0; begin < dim; begin += kDims) {
    const int64_t dims = std::min(kDims, dim - begin);
    transpose(k + begin, stride, count, dims, turned);
    for (int64_t d = 0; d < dims; ++d) {
      to_bf16(turned + d * kPageSize, count, to + (begin + d) * kPageSize);
    }
  }
}

HWY_INLINE void store_value(const float* v, int64_t dim, float* to) {
  std::copy_n(v, dim, to);
}

HWY_INLINE void store_value(const float* v, int64_t dim, BFloat16* to) {
  to_bf16(v, dim, to);
}

/// Writes `count` successive positions from `slot` on into one page of T.
template <typename T>
HWY_INLINE void store_page(const AttentionShape& shape, const float* k, const float* v,
                           int64_t count, int64_t slot, std::byte* page) {
  const int64_t dim = shape.head_dim, stride = shape.num_kv_heads * dim;
  T* keys = reinterpret_cast<T*>(page);
  T* values = keys + stride * kPageSize;
  for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
    const int64_t begin = head * dim * kPageSize;
    store_keys(k + head * dim, stride, count, dim, keys + begin + slot);
    for (int64_t i = 0; i < count; ++i) {
      store_value(v + i * stride + head * dim, dim, values + begin + (slot + i) * dim);
    }
  }
}

void store_page_f32(const AttentionShape& shape, const float* k, const float* v, int64_t count,
                    int64_t slot, std::byte* page) {
  store_page<float>(shape, k, v, count, slot, page);
}

void store_page_bf16(const AttentionShape& shape, const float* k, const float* v, int64_t count,
                     int64_t slot, std::byte* page) {
  store_page<BFloat16>(shape, k, v, count, slot, page);
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(store_page_f32);
HWY_EXPORT(store_page_bf16);

/// The part of a segment that lies in one page.
struct PagePart {
  const AttentionSegment* segment;
  int64_t page;
};

}  // namespace

size_t page_bytes(const AttentionShape& shape, DType dtype) {
  require(dtype == DType::f32 || dtype == DType::bf16, "keys and values cannot be kept as {}",
          info(dtype).name);
  return dtype_bytes(dtype,
                     static_cast<uint64_t>(2 * shape.num_kv_heads * shape.head_dim * kPageSize));
}

void store_keys_values(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* k, const float* v) {
  static thread_local std::vector<PagePart> list;  // kept, so that decoding does not allocate
  list.clear();
  int64_t rows = 0;
  for (const AttentionSegment& segment : segments) {
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
  const auto store_page =
      dtype == DType::f32 ? MILLRACE_DISPATCH(store_page_f32) : MILLRACE_DISPATCH(store_page_bf16);
  const int64_t values_a_part = 2 * width * rows / count + 1;
  parallel_ranges(count, rows_a_part(values_a_part), [&](int64_t part_begin, int64_t part_end) {
    for (int64_t i = part_begin; i < part_end; ++i) {
      const AttentionSegment& s = *parts[i].segment;
      const int64_t begin = std::max(s.first_position, parts[i].page * kPageSize);
      const int64_t end =
          std::min(s.first_position + s.query_count, (parts[i].page + 1) * kPageSize);
      const int64_t offset = (s.query_begin + begin - s.first_position) * width;
      store_page(shape, k + offset, v + offset, end - begin, begin % kPageSize,
                 s.pages[static_cast<size_t>(parts[i].page)]);
    }
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
