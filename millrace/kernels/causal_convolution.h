// The short causal convolution of each channel over the tokens of each sequence, which recurrences
// have before them (Gu and Dao 2023).
#pragma once

#include <cstdint>
#include <span>

#include "millrace/kernels/state_segment.h"

namespace millrace {

struct ConvolutionShape {
  int64_t width = 0;   // channels
  int64_t kernel = 0;  // rows that each row of the output is made of, 1 to kMaxConvolutionKernel

  /// Numbers that a sequence keeps: the inputs [kernel - 1, width] before its next token.
  int64_t state_size() const { return (kernel - 1) * width; }
};
constexpr int64_t kMaxConvolutionKernel = 16;

/// out[t, c] = sum over j of weight[c, j] * x[t - kernel + 1 + j, c], a chain of multiply-adds in
/// ascending j from 0; rows before a segment's first are its state's. x, out: [rows, width];
/// weight: [width, kernel]. A row's bits do not depend on how a sequence was cut nor on threads.
void causal_convolution_forward(const ConvolutionShape& shape,
                                std::span<const StateSegment> segments, const float* x,
                                const float* weight, float* out);

/// Gradient of causal_convolution_forward over whole sequences, whose states begin as zeros; those
/// of the segments are not looked at. dx is written in the segments' rows; dweight, which may be
/// null, is added to.
void causal_convolution_backward(const ConvolutionShape& shape,
                                 std::span<const StateSegment> segments, const float* x,
                                 const float* weight, const float* dout, float* dx, float* dweight);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void causal_convolution_forward(const ConvolutionShape& shape,
                                std::span<const StateSegment> segments, const float* x,
                                const float* weight, float* out);
void causal_convolution_backward(const ConvolutionShape& shape,
                                 std::span<const StateSegment> segments, const float* x,
                                 const float* weight, const float* dout, float* dx, float* dweight);
}  // namespace reference

}  // namespace millrace
