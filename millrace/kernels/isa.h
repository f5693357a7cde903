// Which instructions the kernels use: the best of this machine, or fewer on request.
#pragma once

#include <string_view>

namespace millrace {

/// Instruction-set levels, each containing the one before of its processor. The arithmetic contract
/// of a kernel may differ between levels (docs/numerics.md); within one it never does.
enum class Isa {
  scalar,       ///< the plain reference loops
  neon,         ///< Arm's NEON; quantised products have the plain loops
  avx2,         ///< AVX2, FMA, F16C
  avx512,       ///< AVX-512 F, BW, VL, DQ
  avx512_bf16,  ///< and VNNI and BF16 dot products
  amx,          ///< and AMX: tiles with BF16 and INT8 dot products
};

/// The level in use: the best of this machine, or that of MILLRACE_ISA (`scalar`, `neon`, `avx2`,
/// `avx512`, `avx512_bf16` or `amx`). Throws Error when that variable names none, or one this
/// machine lacks.
Isa isa();

/// Whether this machine has a level.
bool has_isa(Isa level);

/// The best level of this machine. The first call asks the system for AMX where there is any.
Isa best_isa();

/// What the processor has and the system has switched on.
struct CpuFeatures {
  bool neon = false;
  bool avx2 = false;
  bool avx512 = false;
  bool bf16 = false;  ///< VNNI and BF16 of AVX-512
  bool amx = false;   ///< tiles, BF16 and INT8
};

/// The best level with these features. AMX is used only where `request_amx`, asked last and once,
/// gives leave.
Isa choose_isa(const CpuFeatures& features, bool (*request_amx)());

/// Changes the level, Highway's dispatch included; for tests. Not to be called while kernels run.
/// Throws Error for a level that this machine lacks.
void set_isa(Isa level);

/// For example "avx512_bf16".
std::string_view isa_name(Isa level);

}  // namespace millrace
