#include "millrace/kernels/quantized_matmul.h"

namespace millrace {

PackedMatrix pack_quantized(const Tensor& w) {
  fail("no product with weights of type {}", info(w.dtype()).name);
}

void quantized_matmul(const MatrixView&, const PackedMatrix& w, float*, int64_t, bool) {
  fail("no product with weights of type {}", info(w.type).name);
}

void unpack_quantized_row(const PackedMatrix& w, int64_t, float*) {
  fail("no product with weights of type {}", info(w.type).name);
}

}  // namespace millrace
