#include "millrace/kernels/isa.h"

#include <hwy/highway.h>

#include <atomic>
#include <cstdlib>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr Isa kLevels[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

Isa detect() {
#if defined(__x86_64__)
  int64_t targets = hwy::SupportedTargets();
  if ((targets & HWY_AVX2) == 0) return Isa::scalar;
  if ((targets & HWY_AVX3) == 0) return Isa::avx2;
  bool bf16 = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  return bf16 ? Isa::avx512_bf16 : Isa::avx512;
#else
  return Isa::scalar;
#endif
}

/// Lets Highway choose no target above `level`. On x86 a better target has a lower bit.
void limit_highway(Isa level) {
#if defined(__x86_64__)
  int64_t above = 0;
  if (level == Isa::scalar) above = ~int64_t{0};
  if (level == Isa::avx2) above = HWY_AVX2 - 1;
  if (level == Isa::avx512) above = HWY_AVX3 - 1;
  hwy::DisableTargets(above);
#else
  (void)level;
#endif
}

Isa from_environment() {
  const char* text = std::getenv("MILLRACE_ISA");
  if (text == nullptr || *text == 0) return best_isa();
  for (Isa level : kLevels) {
    if (text != isa_name(level)) continue;
    require(level <= best_isa(), "MILLRACE_ISA={}: this machine has no more than {}", text,
            isa_name(best_isa()));
    limit_highway(level);
    return level;
  }
  fail("MILLRACE_ISA={}: unknown; choose one of scalar, avx2, avx512, avx512_bf16", text);
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> level{from_environment()};
  return level;
}

}  // namespace

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

Isa isa() {
  return current().load(std::memory_order_relaxed);
}

void set_isa(Isa level) {
  require(level <= best_isa(), "instruction set {}: this machine has no more than {}",
          isa_name(level), isa_name(best_isa()));
  current().store(level, std::memory_order_relaxed);
  limit_highway(level);
}

std::string_view isa_name(Isa level) {
  switch (level) {
    case Isa::scalar:
      return "scalar";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

}  // namespace millrace
