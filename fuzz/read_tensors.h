// What the targets of weights formats share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>

#include "millrace/formats/tensor_table.h"

namespace millrace {

/// Reads every byte of every tensor, so that AddressSanitizer sees one that lies outside.
inline void read_tensors(const TensorTable& tensors) {
  unsigned sum = 0;
  for (const NamedTensor& entry : tensors) {
    for (std::byte byte : std::span<const std::byte>(entry.tensor.data(), entry.tensor.bytes())) {
      sum += std::to_integer<unsigned>(byte);
    }
  }
  volatile unsigned keep = sum;
  (void)keep;
}

}  // namespace millrace
