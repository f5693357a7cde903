// How GGUF numbers the dtypes.
#pragma once

#include <cstdint>
#include <optional>

#include "millrace/tensor/dtype.h"

namespace millrace {

/// nullopt for a ggml type that is not supported.
std::optional<DType> dtype_from_ggml(uint32_t number);
/// nullopt for a dtype that ggml lacks: u8 and bool.
std::optional<uint32_t> ggml_number(DType dtype);

}  // namespace millrace
