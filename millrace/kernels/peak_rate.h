// How fast this machine multiplies and adds at best: what utilisation is measured against.
#pragma once

#include "millrace/kernels/matmul.h"

namespace millrace {

/// Multiplications and additions a second on `threads` threads, at the instruction-set level in
/// use: of fused multiply-adds in f32, or of bf16 dot products or tiles where the level has them
/// (where it has not, bf16 products are done in f32). Measured on the calling thread in registers
/// alone, within some 10 ms; the best of several tries counts.
double peak_rate(Arithmetic arithmetic, int threads);

}  // namespace millrace
