// Fills the tables of a family's tensors.
#pragma once

#include <string>
#include <vector>

#include "millrace/model/family.h"

namespace millrace {

/// Each tensor has its place, its names and its shape, which is none where it is not wanted.
struct SpecTable {
  std::vector<TensorSpec>& specs;
  std::string prefix, gguf_prefix;  ///< of all names
  float norm_offset = 0;            ///< TensorSpec::offset of norms
  bool transposed = false;          ///< TensorSpec::transposed of matrices
  std::vector<bool> layers = {};    ///< TensorSpec::layers

  /// A tensor called `name`.weight, or `name`.bias when it is a vector that begins with zeros. None
  /// where it is not wanted or has no name.
  TensorSpec& add(size_t place, bool wanted, const std::string& name, const std::string& gguf_name,
                  Shape shape, Initialization initialization);
  /// A norm's weight, and the bias that layer norms have.
  void norm(size_t place, const std::string& name, const std::string& gguf_name, int64_t width,
            bool biased);
  /// A matrix and its bias.
  void linear(size_t place, const std::string& name, const std::string& gguf_name, Shape shape,
              bool biased, Initialization initialization = Initialization::normal);
  /// A matrix and its bias are rows of others in files. Where a name is empty, they are as before.
  void pack(size_t place, const std::string& packed_in, RowPart rows, const std::string& gguf_name,
            RowPart gguf_rows);
};

}  // namespace millrace
