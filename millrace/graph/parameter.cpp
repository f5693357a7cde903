#include "millrace/graph/parameter.h"

#include "millrace/base/thread_pool.h"

namespace millrace {

void repack(Parameter& parameter, Arithmetic arithmetic, bool for_backward) {
  if (!parameter.is_matrix()) return;
  MatrixView matrix = view(parameter.value);
  pack(matrix, arithmetic, parameter.packed);
  if (for_backward) pack(matrix.transposed(), arithmetic, parameter.packed_transposed);
}

void reserve_packed(Parameter& parameter, Arithmetic arithmetic) {
  if (!parameter.is_matrix()) return;
  MatrixView matrix = view(parameter.value);
  reserve_packed(matrix, arithmetic, parameter.packed);
  reserve_packed(matrix.transposed(), arithmetic, parameter.packed_transposed);
}

void repack_rows(Parameter& parameter, int64_t begin, int64_t end) {
  if (!parameter.is_matrix()) return;
  MatrixView matrix = view(parameter.value);
  pack_part(matrix, begin, end - begin, 0, matrix.cols, parameter.packed);
  pack_part(matrix.transposed(), 0, matrix.cols, begin, end - begin, parameter.packed_transposed);
}

void pack_for_backward(Parameter& parameter) {
  if (!parameter.is_matrix()) return;
  const PackedMatrix& packed = parameter.packed;
  Tensor plain(DType::f32, {packed.n, packed.k}, false);
  parallel_ranges(packed.n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      unpack_row(packed, row, plain.f32().data() + row * packed.k);
    }
  });
  Arithmetic arithmetic = packed.type == DType::f32 ? Arithmetic::f32 : Arithmetic::bf16;
  pack(view(plain).transposed(), arithmetic, parameter.packed_transposed);
}

void make_trainable(Parameter& parameter) {
  parameter.gradient = Tensor(DType::f32, parameter.shape);
}

}  // namespace millrace
