#include "millrace/kernels/causal_convolution.h"

#include <algorithm>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/causal_convolution.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

#ifndef MILLRACE_CAUSAL_CONVOLUTION_HEAD
#define MILLRACE_CAUSAL_CONVOLUTION_HEAD
namespace millrace {
namespace {

/// Channels that one thread works on at once.
constexpr int64_t kBlock = 64;

/// The weights of a block, tap by tap.
struct Taps {
  float rows[kMaxConvolutionKernel][kBlock] = {};

  Taps() = default;
  Taps(const float* weight, int64_t kernel, int64_t count) {
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t j = 0; j < kernel; ++j) rows[j][c] = weight[c * kernel + j];
    }
  }
  void add_to(float* weight, int64_t kernel, int64_t count) const {
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t j = 0; j < kernel; ++j) weight[c * kernel + j] += rows[j][c];
    }
  }
};

/// `count` channels of one segment, from the first row on; rows are `width` floats apart.
struct ConvolutionBlock {
  const float* x;
  float *out, *state;
  int64_t width, kernel, rows, count;

  /// The row that is `back` before the first, or behind it: of the state or of x.
  const float* input(int64_t row) const {
    return row < 0 ? state + (row + kernel - 1) * width : x + row * width;
  }
};

/// The same going back.
struct ConvolutionBackBlock {
  const float *x, *dout;
  float* dx;
  int64_t width, kernel, rows, count;
};

}  // namespace
}  // namespace millrace
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

void convolve(const ConvolutionBlock& block, const Taps& taps) {
  const float* from[kMaxConvolutionKernel];
  for (int64_t row = 0; row < block.rows; ++row) {
    for (int64_t j = 0; j < block.kernel; ++j) from[j] = block.input(row + j + 1 - block.kernel);
    for_vectors(block.count, [&](auto at, auto put) HWY_ATTR {
      Floats sum = set(0.0f);
      for (int64_t j = 0; j < block.kernel; ++j) {
        sum = hn::MulAdd(at(taps.rows[j]), at(from[j]), sum);
      }
      put(sum, block.out + row * block.width);
    });
  }
}

/// Adds to the gradients of the taps.
void convolve_back(const ConvolutionBackBlock& block, const Taps& taps, Taps& dtaps) {
  for (int64_t row = 0; row < block.rows; ++row) {
    const int64_t behind = std::min(block.kernel, block.rows - row);
    const float* dout = block.dout + row * block.width;
    for_vectors(block.count, [&](auto at, auto put) HWY_ATTR {
      Floats sum = set(0.0f);
      for (int64_t j = 0; j < behind; ++j) {
        sum = hn::MulAdd(at(taps.rows[block.kernel - 1 - j]), at(dout + j * block.width), sum);
      }
      put(sum, block.dx + row * block.width);
    });
    for (int64_t j = std::max<int64_t>(0, block.kernel - 1 - row); j < block.kernel; ++j) {
      const float* x = block.x + (row + j + 1 - block.kernel) * block.width;
      float* tap = dtaps.rows[j];
      for_vectors(block.count, [=](auto at, auto put)
                                   HWY_ATTR { put(hn::MulAdd(at(dout), at(x), at(tap)), tap); });
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(convolve);
HWY_EXPORT(convolve_back);

/// The last inputs become the state, in ascending order: none is overwritten before it is read.
void keep_inputs(const ConvolutionBlock& block) {
  for (int64_t row = 0; row + 1 < block.kernel; ++row) {
    const float* from = block.input(block.rows + row + 1 - block.kernel);
    std::copy_n(from, block.count, block.state + row * block.width);
  }
}

}  // namespace

void causal_convolution_forward(const ConvolutionShape& shape,
                                std::span<const StateSegment> segments, const float* x,
                                const float* weight, float* out) {
  const auto run = MILLRACE_DISPATCH(convolve);
  const int64_t width = shape.width, blocks = (width + kBlock - 1) / kBlock;
  parallel_for(static_cast<int64_t>(segments.size()) * blocks, [&](int64_t i) {
    const StateSegment& segment = segments[static_cast<size_t>(i / blocks)];
    if (segment.count == 0) return;
    const int64_t column = i % blocks * kBlock, count = std::min(kBlock, width - column);
    const int64_t at = segment.begin * width + column;
    const ConvolutionBlock block{
        x + at, out + at, segment.state + column, width, shape.kernel, segment.count, count};
    run(block, Taps(weight + column * shape.kernel, shape.kernel, count));
    keep_inputs(block);
  });
}

void causal_convolution_backward(const ConvolutionShape& shape,
                                 std::span<const StateSegment> segments, const float* x,
                                 const float* weight, const float* dout, float* dx,
                                 float* dweight) {
  const auto run = MILLRACE_DISPATCH(convolve_back);
  const int64_t width = shape.width, blocks = (width + kBlock - 1) / kBlock;
  parallel_for(blocks, [&](int64_t i) {
    const int64_t column = i * kBlock, count = std::min(kBlock, width - column);
    const Taps taps(weight + column * shape.kernel, shape.kernel, count);
    Taps dtaps;
    for (const StateSegment& segment : segments) {
      const int64_t at = segment.begin * width + column;
      run({x + at, dout + at, dx + at, width, shape.kernel, segment.count, count}, taps, dtaps);
    }
    if (dweight) dtaps.add_to(dweight + column * shape.kernel, shape.kernel, count);
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
