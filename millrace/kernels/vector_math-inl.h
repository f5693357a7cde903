// Vectors of f32 on Highway: loads and stores of tails, sums in a fixed order, exp and its kin.
// A tail is computed by the same instructions as a whole vector, so a value's bits do not depend on
// where in an array it stands. Included once for each instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "millrace/tensor/dtype.h"

#if defined(MILLRACE_VECTOR_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_VECTOR_MATH_INL_H
#undef MILLRACE_VECTOR_MATH_INL_H
#else
#define MILLRACE_VECTOR_MATH_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Floats = hn::Vec<Tag>;
using IntTag = hn::RebindToSigned<Tag>;
using UintTag = hn::RebindToUnsigned<Tag>;
using HalfTag = hn::Rebind<uint16_t, Tag>;  // 16-bit values, as many as floats in a vector

HWY_INLINE int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(Tag()));
}

HWY_INLINE Floats set(float x) {
  return hn::Set(Tag(), x);
}
HWY_INLINE Floats load(const float* p) {
  return hn::LoadU(Tag(), p);
}
HWY_INLINE void store(Floats v, float* p) {
  hn::StoreU(v, Tag(), p);
}
#if HWY_ARCH_ARM
// The first `count` values at p, as below. NEON has no masked loads and stores: Highway's touch the
// whole vector, past the end of the row, where another thread may be writing.
HWY_INLINE Floats load_first(const float* p, int64_t count) {
  float padded[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy_n(p, count, padded);
  return hn::LoadU(Tag(), padded);
}
HWY_INLINE void store_first(Floats v, float* p, int64_t count) {
  float whole[HWY_MAX_BYTES / sizeof(float)];
  hn::StoreU(v, Tag(), whole);
  std::copy_n(whole, count, p);
}
#else
/// The first `count` values at p, fewer than a vector's; zeros above them.
HWY_INLINE Floats load_first(const float* p, int64_t count) {
  return hn::MaskedLoad(hn::FirstN(Tag(), static_cast<size_t>(count)), Tag(), p);
}
HWY_INLINE void store_first(Floats v, float* p, int64_t count) {
  hn::BlendedStore(v, hn::FirstN(Tag(), static_cast<size_t>(count)), Tag(), p);
}
#endif

/// Bits of each value rounded to bf16 (nearest, ties to even) in the upper half of its lane, zeros
/// below. NaNs keep their upper bits and become quiet.
HWY_INLINE hn::Vec<UintTag> bf16_bits(Floats x) {
  const UintTag tag;
  const auto bits = hn::BitCast(tag, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(tag, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(tag, 0x7fffu)));
  const auto nan = hn::Or(bits, hn::Set(tag, 0x400000u));
  const auto is_nan = hn::RebindMask(tag, hn::IsNaN(x));
  return hn::And(hn::IfThenElse(is_nan, nan, rounded), hn::Set(tag, 0xffff0000u));
}

/// Calls body(at, put) for each vector of [0, count), where at(p) loads from p and put(v, p) stores
/// to p at the vector's place; both stop at `count`. An elementwise sum is
/// `put(hn::Add(at(a), at(b)), y)`.
template <typename Body>
HWY_INLINE void for_vectors(int64_t count, const Body& body) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= count; i += step) {
    body([i](const float* p) HWY_ATTR { return load(p + i); },
         [i](Floats v, float* p) HWY_ATTR { store(v, p + i); });
  }
  if (i < count) {
    const int64_t rest = count - i;
    body([i, rest](const float* p) HWY_ATTR { return load_first(p + i, rest); },
         [i, rest](Floats v, float* p) HWY_ATTR { store_first(v, p + i, rest); });
  }
}

/// Values rounded to bf16 as in bf16_bits.
HWY_INLINE void to_bf16(const float* a, int64_t count, BFloat16* y) {
  const auto half = [](Floats x) HWY_ATTR {
    return hn::TruncateTo(HalfTag(), hn::ShiftRight<16>(bf16_bits(x)));
  };
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= count; i += step) hn::StoreU(half(load(a + i)), HalfTag(), &y[i].bits);
  if (i < count) {
    BFloat16 rest[HWY_MAX_BYTES / sizeof(float)];
    hn::StoreU(half(load_first(a + i, count - i)), HalfTag(), &rest[0].bits);
    std::copy_n(rest, count - i, y + i);
  }
}

HWY_INLINE float sum_of_lanes(Floats v) {
  return hn::GetLane(hn::SumOfLanes(Tag(), v));
}

/// Sum of term(at, put), a vector of terms, over the vectors of [0, count); `at` and `put` as in
/// for_vectors. Whole vectors go round four partial sums; the tail, its missing lanes cleared,
/// joins the first.
template <typename Term>
HWY_INLINE float sum_terms(int64_t count, const Term& term) {
  const Tag tag;
  const int64_t step = lanes();
  Floats sums[4] = {hn::Zero(tag), hn::Zero(tag), hn::Zero(tag), hn::Zero(tag)};
  int64_t i = 0;
  const auto at = [&i](const float* p) HWY_ATTR { return load(p + i); };
  const auto put = [&i](Floats v, float* p) HWY_ATTR { store(v, p + i); };
  while (i + 4 * step <= count) {
    for (Floats& sum : sums) {
      sum = hn::Add(sum, term(at, put));
      i += step;
    }
  }
  for (; i + step <= count; i += step) sums[0] = hn::Add(sums[0], term(at, put));
  if (i < count) {
    const int64_t rest = count - i;
    const Floats tail = term([&](const float* p) HWY_ATTR { return load_first(p + i, rest); },
                             [&](Floats v, float* p) HWY_ATTR { store_first(v, p + i, rest); });
    const auto valid = hn::FirstN(tag, static_cast<size_t>(rest));
    sums[0] = hn::Add(sums[0], hn::IfThenElseZero(valid, tail));
  }
  return sum_of_lanes(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
}

/// A number in [0.7, 1.42] and an integer n, so that e^x is one times 2^n. Reduction by powers of
/// two after Cody and Waite, coefficients from tools/fit_polynomials.py.
struct ExpParts {
  Floats factor, n;
};
HWY_INLINE ExpParts exp_parts(Floats x, Floats clamped) {
  const Floats n = hn::Round(hn::Mul(clamped, set(1.44269504f)));
  Floats r = hn::NegMulAdd(n, set(0.693145752f), x);
  r = hn::NegMulAdd(n, set(1.42860677e-6f), r);
  Floats p = hn::MulAdd(set(0.00138145988f), r, set(0.00836871658f));
  p = hn::MulAdd(p, r, set(0.041668389f));
  p = hn::MulAdd(p, r, set(0.166665211f));
  p = hn::MulAdd(p, r, set(0.49999994f));
  return {hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), set(1.0f)), n};
}

/// 2^n for integers n of -126 to 127.
HWY_INLINE Floats power_of_two(Floats n) {
  const auto exponent = hn::Add(hn::ConvertTo(IntTag(), n), hn::Set(IntTag(), 127));
  return hn::BitCast(Tag(), hn::ShiftLeft<23>(exponent));
}

/// e^x for x <= 0, within 1 ulp; 0 below -86.6; NaN for NaN.
HWY_INLINE Floats exp_nonpositive(Floats x) {
  const ExpParts e = exp_parts(x, hn::Max(x, set(-86.6f)));  // NaN has no integer
  return hn::IfThenZeroElse(hn::Lt(x, set(-86.6f)), hn::Mul(e.factor, power_of_two(e.n)));
}

/// e^x within 1 ulp; 0 below -86.6, infinity above 88.72.
HWY_INLINE Floats exp(Floats x) {
  const Floats infinity = set(std::numeric_limits<float>::infinity());
  const ExpParts e = exp_parts(x, hn::Min(hn::Max(x, set(-86.6f)), set(88.72283f)));
  // Twice the factor, times 2^(n - 1): 2^128 is no float.
  const Floats y = hn::Mul(hn::Add(e.factor, e.factor), power_of_two(hn::Sub(e.n, set(1.0f))));
  return hn::IfThenElse(hn::Gt(x, set(88.72283f)), infinity,
                        hn::IfThenZeroElse(hn::Lt(x, set(-86.6f)), y));
}

/// 1 / (1 + e^-x).
HWY_INLINE Floats sigmoid(Floats x) {
  const Floats one = set(1.0f);
  return hn::Div(one, hn::Add(one, exp(hn::Neg(x))));
}

/// The error function within 2 ulp: a polynomial below 1, one minus an exponential above.
HWY_INLINE Floats erf(Floats x) {
  const Floats t = hn::Min(hn::Abs(x), set(4.0f)), s = hn::Mul(x, x);
  Floats near = hn::MulAdd(set(-0.000563142181f), s, set(0.0049175513f));
  near = hn::MulAdd(near, s, set(-0.0267113112f));
  near = hn::MulAdd(near, s, set(0.112801798f));
  near = hn::MulAdd(near, s, set(-0.37612325f));
  near = hn::MulAdd(near, s, set(0.128379121f));
  near = hn::MulAdd(near, x, x);
  Floats far = hn::MulAdd(set(1.39622853e-05f), t, set(-0.000350590475f));
  far = hn::MulAdd(far, t, set(0.00375747052f));
  far = hn::MulAdd(far, t, set(-0.0240100548f));
  far = hn::MulAdd(far, t, set(0.106530853f));
  far = hn::MulAdd(far, t, set(0.634969532f));
  far = hn::MulAdd(far, t, set(1.1286943f));
  far = hn::Sub(set(1.0f), exp(hn::Neg(hn::Mul(far, t))));
  const auto is_near = hn::Or(hn::Lt(t, set(1.0f)), hn::IsNaN(x));
  return hn::IfThenElse(is_near, near, hn::CopySign(far, x));
}

/// The hyperbolic tangent within 2 ulp: a polynomial below 0.625, from an exponential above.
HWY_INLINE Floats tanh(Floats x) {
  const Floats t = hn::Abs(x), s = hn::Mul(x, x);
  Floats near = hn::MulAdd(set(-0.00565998862f), s, set(0.0205909871f));
  near = hn::MulAdd(near, s, set(-0.0537210666f));
  near = hn::MulAdd(near, s, set(0.133311272f));
  near = hn::MulAdd(near, s, set(-0.333332598f));
  near = hn::MulAdd(hn::Mul(near, s), x, x);
  const Floats above = hn::Add(exp(hn::Add(t, t)), set(1.0f));
  const Floats far = hn::Sub(set(1.0f), hn::Div(set(2.0f), above));
  const auto is_near = hn::Or(hn::Lt(t, set(0.625f)), hn::IsNaN(x));
  return hn::IfThenElse(is_near, near, hn::CopySign(far, x));
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#endif
