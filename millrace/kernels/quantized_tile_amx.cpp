// The inner loops of quantised products where the processor has AMX (Sapphire Rapids on).
#include "millrace/kernels/quantized_tile_amx-inl.h"

#if defined(__x86_64__)

namespace millrace {
namespace {

void round_row(const BlockFormat& format, const float* x, int64_t k, RoundedBlock* out) {
  kVnniQuantizedKernels.round_row(format, x, k, out);
}

// A panel is unpacked once for so many rows, whose blocks stay in the second-level cache.
constexpr int kMaxRows = 256;

}  // namespace

const QuantizedKernels kAmxQuantizedKernels{amx::quantized_tile<AmxTiles>, round_row, kMaxRows};

}  // namespace millrace

#endif
