// Attention forwards: online softmax (Milakov and Gimelshein 2018; Dao et al. 2022) over the pages
// of the cache, in ascending order of absolute position. Its two products are the inner loops of
// dense matrices (dense_tile.h); a page holds keys and values as they want them.
#include "millrace/kernels/attention.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention_parts.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/attention.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/attention_scores-inl.h"
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

inline constexpr int64_t kMaxLanes = HWY_MAX_BYTES / sizeof(float);

/// A row's keys in a block, counted from the block's first.
struct KeyRange {
  int64_t begin, end;

  bool whole() const { return begin == 0 && end == kPageSize; }
  /// A bit for each key within.
  uint64_t bits() const {
    if (begin >= end) return 0;
    return ~uint64_t{0} << begin & ~uint64_t{0} >> (kPageSize - end);
  }
};

/// The softmax of a row so far: the greatest score, and a vector of sums of exponentials.
struct SoftmaxState {
  alignas(64) float sums[kMaxLanes];
  float greatest;
};

/// Takes a block's scores into a row's softmax: turns those of the keys in `range` into weights,
/// the others into zeros, and scales the row's `width` sums to the new greatest score.
template <bool kWhole>
HWY_INLINE void update_row(KeyRange range, float scale, int64_t width, float* scores,
                           SoftmaxState& state, float* sums) {
  const Tag tag;
  const int64_t step = lanes();
  const Floats low = set(static_cast<float>(range.begin)),
               high = set(static_cast<float>(range.end));
  const auto in_range = [&](int64_t j) HWY_ATTR {
    const Floats index = hn::Iota(tag, static_cast<float>(j));
    return hn::And(hn::Ge(index, low), hn::Lt(index, high));
  };
  Floats best = set(-std::numeric_limits<float>::infinity());
  for (int64_t j = 0; j < kPageSize; j += step) {
    const Floats score = load(scores + j);
    best = hn::Max(kWhole ? score : hn::IfThenElse(in_range(j), score, best), best);
  }
  const float greatest = std::max(state.greatest, hn::GetLane(hn::MaxOfLanes(tag, best)) * scale);
  Floats total = load(state.sums);
  if (greatest > state.greatest) {
    const Floats shrink = exp_nonpositive(set(state.greatest - greatest));
    total = hn::Mul(total, shrink);
    for (int64_t d = 0; d < width; d += step) store(hn::Mul(load(sums + d), shrink), sums + d);
    state.greatest = greatest;
  }
  const Floats factor = set(scale), top = set(greatest);
  for (int64_t j = 0; j < kPageSize; j += step) {
    Floats weight = exp_nonpositive(hn::MulSub(load(scores + j), factor, top));
    if (!kWhole) weight = hn::IfThenElseZero(in_range(j), weight);
    store(weight, scores + j);
    total = hn::Add(total, weight);
  }
  store(total, state.sums);
}

/// The rows of a block and how far each has come.
struct Rows {
  int64_t count;
  KeyRange visible[kRowsAtOnce] = {};  // absolute positions; later rows begin and end no earlier
  SoftmaxState states[kRowsAtOnce];
  float slopes[kRowsAtOnce];  // of ALiBi; 0: none

  HWY_INLINE KeyRange in_page(int64_t r, int64_t first_position) const {
    return {std::clamp<int64_t>(visible[r].begin - first_position, 0, kPageSize),
            std::clamp<int64_t>(visible[r].end - first_position, 0, kPageSize)};
  }
};

/// What the parts of a call share.
struct Forward {
  const DenseKernels& kernels;
  const AttentionShape& shape;
  const PageLayout& layout;
  const float* q;
  float *out, *log_sum_exp;
  int64_t group = shape.num_heads / shape.num_kv_heads;
  int64_t width = layout.value_panels * kPanel;  // of a row of sums

  bool shaped = is_shaped(shape);
  float scale = shaped ? 1 : shape.scale;  // of what update_row takes

  HWY_INLINE int64_t head(const RowBlock& block, int64_t r) const {
    return block.kv_head * group + (block.begin + r) % group;
  }
  /// Row of [rows, num_heads] that is row r of a block.
  HWY_INLINE int64_t row(const RowBlock& block, int64_t r) const {
    return token(block, r) * shape.num_heads + head(block, r);
  }
  HWY_INLINE int64_t token(const RowBlock& block, int64_t r) const {
    return block.segment->query_begin + (block.begin + r) / group;
  }
  /// The keys of a page that are selected for row r of a block.
  HWY_INLINE uint64_t selected(const RowBlock& block, int64_t r, int64_t page) const {
    return shape.selection.page(token(block, r), block.kv_head, page);
  }
  /// Whether any row of a block has selected keys in a page.
  HWY_INLINE bool selects(const RowBlock& block, int64_t page) const {
    const int64_t rows = block.end - block.begin;
    for (int64_t r = 0; r < rows; r += std::min(group - (block.begin + r) % group, rows)) {
      if (selected(block, r, page) != 0) return true;
    }
    return false;
  }
};

HWY_INLINE void start_rows(const Forward& f, const RowBlock& block, const ForwardScratch& scratch,
                           Rows& rows) {
  const AttentionSegment& segment = *block.segment;
  const int64_t dim = f.shape.head_dim;
  rows.count = block.end - block.begin;
  for (int64_t r = 0; r < rows.count; ++r) {
    const int64_t position = segment.first_position + (block.begin + r) / f.group;
    rows.visible[r].begin = f.shape.sliding_window > 0
                                ? std::max(segment.first_key, position + 1 - f.shape.sliding_window)
                                : segment.first_key;
    rows.visible[r].end = keys_end(f.shape, segment, position);
    rows.states[r].greatest = -std::numeric_limits<float>::infinity();
    std::fill_n(rows.states[r].sums, kMaxLanes, 0.0f);
    const int64_t head = f.head(block, r);
    if (f.shape.sinks) {  // the first score that the row sees
      rows.states[r].greatest = f.shape.sinks[head];
      rows.states[r].sums[0] = 1;
    }
    rows.slopes[r] = f.shape.alibi_max_bias > 0 ? alibi_slope(f.shape, head) : 0;
  }
  std::fill_n(scratch.sums, rows.count * f.width, 0.0f);
  // The heads of one query are neighbours.
  for (int64_t r = 0, heads; r < rows.count; r += heads) {
    heads = std::min(rows.count - r, f.group - (block.begin + r) % f.group);
    std::byte* to = scratch.queries + r * kRowStride;
    for (int64_t d = 0; d < dim; d += kDimsAtOnce, to += kRowsAtOnce * kRowStride) {
      f.kernels.pack_x(
          {f.q + f.row(block, r) * dim + d, heads, std::min(kDimsAtOnce, dim - d), dim, 1},
          f.layout.arithmetic(), to);
    }
  }
}

/// Scores of `count` rows from r on and the first `keys` keys of a page, or a few more.
HWY_INLINE void score_rows(const Forward& f, const ForwardScratch& scratch, int64_t r,
                           int64_t count, const std::byte* keys, int64_t keys_seen) {
  const int64_t dim = f.shape.head_dim, together = f.layout.together();
  for (int64_t d = 0; d < dim; d += kDimsAtOnce) {
    const int64_t dims = std::min(kDimsAtOnce, dim - d);
    f.kernels.tile(f.layout.dtype,
                   {.x = scratch.queries + (d / kDimsAtOnce * kRowsAtOnce + r) * kRowStride,
                    .w = keys + panel_bytes(f.layout.dtype, d),
                    .panel_stride = f.layout.key_panel,
                    .steps = (dims + together - 1) / together,
                    .y = scratch.scores + r * kPageSize,
                    .y_stride = kPageSize,
                    .rows = static_cast<int>(count),
                    .panels = static_cast<int>((keys_seen + kPanel - 1) / kPanel),
                    .accumulate = d > 0});
  }
}

/// Adds to `count` rows of sums from r on the weights times the first values of a page.
HWY_INLINE void add_values(const Forward& f, const ForwardScratch& scratch, int64_t r,
                           int64_t count, const std::byte* values, int64_t values_seen) {
  const int64_t together = f.layout.together();
  f.kernels.tile(f.layout.dtype, {.x = scratch.weights + r * kRowStride,
                                  .w = values,
                                  .panel_stride = f.layout.value_panel,
                                  .steps = (values_seen + together - 1) / together,
                                  .y = scratch.sums + r * f.width,
                                  .y_stride = f.width,
                                  .rows = static_cast<int>(count),
                                  .panels = static_cast<int>(f.layout.value_panels),
                                  .accumulate = true});
}

/// Whether all values of one head in a page are numbers, so that a weight of 0 silences them.
template <typename Bits>
HWY_INLINE bool all_finite(const std::byte* values, int64_t bytes, Bits exponent) {
  const auto* bits = reinterpret_cast<const Bits*>(values);
  Bits bad = 0;
  for (int64_t i = 0; i < bytes / static_cast<int64_t>(sizeof(Bits)); ++i) {
    bad |= static_cast<Bits>((bits[i] & exponent) == exponent);
  }
  return bad == 0;
}

/// A copy of one head's values in a page with zeros for those that are not `seen`.
template <typename T>
HWY_INLINE void copy_values(const PageLayout& layout, const std::byte* values, uint64_t seen,
                            std::byte* copy) {
  std::copy_n(values, layout.value_bytes, copy);
  auto* to = reinterpret_cast<T*>(copy);
  for (int64_t j = 0; j < kPageSize; ++j) {
    if (seen >> j & 1) continue;
    for (int64_t d = 0; d < layout.value_panels * kPanel; ++d) {
      to[layout.offset(layout.value_panel, d, j)] = T{};
    }
  }
}

/// Levels of 8 bits as bf16, which holds them exactly.
HWY_INLINE void unpack_levels(const std::byte* levels, int64_t count, std::byte* out) {
  const auto* from = reinterpret_cast<const int8_t*>(levels);
  auto* to = reinterpret_cast<uint16_t*>(out);
  const Tag tag;
  const IntTag ints;
  const UintTag bits;
  const hn::Rebind<int8_t, Tag> bytes;
  const HalfTag halves;
  for (int64_t i = 0; i < count; i += lanes()) {  // counts are multiples of 32 values
    const Floats level = hn::ConvertTo(tag, hn::PromoteTo(ints, hn::LoadU(bytes, from + i)));
    const auto upper = hn::ShiftRight<16>(hn::BitCast(bits, level));
    hn::StoreU(hn::TruncateTo(halves, upper), halves, to + i);
  }
}

/// What a head has in a page: keys and values as the products take them, and their scales or null.
struct HeadPage {
  const std::byte *keys, *values;
  const float *key_scales = nullptr, *value_scales = nullptr;
};

template <typename T>
HWY_INLINE HeadPage head_page(const PageLayout& layout, const ForwardScratch& scratch,
                              const std::byte* page, int64_t head) {
  const std::byte *keys = layout.keys(page, head), *values = layout.values(page, head);
  if constexpr (!std::is_same_v<T, int8_t>) return {keys, values};
  unpack_levels(keys, layout.stored_keys, scratch.keys);
  unpack_levels(values, layout.stored_values, scratch.values);
  const float* scales = layout.scales_of(page, head);
  return {scratch.keys, scratch.values, scales, scales + kPageSize};
}

/// A row's scores in a page times the scales of its keys, or weights times those of its values.
/// With `kKeepZeros` what is 0 stays 0: weights of keys that the row does not see, whose scales may
/// be anything.
template <bool kKeepZeros>
HWY_INLINE void apply_scales(const float* scales, float* scores) {
  for (int64_t j = 0; j < kPageSize; j += lanes()) {
    const Floats score = load(scores + j), scaled = hn::Mul(score, load(scales + j));
    store(kKeepZeros ? hn::IfThenElseZero(hn::Ne(score, set(0)), scaled) : scaled, scores + j);
  }
}

/// Whether weights of 0 silence what keys have that a row does not see.
template <typename T>
HWY_INLINE bool is_silent(const Forward& f, const HeadPage& page, int64_t first_position,
                          const Rows& rows) {
  if constexpr (std::is_same_v<T, int8_t>) return true;  // levels are finite
  using Bits = std::conditional_t<std::is_same_v<T, float>, uint32_t, uint16_t>;
  constexpr auto kExponent = static_cast<Bits>(std::is_same_v<T, float> ? 0x7f800000 : 0x7f80);
  // Later rows begin and end no earlier.
  return (f.shape.selection.bits == nullptr && rows.in_page(0, first_position).end == kPageSize &&
          rows.in_page(rows.count - 1, first_position).begin == 0) ||
         all_finite<Bits>(page.values, f.layout.value_bytes, kExponent);
}

/// Takes keys out of a row's softmax.
HWY_INLINE void hide(uint64_t hidden, float* scores) {
  for (; hidden != 0; hidden &= hidden - 1) {
    scores[std::countr_zero(hidden)] = -std::numeric_limits<float>::infinity();
  }
}

/// Takes the keys and values of one head in one page into all rows.
template <typename T>
HWY_INLINE void attend_page(const Forward& f, const RowBlock& block, const ForwardScratch& scratch,
                            const HeadPage& page, int64_t first_position, Rows& rows) {
  constexpr bool kScaled = std::is_same_v<T, int8_t>;
  const bool silent = is_silent<T>(f, page, first_position, rows);
  int64_t count;
  for (int64_t r = 0; r < rows.count; r += count) {
    count = std::min<int64_t>(f.kernels.max_rows, rows.count - r);
    const int64_t values_seen = rows.in_page(r + count - 1, first_position).end;
    if (values_seen == 0) continue;
    score_rows(f, scratch, r, count, page.keys, values_seen);
    for (int64_t m = r; m < r + count; ++m) {
      const KeyRange range = rows.in_page(m, first_position);
      const uint64_t selected = f.selected(block, m, first_position / kPageSize);
      float *scores = scratch.scores + m * kPageSize, *sums = scratch.sums + m * f.width;
      if (kScaled) apply_scales<false>(page.key_scales, scores);
      if (f.shaped) {
        const int64_t query = block.segment->first_position + (block.begin + m) / f.group;
        const int64_t distance = first_position - query;
        const DistanceBias& bias = f.shape.distance_bias;
        shape_scores({f.shape.scale, f.shape.softcap, rows.slopes[m], static_cast<float>(distance),
                      bias.values ? bias.values + bias.at(f.head(block, m), distance) : nullptr},
                     scores);
      }
      hide(~selected & range.bits(), scores);
      if (range.whole() && selected != 0) {
        update_row<true>(range, f.scale, f.width, scores, rows.states[m], sums);
      } else if ((selected & range.bits()) != 0) {
        update_row<false>(range, f.scale, f.width, scores, rows.states[m], sums);
      } else {
        std::fill_n(scores, kPageSize, 0.0f);
      }
      if (kScaled) apply_scales<true>(page.value_scales, scores);
    }
    f.kernels.pack_x({scratch.scores + r * kPageSize, count, kPageSize, kPageSize, 1},
                     f.layout.arithmetic(), scratch.weights + r * kRowStride);
    if (silent) {
      add_values(f, scratch, r, count, page.values, values_seen);
      continue;
    }
    for (int64_t m = r; m < r + count; ++m) {
      const uint64_t seen =
          rows.in_page(m, first_position).bits() & f.selected(block, m, first_position / kPageSize);
      copy_values<T>(f.layout, page.values, seen, scratch.values);
      add_values(f, scratch, m, 1, scratch.values, values_seen);
    }
  }
}

HWY_INLINE void finish_rows(const Forward& f, const RowBlock& block, const ForwardScratch& scratch,
                            const Rows& rows) {
  const Floats smallest = set(std::numeric_limits<float>::min());
  for (int64_t r = 0; r < rows.count; ++r) {
    const int64_t row = f.row(block, r);
    const float sum = sum_of_lanes(load(rows.states[r].sums));
    const Floats inverse = set(1 / sum);
    const float* sums = scratch.sums + r * f.width;
    float* y = f.out + row * f.shape.head_dim;
    for_vectors(f.shape.head_dim, [=](auto at, auto put) HWY_ATTR {
      // Keys of weight 0 may have cleared a denormal sum or the sign of a zero, or not.
      const auto tiny = hn::Lt(hn::Abs(at(sums)), smallest);
      put(hn::Mul(hn::IfThenZeroElse(tiny, at(sums)), inverse), y);
    });
    if (f.log_sum_exp) {
      f.log_sum_exp[row] = rows.states[r].greatest + static_cast<float>(std::log(double{sum}));
    }
  }
}

template <typename T>
HWY_INLINE void attend(const Forward& f, const RowBlock& block, const ForwardScratch& scratch) {
  Rows rows;
  start_rows(f, block, scratch, rows);
  const int64_t end = rows.visible[rows.count - 1].end;
  for (int64_t p = rows.visible[0].begin / kPageSize; p * kPageSize < end; ++p) {
    if (!f.selects(block, p)) continue;
    const std::byte* page = block.segment->pages[static_cast<size_t>(p)];
    attend_page<T>(f, block, scratch, head_page<T>(f.layout, scratch, page, block.kv_head),
                   p * kPageSize, rows);
  }
  finish_rows(f, block, scratch, rows);
}

void attend_block(const DenseKernels& kernels, const AttentionShape& shape,
                  const PageLayout& layout, const RowBlock& block, const ForwardScratch& scratch,
                  const float* q, float* out, float* log_sum_exp) {
  const Forward f{kernels, shape, layout, q, out, log_sum_exp};
  if (layout.scaled) {
    attend<int8_t>(f, block, scratch);
  } else if (layout.dtype == DType::f32) {
    attend<float>(f, block, scratch);
  } else {
    attend<BFloat16>(f, block, scratch);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(attend_block);

/// Products of a query's and a key's values that are worth waking another thread for.
constexpr int64_t kParallelWork = 20000;

/// Aligned memory of this thread, kept so that decoding does not allocate.
std::byte* thread_scratch(int64_t bytes) {
  static thread_local hwy::AlignedFreeUniquePtr<std::byte[]> memory;
  static thread_local int64_t size = 0;
  if (size < bytes) {
    memory = hwy::AllocateAligned<std::byte>(static_cast<size_t>(bytes));
    size = bytes;
  }
  return memory.get();
}

}  // namespace

float alibi_slope(const AttentionShape& shape, int64_t head) {
  const auto heads = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(shape.num_heads)));
  const int64_t step = head < heads ? 2 * (head + 1) : 2 * (head - heads) + 1;
  return static_cast<float>(std::exp2(-double{shape.alibi_max_bias} /
                                      static_cast<double>(2 * heads) * static_cast<double>(step)));
}

void attention_forward(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* q, float* out,
                       float* log_sum_exp) {
  attention_forward_with(dense_kernels(PageLayout(shape, dtype).dtype), shape, dtype, segments, q,
                         out, log_sum_exp);
}

void attention_forward_with(const DenseKernels& kernels, const AttentionShape& shape, DType dtype,
                            std::span<const AttentionSegment> segments, const float* q, float* out,
                            float* log_sum_exp) {
  static thread_local std::vector<RowBlock> list;  // kept, so that decoding does not allocate
  list.clear();
  const int64_t group = shape.num_heads / shape.num_kv_heads;
  int64_t work = 0;
  for (const AttentionSegment& segment : segments) {
    const int64_t rows = segment.query_count * group;
    const int64_t last = segment.first_position + segment.query_count - 1;
    work += rows * shape.num_kv_heads * shape.head_dim *
            (keys_end(shape, segment, last) - segment.first_key);
    for (int64_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
      for (int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
        list.push_back({&segment, kv_head, begin, std::min(rows, begin + kRowsAtOnce)});
      }
    }
  }
  const auto attend = MILLRACE_DISPATCH(attend_block);
  const PageLayout layout(shape, dtype);
  const RowBlock* blocks = list.data();
  const auto count = static_cast<int64_t>(list.size());
  const int64_t grain = work < kParallelWork ? std::max<int64_t>(count, 1) : 1;
  parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
    const ForwardScratch scratch(shape, layout,
                                 thread_scratch(ForwardScratch::size(shape, layout)));
    for (int64_t i = begin; i < end; ++i) {
      attend(kernels, shape, layout, blocks[i], scratch, q, out, log_sum_exp);
    }
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
