#include "millrace/kernels/isa.h"

#include <hwy/highway.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>

#include "millrace/base/error.h"
#include "millrace/kernels/isa_emulation.h"

namespace millrace {
namespace {

#if defined(__x86_64__)
constexpr Isa kLevels[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx};
#elif defined(__aarch64__)
constexpr Isa kLevels[] = {Isa::scalar, Isa::neon};
#else
constexpr Isa kLevels[] = {Isa::scalar};
#endif

#if defined(__x86_64__)

/// The parts of a thread's state that the system saves: XCR0.
uint64_t saved_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

/// The processor has tiles with BF16 and INT8, and the system knows how to save them.
bool has_amx() {
  constexpr uint32_t kOsXsave = 1u << 27;                                   // leaf 1, ecx
  constexpr uint32_t kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;  // leaf 7, edx
  constexpr uint32_t kAmx = kBf16 | kTile | kInt8;
  constexpr uint64_t kTileState = uint64_t{3} << 17;  // configuration and data
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsXsave) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAmx) != kAmx) return false;
  return (saved_state() & kTileState) == kTileState;
}

/// Linux (5.16 on) gives the 8 KiB of tiles only to processes that ask; a sandbox may refuse.
bool request_amx() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

CpuFeatures detect() {
  int64_t targets = hwy::SupportedTargets();
  CpuFeatures features;
  features.avx2 = (targets & HWY_AVX2) != 0;
  features.avx512 = (targets & HWY_AVX3) != 0;
  features.bf16 = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  features.amx = has_amx();
  return features;
}

#else

bool request_amx() {
  return false;
}

CpuFeatures detect() {
  CpuFeatures features;
#if defined(__aarch64__)
  features.neon = true;  // every one has it
#endif
  return features;
}

#endif

/// Lets Highway choose no target above `level`. A better target has a lower bit. What the compiler
/// takes for granted (SSE2, NEON) cannot be switched off.
void limit_highway(Isa level) {
#if defined(__x86_64__)
  int64_t above = 0;
  if (level == Isa::scalar) above = ~int64_t{0};
  if (level == Isa::avx2) above = HWY_AVX2 - 1;
  if (level == Isa::avx512) above = HWY_AVX3 - 1;
  hwy::DisableTargets(above);
#else
  static_cast<void>(level);
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
  std::string known;
  for (Isa level : kLevels)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", isa_name(level));
  fail("MILLRACE_ISA={}: unknown; choose one of {}", text, known);
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> level{from_environment()};
  return level;
}

}  // namespace

Isa choose_isa(const CpuFeatures& features, bool (*request)()) {
  if (features.neon) return Isa::neon;
  if (!features.avx2) return Isa::scalar;
  if (!features.avx512) return Isa::avx2;
  if (!features.bf16) return Isa::avx512;
  return features.amx && request() ? Isa::amx : Isa::avx512_bf16;
}

bool has_isa(Isa level) {
  return level <= best_isa() &&
         std::find(std::begin(kLevels), std::end(kLevels), level) != std::end(kLevels);
}

Isa best_isa() {
  static const Isa best = choose_isa(detect(), request_amx);
  return best;
}

Isa isa() {
  return current().load(std::memory_order_relaxed);
}

void set_isa(Isa level) {
  require(has_isa(level), "instruction set {}: this machine has no more than {}",
          isa_name(level), isa_name(best_isa()));
  emulate_isa(level);
}

void emulate_isa(Isa level) {
  current().store(level, std::memory_order_relaxed);
  limit_highway(level);
}

std::string_view isa_name(Isa level) {
  switch (level) {
    case Isa::scalar:
      return "scalar";
    case Isa::neon:
      return "neon";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::amx:
      return "amx";
  }
  return "unknown";
}

}  // namespace millrace
