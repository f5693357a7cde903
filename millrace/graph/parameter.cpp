#include "millrace/graph/parameter.h"

#include "millrace/base/thread_pool.h"

namespace millrace {

void pack_for_running(Parameter& parameter, Arithmetic arithmetic) {
  if (parameter.is_matrix()) pack(view(parameter.value), arithmetic, parameter.packed);
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

void make_trainable(Parameter& parameter, Arithmetic arithmetic) {
  parameter.arithmetic = arithmetic;
  parameter.packed = {};
  parameter.packed_transposed = {};
  parameter.gradient = Tensor(DType::f32, parameter.shape);
}

}  // namespace millrace
