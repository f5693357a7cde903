// Weights that are published as small integers with a scale and a zero for each group of inputs:
// GPTQ (Frantar et al. 2022), AWQ (Lin et al. 2023), compressed-tensors.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "millrace/tensor/tensor.h"

namespace millrace {

/// A part of a weight by what follows its module's name, as "qweight"; null when it is missing.
using FindPart = std::function<const Tensor*(std::string_view)>;

enum class IntegerLayout : uint8_t { gptq, gptq_v2, awq, compressed };

/// The weight [out, in] that the parts hold. In blocks of q4_0, q5_0 or q8_0 where those hold the
/// same numbers: the zero is a whole number, so a level is the code less the zero, and a group's
/// scale is that of its blocks. Else in f32. `bits` are those of GPTQ's and AWQ's codes. Throws
/// Error, which begins with `where`, for parts that are missing or do not fit each other.
Tensor integer_weight(IntegerLayout layout, int bits, const FindPart& find,
                      const std::string& where);

/// Its shape, known before the work is done.
Shape integer_weight_shape(IntegerLayout layout, int bits, const FindPart& find,
                           const std::string& where);

}  // namespace millrace
