// What every source with vector code includes first: which of Highway's targets are compiled, and
// how one is chosen at run time.
#pragma once

#include "millrace/kernels/isa.h"

// On x86: AVX-512, AVX2, and one lane at a time for machines without either. Highway's 128-bit
// emulation is not for g++ before 12.3, so the last is the scalar target with every compiler.
// On Arm: NEON, whatever else there is.
#if defined(__aarch64__)
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#else
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#define HWY_BROKEN_EMU128 1
#endif

#include <hwy/detect_targets.h>

/// The version of a HWY_EXPORTed function for the instruction set in use. isa() must have looked at
/// MILLRACE_ISA before Highway chooses for the first time.
#define MILLRACE_DISPATCH(function) \
  (static_cast<void>(::millrace::isa()), HWY_DYNAMIC_DISPATCH(function))
