#include "millrace/kernels/activation.h"

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/activation.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// An activation's value and slope at one point.
struct ValueAndSlope {
  Floats value, slope;
};

struct Relu {
  HWY_INLINE static Floats value(Floats x) {
    // Not Max: NaN must stay NaN.
    return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(Tag())), x);
  }
  HWY_INLINE static ValueAndSlope both(Floats x) {
    return {value(x), hn::IfThenElseZero(hn::Gt(x, hn::Zero(Tag())), set(1.0f))};
  }
};

struct Silu {
  HWY_INLINE static Floats value(Floats x) { return hn::Mul(x, sigmoid(x)); }
  HWY_INLINE static ValueAndSlope both(Floats x) {
    const Floats s = sigmoid(x), y = hn::Mul(x, s);
    return {y, hn::MulAdd(y, hn::Sub(set(1.0f), s), s)};
  }
};

/// x * cdf(x), cdf(x) = (1 + erf(x / sqrt(2))) / 2 and its derivative exp(-x^2 / 2) / sqrt(2 pi).
struct Gelu {
  HWY_INLINE static Floats cdf(Floats x) {
    const Floats half = set(0.5f);
    return hn::MulAdd(half, erf(hn::Mul(x, set(0.707106781f))), half);
  }
  HWY_INLINE static Floats value(Floats x) { return hn::Mul(x, cdf(x)); }
  HWY_INLINE static ValueAndSlope both(Floats x) {
    const Floats c = cdf(x);
    const Floats density =
        hn::Mul(set(0.398942280f), exp_nonpositive(hn::Mul(set(-0.5f), hn::Mul(x, x))));
    return {hn::Mul(x, c), hn::MulAdd(x, density, c)};
  }
};

/// (1 + tanh(u)) / 2 is sigmoid(2 u), which loses no digits for negative u.
struct GeluTanh {
  static constexpr float kLinear = 1.59576912f, kCubic = 0.0713548163f;  // of 2 u, in x
  HWY_INLINE static Floats gate(Floats x) {
    const Floats square = hn::Mul(x, x);
    return sigmoid(hn::Mul(x, hn::MulAdd(square, set(kCubic), set(kLinear))));
  }
  HWY_INLINE static Floats value(Floats x) { return hn::Mul(x, gate(x)); }
  HWY_INLINE static ValueAndSlope both(Floats x) {
    const Floats g = gate(x), y = hn::Mul(x, g);
    const Floats inner = hn::MulAdd(hn::Mul(x, x), set(3 * kCubic), set(kLinear));
    return {y, hn::MulAdd(hn::Mul(y, hn::Sub(set(1.0f), g)), inner, g)};
  }
};

struct Tanh {
  HWY_INLINE static Floats value(Floats x) { return tanh(x); }
  HWY_INLINE static ValueAndSlope both(Floats x) {
    const Floats t = tanh(x);
    return {t, hn::NegMulAdd(t, t, set(1.0f))};
  }
};

struct Sigmoid {
  HWY_INLINE static Floats value(Floats x) { return sigmoid(x); }
  HWY_INLINE static ValueAndSlope both(Floats x) {
    const Floats s = sigmoid(x);
    return {s, hn::NegMulAdd(s, s, s)};
  }
};

template <typename F>
HWY_INLINE void forward(const float* x, int64_t count, float* y) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(F::value(at(x)), y); });
}

template <typename F>
HWY_INLINE void backward(const float* x, const float* dy, int64_t count, float* dx,
                         bool accumulate) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR {
    const Floats slope = F::both(at(x)).slope, gradient = at(dy);
    put(accumulate ? hn::MulAdd(gradient, slope, at(dx)) : hn::Mul(gradient, slope), dx);
  });
}

template <typename F>
HWY_INLINE void glu(const float* gate, const float* up, int64_t count, float* y) {
  for_vectors(count,
              [=](auto at, auto put) HWY_ATTR { put(hn::Mul(F::value(at(gate)), at(up)), y); });
}

template <typename F>
HWY_INLINE void glu_gradient(const float* gate, const float* up, const float* dy, int64_t count,
                             float* dgate, float* dup) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR {
    const ValueAndSlope f = F::both(at(gate));
    const Floats gradient = at(dy), u = at(up);
    put(hn::Mul(hn::Mul(gradient, u), f.slope), dgate);
    put(hn::Mul(gradient, f.value), dup);
  });
}

void activation_forward_part(Activation activation, const float* x, int64_t count, float* y) {
  switch (activation) {
    case Activation::relu:
      return forward<Relu>(x, count, y);
    case Activation::silu:
      return forward<Silu>(x, count, y);
    case Activation::gelu:
      return forward<Gelu>(x, count, y);
    case Activation::gelu_tanh:
      return forward<GeluTanh>(x, count, y);
    case Activation::tanh:
      return forward<Tanh>(x, count, y);
    case Activation::sigmoid:
      return forward<Sigmoid>(x, count, y);
  }
}

void activation_backward_part(Activation activation, const float* x, const float* dy, int64_t count,
                              float* dx, bool accumulate) {
  switch (activation) {
    case Activation::relu:
      return backward<Relu>(x, dy, count, dx, accumulate);
    case Activation::silu:
      return backward<Silu>(x, dy, count, dx, accumulate);
    case Activation::gelu:
      return backward<Gelu>(x, dy, count, dx, accumulate);
    case Activation::gelu_tanh:
      return backward<GeluTanh>(x, dy, count, dx, accumulate);
    case Activation::tanh:
      return backward<Tanh>(x, dy, count, dx, accumulate);
    case Activation::sigmoid:
      return backward<Sigmoid>(x, dy, count, dx, accumulate);
  }
}

void glu_forward_row(Activation activation, const float* gate, const float* up, int64_t count,
                     float* y) {
  switch (activation) {
    case Activation::relu:
      return glu<Relu>(gate, up, count, y);
    case Activation::silu:
      return glu<Silu>(gate, up, count, y);
    case Activation::gelu:
      return glu<Gelu>(gate, up, count, y);
    case Activation::gelu_tanh:
      return glu<GeluTanh>(gate, up, count, y);
    case Activation::tanh:
      return glu<Tanh>(gate, up, count, y);
    case Activation::sigmoid:
      return glu<Sigmoid>(gate, up, count, y);
  }
}

void glu_backward_row(Activation activation, const float* gate, const float* up, const float* dy,
                      int64_t count, float* dgate, float* dup) {
  switch (activation) {
    case Activation::relu:
      return glu_gradient<Relu>(gate, up, dy, count, dgate, dup);
    case Activation::silu:
      return glu_gradient<Silu>(gate, up, dy, count, dgate, dup);
    case Activation::gelu:
      return glu_gradient<Gelu>(gate, up, dy, count, dgate, dup);
    case Activation::gelu_tanh:
      return glu_gradient<GeluTanh>(gate, up, dy, count, dgate, dup);
    case Activation::tanh:
      return glu_gradient<Tanh>(gate, up, dy, count, dgate, dup);
    case Activation::sigmoid:
      return glu_gradient<Sigmoid>(gate, up, dy, count, dgate, dup);
  }
}

/// Comparisons that keep NaN, unlike Min and Max.
HWY_INLINE Floats at_most(Floats x, Floats limit) {
  return hn::IfThenElse(hn::Gt(x, limit), limit, x);
}
HWY_INLINE Floats at_least(Floats x, Floats limit) {
  return hn::IfThenElse(hn::Lt(x, limit), limit, x);
}

void clamped_glu_forward_part(const ClampedGlu& shape, const float* gate, const float* up,
                              int64_t count, float* y) {
  const Floats alpha = set(shape.alpha), limit = set(shape.limit), shift = set(shape.shift);
  const Floats most =
      set(shape.clamps_activated ? std::numeric_limits<float>::infinity() : shape.limit);
  for_vectors(count, [=](auto at, auto put) HWY_ATTR {
    const Floats g = at_most(at(gate), most);
    const Floats u = at_least(at_most(at(up), limit), hn::Neg(limit));
    Floats value = hn::Mul(g, sigmoid(hn::Mul(alpha, g)));
    if (shape.clamps_activated) value = at_most(value, limit);
    put(hn::Mul(hn::Add(u, shift), value), y);
  });
}

void clamped_glu_backward_part(const ClampedGlu& shape, const float* gate, const float* up,
                               const float* dy, int64_t count, float* dgate, float* dup) {
  const Floats alpha = set(shape.alpha), limit = set(shape.limit), one = set(1.0f);
  const Floats shift = set(shape.shift);
  const Floats most =
      set(shape.clamps_activated ? std::numeric_limits<float>::infinity() : shape.limit);
  for_vectors(count, [=](auto at, auto put) HWY_ATTR {
    const Floats gate_in = at(gate), up_in = at(up), gradient = at(dy);
    const Floats g = at_most(gate_in, most);
    const Floats u = at_least(at_most(up_in, limit), hn::Neg(limit));
    const Floats s = sigmoid(hn::Mul(alpha, g));
    Floats value = hn::Mul(g, s);
    const Floats slope = hn::MulAdd(hn::Mul(alpha, value), hn::Sub(one, s), s);
    const auto cut = shape.clamps_activated ? hn::Gt(value, limit) : hn::Gt(gate_in, limit);
    if (shape.clamps_activated) value = at_most(value, limit);
    const Floats from_gate = hn::Mul(hn::Mul(gradient, hn::Add(u, shift)), slope);
    const Floats from_up = hn::Mul(gradient, value);
    put(hn::IfThenZeroElse(cut, from_gate), dgate);
    put(hn::IfThenZeroElse(hn::Gt(hn::Abs(up_in), limit), from_up), dup);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(activation_forward_part);
HWY_EXPORT(activation_backward_part);
HWY_EXPORT(glu_forward_row);
HWY_EXPORT(glu_backward_row);
HWY_EXPORT(clamped_glu_forward_part);
HWY_EXPORT(clamped_glu_backward_part);

}  // namespace

std::optional<Activation> activation_from_name(std::string_view name) {
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_tanh" || name == "gelu_pytorch_tanh") {
    return Activation::gelu_tanh;
  }
  if (name == "tanh") return Activation::tanh;
  if (name == "sigmoid") return Activation::sigmoid;
  return std::nullopt;
}

void activation_forward(Activation activation, const float* x, int64_t count, float* y) {
  const auto part = MILLRACE_DISPATCH(activation_forward_part);
  parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
    part(activation, x + begin, end - begin, y + begin);
  });
}

void activation_backward(Activation activation, const float* x, const float* dy, int64_t count,
                         float* dx, bool accumulate) {
  const auto part = MILLRACE_DISPATCH(activation_backward_part);
  parallel_ranges(count, kPartValues, [=](int64_t begin, int64_t end) {
    part(activation, x + begin, dy + begin, end - begin, dx + begin, accumulate);
  });
}

void glu_forward(Activation activation, const float* gate, const float* up, int64_t rows,
                 int64_t width, int64_t in_stride, float* y) {
  const auto row = MILLRACE_DISPATCH(glu_forward_row);
  parallel_ranges(rows, rows_a_part(width), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      row(activation, gate + r * in_stride, up + r * in_stride, width, y + r * width);
    }
  });
}

void glu_backward(Activation activation, const float* gate, const float* up, const float* dy,
                  int64_t rows, int64_t width, int64_t in_stride, float* dgate, float* dup) {
  const auto row = MILLRACE_DISPATCH(glu_backward_row);
  parallel_ranges(rows, rows_a_part(width), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * in_stride;
      row(activation, gate + at, up + at, dy + r * width, width, dgate + at, dup + at);
    }
  });
}

void clamped_glu_forward(const ClampedGlu& shape, const float* gate, const float* up, int64_t count,
                         float* y) {
  const auto part = MILLRACE_DISPATCH(clamped_glu_forward_part);
  parallel_ranges(count, kPartValues, [&, part](int64_t begin, int64_t end) {
    part(shape, gate + begin, up + begin, end - begin, y + begin);
  });
}

void clamped_glu_backward(const ClampedGlu& shape, const float* gate, const float* up,
                          const float* dy, int64_t count, float* dgate, float* dup) {
  const auto part = MILLRACE_DISPATCH(clamped_glu_backward_part);
  parallel_ranges(count, kPartValues, [&, part](int64_t begin, int64_t end) {
    part(shape, gate + begin, up + begin, dy + begin, end - begin, dgate + begin, dup + begin);
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
