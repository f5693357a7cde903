#include "millrace/graph/ops/embedding.h"

#include <algorithm>
#include <cstring>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/elementwise.h"
#include "millrace/kernels/embedding.h"

namespace millrace {
namespace {

constexpr int64_t kRowsAPart = 64;

}  // namespace

void embedding_forward(const Parameter& table, std::span<const int32_t> ids, Tensor& y) {
  for (int32_t id : ids) {
    require(id >= 0 && id < table.shape[0], "token id {} is outside the {} rows of {}", id,
            table.shape[0], table.name);
  }
  const int64_t width = table.shape[1];
  float* out = y.f32().data();
  parallel_ranges(static_cast<int64_t>(ids.size()), kRowsAPart, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t id = ids[static_cast<size_t>(i)];
      if (table.is_packed()) {
        unpack_row(table.packed, id, out + i * width);
      } else {
        std::copy_n(table.value.f32().data() + id * width, width, out + i * width);
      }
    }
  });
  if (!table.is_packed() && table.arithmetic == Arithmetic::bf16) {
    round_to(DType::bf16, out, y.count(), out);
  }
}

void embedding_backward(const Tensor& dy, std::span<const int32_t> ids, Parameter& table) {
  scatter_add_rows(dy.f32().data(), ids.data(), static_cast<int64_t>(ids.size()), dy.shape()[1],
                   table.gradient.f32().data());
}

void gather_rows_forward(const Tensor& x, std::span<const int64_t> rows, Tensor& y) {
  const size_t width = static_cast<size_t>(x.shape()[1]);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(y.f32().data() + i * width, x.f32().data() + static_cast<size_t>(rows[i]) * width,
                width * sizeof(float));
  }
}

void gather_rows_backward(const Tensor& dy, std::span<const int64_t> rows, Tensor& dx) {
  const int64_t width = dx.shape()[1];
  for (size_t i = 0; i < rows.size(); ++i) {
    add_into(dy.f32().data() + static_cast<int64_t>(i) * width, width,
             dx.f32().data() + rows[i] * width);
  }
}

void put_rows(const Tensor& x, std::span<const int64_t> rows, const Tensor& part, Tensor& y) {
  const int64_t width = x.shape()[1];
  copy(x.f32().data(), x.count(), y.f32().data());
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(part.f32().data() + static_cast<int64_t>(i) * width, width,
                y.f32().data() + rows[i] * width);
  }
}

void clear_rows(std::span<const int64_t> rows, Tensor& x) {
  const int64_t width = x.shape()[1];
  for (int64_t row : rows) std::fill_n(x.f32().data() + row * width, width, 0.0f);
}

void columns_forward(const Tensor& x, int64_t begin, Tensor& y) {
  const int64_t in = x.shape()[1], out = y.shape()[1];
  parallel_ranges(x.shape()[0], kRowsAPart, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float* from = x.f32().data() + row * in + begin;
      std::copy_n(from, out, y.f32().data() + row * out);
    }
  });
}

void put_columns(const Tensor& x, int64_t begin, Tensor& y) {
  const int64_t in = x.shape()[1], out = y.shape()[1];
  parallel_ranges(x.shape()[0], kRowsAPart, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      std::copy_n(x.f32().data() + row * in, in, y.f32().data() + row * out + begin);
    }
  });
}

void columns_backward(const Tensor& dy, int64_t begin, bool accumulate, Tensor& dx) {
  const int64_t in = dx.shape()[1], out = dy.shape()[1];
  parallel_ranges(dx.shape()[0], kRowsAPart, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float* from = dy.f32().data() + row * out;
      float* to = dx.f32().data() + row * in;
      if (!accumulate) std::fill_n(to, in, 0.0f);
      add_into(from, out, to + begin);
    }
  });
}

}  // namespace millrace
