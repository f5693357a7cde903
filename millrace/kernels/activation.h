// Activation functions and gated linear units, with their gradients.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace {

enum class Activation : uint8_t {
  relu,
  silu,       // x * sigmoid(x)
  gelu,       // x * normal_cdf(x), by erf
  gelu_tanh,  // its tanh approximation; GPT-2's "gelu_new"
  tanh,
  sigmoid,
};

/// By the names that configurations use: "relu", "silu", "swish", "gelu", "gelu_new",
/// "gelu_pytorch_tanh", "gelu_tanh", "tanh", "sigmoid"; nullopt for another.
std::optional<Activation> activation_from_name(std::string_view name);

/// y = f(x), elementwise; y may be x's memory.
void activation_forward(Activation activation, const float* x, int64_t count, float* y);

/// dx = dy * f'(x), or dx += with `accumulate`; dx may be dy's memory when it is written.
void activation_backward(Activation activation, const float* x, const float* dy, int64_t count,
                         float* dx, bool accumulate);

/// The gated linear unit (Shazeer 2020): y = f(gate) * up. With silu it is SwiGLU. Rows of gate and
/// up are `in_stride` apart (so both may be halves of one [rows, 2 * width] product), rows of y
/// `width`.
void glu_forward(Activation activation, const float* gate, const float* up, int64_t rows,
                 int64_t width, int64_t in_stride, float* y);

/// Gradient of glu_forward: dgate and dup are written, with rows `in_stride` apart as well; they
/// may be gate's and up's memory. dy: [rows, width].
void glu_backward(Activation activation, const float* gate, const float* up, const float* dy,
                  int64_t rows, int64_t width, int64_t in_stride, float* dgate, float* dup);

/// gpt-oss' gated linear unit: y = (u + shift) * g * sigmoid(alpha * g), with g the gate but at
/// most `limit` and u the up projection between -limit and limit. Or what is at most `limit` is not
/// the gate, but what becomes of it before the product.
struct ClampedGlu {
  float alpha = 1.702f;
  float limit = 7;
  float shift = 1;
  bool clamps_activated = false;
};

void clamped_glu_forward(const ClampedGlu& shape, const float* gate, const float* up, int64_t count,
                         float* y);
/// dgate and dup are written; they may be dy's memory. What a clamp cut off has no gradient.
void clamped_glu_backward(const ClampedGlu& shape, const float* gate, const float* up,
                          const float* dy, int64_t count, float* dgate, float* dup);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void activation_forward(Activation activation, const float* x, int64_t count, float* y);
void activation_backward(Activation activation, const float* x, const float* dy, int64_t count,
                         float* dx, bool accumulate);
void glu_forward(Activation activation, const float* gate, const float* up, int64_t rows,
                 int64_t width, int64_t in_stride, float* y);
void glu_backward(Activation activation, const float* gate, const float* up, const float* dy,
                  int64_t rows, int64_t width, int64_t in_stride, float* dgate, float* dup);
void clamped_glu_forward(const ClampedGlu& shape, const float* gate, const float* up, int64_t count,
                         float* y);
void clamped_glu_backward(const ClampedGlu& shape, const float* gate, const float* up,
                          const float* dy, int64_t count, float* dgate, float* dup);
}  // namespace reference

}  // namespace millrace
