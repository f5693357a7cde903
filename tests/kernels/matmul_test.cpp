#include "millrace/kernels/matmul.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/isa.h"
#include "tests/kernels/dense_contract.h"

namespace millrace {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

std::vector<float> random_values(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

MatrixView matrix(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols, 1};
}

/// A weight tensor of a 16-bit type, rounded from f32.
Tensor as_tensor(const MatrixView& w, DType type) {
  Tensor tensor(type, {w.rows, w.cols});
  for (int64_t i = 0; i < w.rows * w.cols; ++i) {
    size_t at = static_cast<size_t>(i);
    if (type == DType::f32) tensor.f32()[at] = w.data[i];
    if (type == DType::f16) tensor.as<Float16>()[at] = to_float16(w.data[i]);
    if (type == DType::bf16) tensor.as<BFloat16>()[at] = to_bfloat16(w.data[i]);
  }
  return tensor;
}

std::vector<float> multiply(const MatrixView& x, const PackedMatrix& w) {
  std::vector<float> y(static_cast<size_t>(x.rows * w.n), NAN);
  matmul(x, w, y.data(), w.n);
  return y;
}

void expect_contract(const MatrixView& x, const MatrixView& w, DType type,
                     const std::vector<float>& y) {
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < w.rows; ++j) {
      ASSERT_EQ(y[static_cast<size_t>(i * w.rows + j)], contract(x, i, w, j, type))
          << info(type).name << " [" << x.rows << ", " << x.cols << "] x [" << w.rows << ", "
          << x.cols << "] at " << i << ", " << j << " with " << isa_name(isa());
    }
  }
}

/// Every instruction-set level that this machine has; leaves the best one set.
template <typename Body>
void at_every_isa(const Body& body) {
  Isa before = isa();
  for (Isa level : {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx}) {
    if (!has_isa(level)) continue;
    set_isa(level);
    body();
  }
  set_isa(before);
}

TEST(Matmul, KeepsTheContractToTheBitAtEveryIsa) {
  // The loops agree exactly: bf16 sums of ordinary size meet no denormal numbers.
  struct Case {
    int64_t m, n, k;
  };
  for (Case c : {Case{1, 1, 1}, Case{1, 33, 2}, Case{2, 32, 3}, Case{3, 65, 601}, Case{7, 45, 257},
                 Case{13, 130, 64}, Case{26, 16, 2070}, Case{1, 300, 515}}) {
    std::vector<float> x = random_values(c.m * c.k, 1), w = random_values(c.n * c.k, 2);
    for (DType type : kTypes) {
      at_every_isa([&] {
        PackedMatrix packed = pack(as_tensor(matrix(w, c.n, c.k), type));
        ASSERT_EQ(packed.type, type);
        expect_contract(matrix(x, c.m, c.k), matrix(w, c.n, c.k), type,
                        multiply(matrix(x, c.m, c.k), packed));
      });
    }
  }
}

TEST(Matmul, RoundsF32WeightsWhileItPacksThem) {
  int64_t m = 5, n = 70, k = 97;
  std::vector<float> x = random_values(m * k, 3), w = random_values(n * k, 4);
  at_every_isa([&] {
    for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
      PackedMatrix packed;
      pack(matrix(w, n, k), arithmetic, packed);
      expect_contract(matrix(x, m, k), matrix(w, n, k), packed.type,
                      multiply(matrix(x, m, k), packed));
    }
  });
}

TEST(Matmul, TakesViewsOfAnyStride) {
  for (int64_t m : {1, 21}) {
    int64_t n = 70, k = 85;
    std::vector<float> x = random_values(m * k * 6, 5), w = random_values(n * k * 6, 6);
    MatrixView xs[] = {{x.data(), m, k, k, 1},         {x.data(), m, k, k + 5, 1},
                       {x.data(), m, k, 1, m},         {x.data(), m, k, 1, m + 3},
                       {x.data(), m, k, 2, 2 * m + 1}, {x.data(), m, k, 3 * k, 3}};
    MatrixView ws[] = {{w.data(), n, k, k, 1},         {w.data(), n, k, k + 5, 1},
                       {w.data(), n, k, 1, n},         {w.data(), n, k, 1, n + 3},
                       {w.data(), n, k, 2, 2 * n + 1}, {w.data(), n, k, 3 * k, 3}};
    at_every_isa([&] {
      for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
        for (int i = 0; i < 6; ++i) {
          PackedMatrix packed;
          pack(ws[i], arithmetic, packed);
          expect_contract(xs[i], ws[i], packed.type, multiply(xs[i], packed));
        }
      }
    });
  }
}

TEST(Matmul, RowsDoNotDependOnTheirCompany) {
  int64_t most = 100, n = 200, k = 1200;
  std::vector<float> x = random_values(most * k, 7), w = random_values(n * k, 8);
  at_every_isa([&] {
    if (isa() == Isa::scalar) return;
    for (DType type : kTypes) {
      PackedMatrix packed = pack(as_tensor(matrix(w, n, k), type));
      std::vector<float> all = multiply(matrix(x, most, k), packed);
      for (int threads : {1, 2, 3}) {
        int before = num_threads();
        set_num_threads(threads);
        for (int64_t m : {1, 2, 3, 12, 15, 16, 17, 33, 100}) {
          for (int64_t first : {int64_t{0}, most - m}) {
            MatrixView some{x.data() + first * k, m, k, k, 1};
            std::vector<float> y = multiply(some, packed);
            for (int64_t i = 0; i < m * n; ++i) {
              ASSERT_EQ(std::bit_cast<uint32_t>(y[static_cast<size_t>(i)]),
                        std::bit_cast<uint32_t>(all[static_cast<size_t>(first * n + i)]))
                  << info(type).name << " rows " << m << " threads " << threads;
            }
          }
        }
        set_num_threads(before);
      }
    }
  });
}

TEST(Matmul, AccumulatesFromTheRunningValue) {
  int64_t m = 14, n = 45, k = 700, stride = 50;
  std::vector<float> x = random_values(m * k, 9), w = random_values(n * k, 10);
  at_every_isa([&] {
    for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
      PackedMatrix packed;
      pack(matrix(w, n, k), arithmetic, packed);
      std::vector<float> start = random_values(m * stride, 11), y = start;
      matmul(matrix(x, m, k), packed, y.data(), stride, true);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < stride; ++j) {
          size_t at = static_cast<size_t>(i * stride + j);
          if (j >= n) {
            ASSERT_EQ(y[at], start[at]) << "written past the end of a row";
          } else {
            ASSERT_EQ(y[at],
                      contract(matrix(x, m, k), i, matrix(w, n, k), j, packed.type, start[at]));
          }
        }
      }
    }
  });
}

TEST(Matmul, PacksWeightsOnTheWayInPiecesOfTheSameBits) {
  // Several pieces in both directions, the last ones partial; and a weight that is one piece.
  for (auto [n, k] : {std::pair<int64_t, int64_t>{1100, 4101}, {70, 35}}) {
    std::vector<float> x = random_values(3 * k, 1), w = random_values(n * k, 2);
    const MatrixView rows = matrix(w, n, k), columns = matrix(w, k, n).transposed();
    for (const MatrixView& weight : {rows, columns}) {
      for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
        for (bool accumulate : {false, true}) {
          PackedMatrix packed;
          pack(weight, arithmetic, packed);
          std::vector<float> whole = random_values(3 * n, 3), pieces = whole;
          matmul(matrix(x, 3, k), packed, whole.data(), n, accumulate);
          matmul(matrix(x, 3, k), weight, arithmetic, pieces.data(), n, accumulate);
          EXPECT_EQ(pieces, whole) << n << " " << k << " accumulate " << accumulate;
        }
      }
    }
  }
}

TEST(Matmul, TakesEmptyMatrices) {
  std::vector<float> values(64, 1.0f), y(64, 5.0f);
  for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
    PackedMatrix packed;
    pack(matrix(values, 4, 0), arithmetic, packed);
    std::fill(y.begin(), y.end(), 5.0f);
    matmul(matrix(values, 3, 0), packed, y.data(), 4, true);
    EXPECT_EQ(y[11], 5.0f);
    matmul(matrix(values, 3, 0), packed, y.data(), 4);
    EXPECT_EQ(y[11], 0.0f);
    EXPECT_EQ(y[12], 5.0f);
    pack(matrix(values, 4, 8), arithmetic, packed);
    matmul(matrix(values, 0, 8), packed, y.data(), 4);
    EXPECT_EQ(y[12], 5.0f);
    pack(matrix(values, 0, 8), arithmetic, packed);
    matmul(matrix(values, 3, 8), packed, y.data(), 0);
    EXPECT_EQ(y[12], 5.0f);
  }
}

TEST(Matmul, RefusesShapesThatDisagree) {
  std::vector<float> values(64, 1.0f), y(64);
  PackedMatrix packed;
  pack(matrix(values, 4, 8), Arithmetic::f32, packed);
  EXPECT_THROW(matmul(matrix(values, 4, 7), packed, y.data(), 4), Error);
  EXPECT_THROW(matmul(matrix(values, 4, 7), matrix(values, 4, 8), Arithmetic::f32, y.data(), 4),
               Error);
  EXPECT_THROW(unpack_row(packed, 4, y.data()), Error);
  EXPECT_THROW(pack(Tensor(DType::i32, {4, 8})), Error);
  EXPECT_THROW(pack(Tensor(DType::f32, {4, 8, 2})), Error);
}

TEST(Matmul, PassesNanAndInfinityThrough) {
  const float inf = std::numeric_limits<float>::infinity();
  int64_t m = 13, n = 40, k = 35;
  at_every_isa([&] {
    for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
      std::vector<float> x = random_values(m * k, 12), w = random_values(n * k, 13);
      x[static_cast<size_t>(3 * k + 34)] = NAN;
      x[static_cast<size_t>(4 * k + 2)] = inf;
      w[static_cast<size_t>(39 * k + 7)] = std::bit_cast<float>(0x7fffffffu);  // a NaN
      PackedMatrix packed;
      pack(matrix(w, n, k), arithmetic, packed);
      std::vector<float> y = multiply(matrix(x, m, k), packed);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          float value = y[static_cast<size_t>(i * n + j)];
          if (i == 3 || j == 39) {
            EXPECT_TRUE(std::isnan(value)) << i << ", " << j;
          } else if (i == 4) {
            EXPECT_EQ(value, w[static_cast<size_t>(j * k + 2)] > 0 ? inf : -inf);
          } else {
            EXPECT_TRUE(std::isfinite(value)) << i << ", " << j;
          }
        }
      }
    }
  });
}

TEST(Matmul, UnpacksRows) {
  int64_t n = 70, k = 601;
  std::vector<float> w = random_values(n * k, 14), row(static_cast<size_t>(k));
  for (DType type : kTypes) {
    at_every_isa([&] {
      PackedMatrix packed = pack(as_tensor(matrix(w, n, k), type));
      for (int64_t j : {0, 31, 32, 69}) {
        unpack_row(packed, j, row.data());
        for (int64_t i = 0; i < k; ++i) {
          ASSERT_EQ(row[static_cast<size_t>(i)], rounded(w[static_cast<size_t>(j * k + i)], type));
        }
      }
    });
  }
}

TEST(Matmul, PacksIntoTheSameMemoryAgain) {
  std::vector<float> w = random_values(64 * 64, 15);
  PackedMatrix packed;
  pack(matrix(w, 64, 64), Arithmetic::f32, packed);
  const std::byte* memory = packed.bytes->data();
  pack(matrix(w, 40, 64), Arithmetic::bf16, packed);
  EXPECT_EQ(packed.bytes->data(), memory);
  PackedMatrix shared = packed;
  pack(matrix(w, 40, 64), Arithmetic::bf16, packed);
  EXPECT_NE(packed.bytes->data(), shared.bytes->data());
}

}  // namespace
}  // namespace millrace
