// How fast this machine multiplies and adds at best: what utilisation is measured against.
#pragma once

#include "millrace/kernels/matmul.h"

namespace millrace {

/// Multiplications and additions a second on `threads` threads, at the instruction-set level in
/// use: of fused multiply-adds in f32, or of bf16 dot products or tiles where the level has them
/// (where it has not, bf16 products are done in f32). Measured on the calling thread in registers
/// alone, within some 10 ms; the best of several tries counts.
double peak_rate(Arithmetic arithmetic, int threads);

/// The same of 8-bit integers, as quantised weights are multiplied; 0 at levels without VNNI or
/// tiles, whose instructions depend on the type.
double int8_peak_rate(int threads);

/// Bytes a second that all threads of the pool read from memory together: the best of several
/// passes over 256 MB, within some 0.1 s.
double read_bandwidth();

}  // namespace millrace
