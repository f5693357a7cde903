// <immintrin.h> without the warnings that g++ 12 gives for it.
#pragma once

#include <hwy/base.h>

#if defined(__x86_64__)
HWY_DIAGNOSTICS(push)
// g++ 12 finds its own intrinsics' "undefined" operands uninitialised.
HWY_DIAGNOSTICS_OFF(disable : 4701, ignored "-Wuninitialized")
#if HWY_COMPILER_GCC && !HWY_COMPILER_CLANG
HWY_DIAGNOSTICS_OFF(disable : 4701, ignored "-Wmaybe-uninitialized")
#endif
#include <immintrin.h>
HWY_DIAGNOSTICS(pop)
#endif
