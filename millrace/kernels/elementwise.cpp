#include "millrace/kernels/elementwise.h"

#include <algorithm>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/elementwise.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

void add_part(const float* a, const float* b, int64_t count, float* y) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(hn::Add(at(a), at(b)), y); });
}

void add_scaled_part(const float* a, float factor, int64_t count, float* y) {
  const Floats f = set(factor);
  for_vectors(count,
              [=](auto at, auto put) HWY_ATTR { put(hn::Add(at(y), hn::Mul(f, at(a))), y); });
}

void scale_part(const float* a, float factor, int64_t count, float* y) {
  const Floats f = set(factor);
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(hn::Mul(f, at(a)), y); });
}

void multiply_part(const float* a, const float* b, int64_t count, float* y) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(hn::Mul(at(a), at(b)), y); });
}

void round_to_bf16_part(const float* a, int64_t count, float* y) {
  for_vectors(count,
              [=](auto at, auto put) HWY_ATTR { put(hn::BitCast(Tag(), bf16_bits(at(a))), y); });
}

void to_bf16_part(const float* a, int64_t count, BFloat16* y) {
  to_bf16(a, count, y);
}

void from_bf16_part(const BFloat16* a, int64_t count, float* y) {
  const UintTag tag;
  const auto wide = [=](const uint16_t* bits) HWY_ATTR {
    const auto half = hn::LoadU(HalfTag(), bits);
    return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::PromoteTo(tag, half)));
  };
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= count; i += step) store(wide(&a[i].bits), y + i);
  for (; i < count; ++i) y[i] = to_float(a[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(add_part);
HWY_EXPORT(add_scaled_part);
HWY_EXPORT(scale_part);
HWY_EXPORT(multiply_part);
HWY_EXPORT(round_to_bf16_part);
HWY_EXPORT(to_bf16_part);
HWY_EXPORT(from_bf16_part);

}  // namespace

void copy(const float* a, int64_t count, float* y) {
  parallel_ranges(count, kPartValues,
                  [=](int64_t begin, int64_t end) { std::copy(a + begin, a + end, y + begin); });
}

void add(const float* a, const float* b, int64_t count, float* y) {
  const auto part = MILLRACE_DISPATCH(add_part);
  parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
    part(a + begin, b + begin, end - begin, y + begin);
  });
}

void add_into(const float* a, int64_t count, float* y) {
  add(y, a, count, y);
}

void add_scaled(const float* a, float factor, int64_t count, float* y) {
  const auto part = MILLRACE_DISPATCH(add_scaled_part);
  parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
    part(a + begin, factor, end - begin, y + begin);
  });
}

void scale(const float* a, float factor, int64_t count, float* y) {
  const auto part = MILLRACE_DISPATCH(scale_part);
  parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
    part(a + begin, factor, end - begin, y + begin);
  });
}

void multiply(const float* a, const float* b, int64_t count, float* y) {
  const auto part = MILLRACE_DISPATCH(multiply_part);
  parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
    part(a + begin, b + begin, end - begin, y + begin);
  });
}

void add_bias(const float* bias, int64_t rows, int64_t width, float* y) {
  const auto part = MILLRACE_DISPATCH(add_part);
  parallel_ranges(rows, rows_a_part(width), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) part(y + r * width, bias, width, y + r * width);
  });
}

void add_column_sums(const float* a, int64_t rows, int64_t width, float* sums) {
  const auto part = MILLRACE_DISPATCH(add_part);
  const std::vector<float> total =
      sum_in_chunks(rows, width, [=](int64_t begin, int64_t end, float* chunk) {
        for (int64_t r = begin; r < end; ++r) part(chunk, a + r * width, width, chunk);
      });
  part(sums, total.data(), width, sums);
}

void to_bfloat16(const float* a, int64_t count, BFloat16* y) {
  const auto part = MILLRACE_DISPATCH(to_bf16_part);
  parallel_ranges(count, kPartValues,
                  [=](int64_t begin, int64_t end) { part(a + begin, end - begin, y + begin); });
}

void from_bfloat16(const BFloat16* a, int64_t count, float* y) {
  const auto part = MILLRACE_DISPATCH(from_bf16_part);
  parallel_ranges(count, kPartValues,
                  [=](int64_t begin, int64_t end) { part(a + begin, end - begin, y + begin); });
}

void round_to(DType dtype, const float* a, int64_t count, float* y) {
  if (dtype == DType::bf16) {
    const auto part = MILLRACE_DISPATCH(round_to_bf16_part);
    parallel_ranges(count, kPartValues,
                    [=](int64_t begin, int64_t end) { part(a + begin, end - begin, y + begin); });
  } else {
    parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
      reference::round_to(dtype, a + begin, end - begin, y + begin);
    });
  }
}

}  // namespace millrace
#endif  // HWY_ONCE
