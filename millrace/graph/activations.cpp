#include "millrace/graph/activations.h"

#include <algorithm>
#include <cstring>

namespace millrace {
namespace {

/// Sizes are rounded up to one of eight steps an octave, so that batches of slightly different
/// numbers of tokens share buffers.
size_t rounded_size(size_t bytes) {
  size_t step = 256;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

}  // namespace

Tensor Activations::take(int64_t rows, int64_t width, DType dtype) {
  size_t bytes = rounded_size(dtype_bytes(dtype, static_cast<uint64_t>(rows * width)));
  std::shared_ptr<Storage>* best = nullptr;
  for (std::shared_ptr<Storage>& buffer : buffers_) {
    bool fits = buffer.use_count() == 1 && buffer->size() >= bytes && buffer->size() <= 2 * bytes;
    if (fits && (best == nullptr || buffer->size() < (*best)->size())) best = &buffer;
  }
  if (best == nullptr) {
    buffers_.push_back(Storage::allocate(bytes, false));
    best = &buffers_.back();
  }
  return Tensor(dtype, {rows, width}, *best);
}

Tensor Activations::take_zeroed(int64_t rows, int64_t width) {
  Tensor result = take(rows, width);
  if (result.bytes() > 0) std::memset(result.data(), 0, result.bytes());
  return result;
}

size_t Activations::bytes() const {
  size_t total = 0;
  for (const std::shared_ptr<Storage>& buffer : buffers_) total += buffer->size();
  return total;
}

}  // namespace millrace
