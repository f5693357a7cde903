// The pickle of a PyTorch weights file, read as data: a dictionary of tensors, as torch.save writes
// it. A pickle is a program that can do anything; here the few instructions that describe tensors
// are understood, nothing is ever called, and all else is an error that names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "millrace/tensor/dtype.h"

namespace millrace {

/// Values in a storage, which is an entry of the archive.
struct PickledTensor {
  std::string name;
  DType dtype = DType::f32;
  std::string storage;         ///< its key
  uint64_t storage_count = 0;  ///< values that it says it has
  int64_t offset = 0;          ///< of the first value
  std::vector<int64_t> shape, strides;
};

/// Throws Error, which begins with `source`, for anything that is no dictionary of tensors: it
/// names the function that would have been called, the instruction, or the member. Memory and time
/// are in proportion to the pickle.
std::vector<PickledTensor> read_pickled_tensors(std::span<const std::byte> pickle,
                                                const std::string& source);

}  // namespace millrace
