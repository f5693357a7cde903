// The short causal convolution in the plainest C++, in double precision.
#include <vector>

#include "millrace/kernels/causal_convolution.h"

namespace millrace::reference {

void causal_convolution_forward(const ConvolutionShape& shape,
                                std::span<const StateSegment> segments, const float* x,
                                const float* weight, float* out) {
  const int64_t width = shape.width, kernel = shape.kernel;
  for (const StateSegment& segment : segments) {
    for (int64_t c = 0; c < width; ++c) {
      std::vector<float> inputs;  // the state's, then the segment's
      for (int64_t row = 0; row + 1 < kernel; ++row)
        inputs.push_back(segment.state[row * width + c]);
      for (int64_t t = 0; t < segment.count; ++t) {
        inputs.push_back(x[(segment.begin + t) * width + c]);
        double sum = 0;
        for (int64_t j = 0; j < kernel; ++j) {
          sum += double{weight[c * kernel + j]} * double{inputs[static_cast<size_t>(t + j)]};
        }
        out[(segment.begin + t) * width + c] = static_cast<float>(sum);
      }
      for (int64_t row = 0; row + 1 < kernel; ++row) {
        segment.state[row * width + c] = inputs[static_cast<size_t>(segment.count + row)];
      }
    }
  }
}

void causal_convolution_backward(const ConvolutionShape& shape,
                                 std::span<const StateSegment> segments, const float* x,
                                 const float* weight, const float* dout, float* dx,
                                 float* dweight) {
  const int64_t width = shape.width, kernel = shape.kernel;
  for (const StateSegment& segment : segments) {
    for (int64_t c = 0; c < width; ++c) {
      for (int64_t t = 0; t < segment.count; ++t) dx[(segment.begin + t) * width + c] = 0;
      for (int64_t t = 0; t < segment.count; ++t) {
        const float dy = dout[(segment.begin + t) * width + c];
        for (int64_t j = 0; j < kernel; ++j) {
          const int64_t from = t + j + 1 - kernel;
          if (from < 0) continue;
          const int64_t at = (segment.begin + from) * width + c;
          dx[at] += weight[c * kernel + j] * dy;
          dweight[c * kernel + j] += dy * x[at];
        }
      }
    }
  }
}

}  // namespace millrace::reference
