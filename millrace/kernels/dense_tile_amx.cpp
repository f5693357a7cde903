// The inner loops of bf16 products where the processor has AMX (Sapphire Rapids on).
#include "millrace/kernels/dense_tile_amx-inl.h"

#if defined(__x86_64__)

namespace millrace {
namespace {

// A weight is packed and x converted as for the dot products of AVX-512: tiles want the same order.
void pack_x(const MatrixView& x, Arithmetic arithmetic, std::byte* out) {
  kAvx512Bf16DenseKernels.pack_x(x, arithmetic, out);
}

void pack_panel(const MatrixView& w, Arithmetic arithmetic, std::byte* out) {
  kAvx512Bf16DenseKernels.pack_panel(w, arithmetic, out);
}

// Tiles multiply some eight times as fast as registers do, so that w must serve more rows.
constexpr int64_t kMinBlock = 256;
constexpr int64_t kMaxBlock = 512;

}  // namespace

const DenseKernels kAmxDenseKernels{kMaxBlock, sizeof(BFloat16), amx::tile_bf16<AmxTiles>,
                                    pack_x,    pack_panel,       kMinBlock,
                                    kMaxBlock};

}  // namespace millrace

#endif
