// Memory for activations, used again as soon as nothing refers to it.
#pragma once

#include <memory>
#include <vector>

#include "millrace/tensor/tensor.h"

namespace millrace {

/// Hands out tensors whose bytes return by themselves when the last tensor over them is gone.
/// After the first pass over a shape nothing is allocated any more. Not for several threads.
class Activations {
 public:
  /// An uninitialised [rows, width] tensor.
  Tensor take(int64_t rows, int64_t width, DType dtype = DType::f32);
  /// An f32 one filled with zeros.
  Tensor take_zeroed(int64_t rows, int64_t width);
  /// Whether another tensor holds the bytes of one that was taken here.
  static bool shared(const Tensor& tensor) { return tensor.storage().use_count() > 2; }
  /// Bytes that are held, in use or not.
  size_t bytes() const;

 private:
  std::vector<std::shared_ptr<Storage>> buffers_;
};

}  // namespace millrace
