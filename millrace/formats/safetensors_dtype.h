// How safetensors names the dtypes.
#pragma once

#include <optional>
#include <string_view>

#include "millrace/tensor/dtype.h"

namespace millrace {

/// nullopt for a name that is not supported, such as F4.
std::optional<DType> dtype_from_safetensors(std::string_view name);
/// nullopt for a dtype that the format has no name for: the quantised blocks.
std::optional<std::string_view> safetensors_name(DType dtype);

}  // namespace millrace
