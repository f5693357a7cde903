#include "millrace/kernels/quantized_matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/quantized_panel.h"
#include "millrace/tensor/quantize.h"
#include "tests/kernels/random_blocks.h"

namespace millrace {
namespace {

std::vector<Isa> levels() {
  std::vector<Isa> available;
  for (Isa level : {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx}) {
    if (has_isa(level)) available.push_back(level);
  }
  return available;
}

Tensor random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Tensor t(DType::f32, {rows, cols});
  Random random(seed);
  for (float& x : t.f32()) x = static_cast<float>(random.normal());
  return t;
}

Tensor product(const Tensor& x, const PackedMatrix& w) {
  Tensor y(DType::f32, {x.shape()[0], w.n});
  matmul(view(x), w, y.f32().data(), w.n);
  return y;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

/// x as the contract rounds it, block by block.
std::vector<double> rounded(std::span<const float> x) {
  std::vector<double> result(x.size());
  for (size_t begin = 0; begin < x.size(); begin += 32) {
    float largest = 0;
    for (size_t i = begin; i < begin + 32; ++i) largest = std::max(largest, std::abs(x[i]));
    float inverse = 127.0f / largest, scale = largest / 127.0f;
    for (size_t i = begin; i < begin + 32; ++i) {
      result[i] = static_cast<double>(scale) * std::nearbyint(x[i] * inverse);
    }
  }
  return result;
}

class QuantizedMatmul : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override { threads_ = num_threads(); }
  void TearDown() override {
    set_isa(best_isa());
    set_num_threads(threads_);
  }

 private:
  int threads_ = 1;
};
std::string name_of(const testing::TestParamInfo<DType>& tested) {
  return std::string(info(tested.param).name);
}
INSTANTIATE_TEST_SUITE_P(Types, QuantizedMatmul, testing::ValuesIn(kBlockTypes), name_of);

TEST_P(QuantizedMatmul, EqualsProductsOfRoundedRowsWithDequantisedWeights) {
  constexpr int64_t m = 5, n = 37, k = 768;
  Tensor x = random_matrix(m, k, 1);
  Tensor w = random_blocks(GetParam(), n, k, 2);
  Tensor values = dequantized(w);
  for (Isa level : levels()) {
    set_isa(level);
    Tensor y = product(x, pack(w));
    for (int64_t i = 0; i < m; ++i) {
      std::vector<double> row = rounded(x.rows(i, i + 1).f32());
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, size = 0;
        for (int64_t l = 0; l < k; ++l) {
          double weight = static_cast<double>(values.f32()[static_cast<size_t>(j * k + l)]);
          sum += row[static_cast<size_t>(l)] * weight;
          size += std::abs(row[static_cast<size_t>(l)] * weight);
        }
        EXPECT_NEAR(y.f32()[static_cast<size_t>(i * n + j)], sum, 2e-6 * size)
            << isa_name(level) << " row " << i << " output " << j;
      }
    }
  }
}

TEST_P(QuantizedMatmul, IsCloseToTheProductWithoutRounding) {
  constexpr int64_t m = 4, n = 32, k = 1024;
  Tensor x = random_matrix(m, k, 3);
  Tensor w = quantized(random_matrix(n, k, 4), GetParam());
  Tensor y = product(x, pack(w));
  Tensor exact = product(x, pack(dequantized(w)));
  double error = 0, power = 0;
  for (size_t i = 0; i < y.f32().size(); ++i) {
    error += std::pow(y.f32()[i] - exact.f32()[i], 2.0);
    power += std::pow(exact.f32()[i], 2.0);
  }
  EXPECT_LT(std::sqrt(error / power), 0.008);
}

TEST_P(QuantizedMatmul, BitsDependOnTheRowAloneAtEveryLevelAndNumberOfThreads) {
  constexpr int64_t n = 75, k = 512;
  Tensor x = random_matrix(130, k, 5);
  Tensor w = random_blocks(GetParam(), n, k, 6);
  PackedMatrix packed = pack(w);
  set_isa(Isa::scalar);
  Tensor expected = product(x, packed);
  for (Isa level : levels()) {
    set_isa(level);
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      for (int64_t m : {1, 2, 3, 7, 8, 15, 16, 17, 33, 130}) {
        int64_t begin = 130 - m;
        EXPECT_TRUE(same_bits(product(x.rows(begin, 130), packed), expected.rows(begin, 130)))
            << isa_name(level) << " " << threads << " threads, " << m << " rows";
      }
    }
  }
}

TEST_P(QuantizedMatmul, AnOutputDependsOnItsOwnWeights) {
  constexpr int64_t k = 256;
  Tensor x = random_matrix(3, k, 7);
  Tensor w = random_blocks(GetParam(), 40, k, 8);
  Tensor all = product(x, pack(w));
  for (int64_t n : {1, 15, 16, 17, 31}) {
    Tensor some = product(x, pack(w.rows(40 - n, 40)));
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(
          std::memcmp(&some.f32()[static_cast<size_t>(i * n)],
                      &all.f32()[static_cast<size_t>(i * 40 + 40 - n)], static_cast<size_t>(n) * 4),
          0)
          << n << " outputs, row " << i;
    }
  }
}

TEST_P(QuantizedMatmul, AccumulatesAndKeepsToItsColumns) {
  constexpr int64_t m = 9, n = 21, k = 256, stride = 30;
  Tensor x = random_matrix(m, k, 9);
  PackedMatrix w = pack(random_blocks(GetParam(), n, k, 10));
  Tensor once = product(x, w);
  for (Isa level : levels()) {
    set_isa(level);
    std::vector<float> y(m * stride, 0.0f);
    for (size_t i = 0; i < m; ++i) y[i * stride + n] = -5;
    matmul(view(x), w, y.data(), stride, true);
    for (size_t i = 0; i < m; ++i) {
      EXPECT_EQ(std::memcmp(&y[i * stride], &once.f32()[i * n], n * 4), 0) << "row " << i;
      EXPECT_EQ(y[i * stride + n], -5);
    }
    matmul(view(x), w, y.data(), stride, true);
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        float expected = 2 * once.f32()[i * n + j];
        EXPECT_NEAR(y[i * stride + j], expected, 0.01 + 1e-4 * std::abs(expected));
      }
    }
  }
}

TEST_P(QuantizedMatmul, TakesStridedRows) {
  constexpr int64_t m = 6, n = 16, k = 256;
  Tensor x = random_matrix(m, k, 11);
  Tensor turned(DType::f32, {k, m});
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      turned.f32()[static_cast<size_t>(j * m + i)] = x.f32()[static_cast<size_t>(i * k + j)];
    }
  }
  PackedMatrix w = pack(random_blocks(GetParam(), n, k, 12));
  Tensor y(DType::f32, {m, n});
  matmul(view(turned).transposed(), w, y.f32().data(), n);
  EXPECT_TRUE(same_bits(y, product(x, w)));
}

TEST_P(QuantizedMatmul, UnpackedRowsEqualDequantisedOnes) {
  constexpr int64_t n = 35, k = 512;
  Tensor w = random_blocks(GetParam(), n, k, 13);
  Tensor values = dequantized(w);
  PackedMatrix packed = pack(w);
  std::vector<float> row(k);
  for (int64_t j = 0; j < n; ++j) {
    unpack_row(packed, j, row.data());
    ASSERT_EQ(std::memcmp(row.data(), &values.f32()[static_cast<size_t>(j * k)], k * 4), 0) << j;
  }
  EXPECT_THROW(unpack_row(packed, n, row.data()), Error);
  EXPECT_THROW(unpack_row(packed, -1, row.data()), Error);
}

TEST_P(QuantizedMatmul, PackedWeightsAreHardlyLargerThanTheFile) {
  Tensor w(GetParam(), {256, 1024});
  // A scale takes two bytes, of which mxfp4's files need one.
  const double limit = GetParam() == DType::mxfp4 ? 1.06 : 1.04;
  EXPECT_LE(static_cast<double>(pack(w).bytes->size()), limit * static_cast<double>(w.bytes()));
}

TEST_P(QuantizedMatmul, InfinitiesAndNaNsMakeTheirRowNaN) {
  constexpr int64_t n = 20, k = 512;
  PackedMatrix w = pack(random_blocks(GetParam(), n, k, 14));
  for (Isa level : levels()) {
    set_isa(level);
    Tensor x = random_matrix(4, k, 15);
    Tensor good = product(x, w);
    x.f32()[k + 3] = NAN;
    x.f32()[2 * k + 300] = -INFINITY;
    Tensor y = product(x, w);
    for (size_t j = 0; j < n; ++j) {
      EXPECT_EQ(y.f32()[j], good.f32()[j]);
      EXPECT_TRUE(std::isnan(y.f32()[n + j]));
      EXPECT_TRUE(std::isnan(y.f32()[2 * n + j]));
      EXPECT_EQ(y.f32()[3 * n + j], good.f32()[3 * n + j]);
    }
  }
}

TEST_P(QuantizedMatmul, ZerosAndExtremesOfX) {
  constexpr int64_t n = 16, k = 256;
  PackedMatrix w = pack(random_blocks(GetParam(), n, k, 16));
  Tensor x(DType::f32, {4, k});
  for (size_t i = 0; i < k; ++i) {
    x.f32()[k + i] = std::numeric_limits<float>::denorm_min() * static_cast<float>(i);
    x.f32()[2 * k + i] = i % 2 == 0 ? 1e30f : -1e30f;
    x.f32()[3 * k + i] = 1;
  }
  set_isa(Isa::scalar);
  Tensor expected = product(x, w);
  for (size_t j = 0; j < n; ++j) {
    EXPECT_EQ(expected.f32()[j], 0);
    EXPECT_EQ(expected.f32()[n + j], 0);
    EXPECT_TRUE(std::isfinite(expected.f32()[2 * n + j]));
  }
  for (Isa level : levels()) {
    set_isa(level);
    EXPECT_TRUE(same_bits(product(x, w), expected)) << isa_name(level);
  }
}

TEST_P(QuantizedMatmul, SeveralProductsOfOneXEqualEachAlone) {
  constexpr int64_t k = 512, widths[] = {100, 16, 7, 300, 64};
  const DType types[] = {GetParam(), GetParam(), DType::q6_k, DType::q4_k, GetParam()};
  std::vector<PackedMatrix> weights;
  for (size_t i = 0; i < 5; ++i) weights.push_back(pack(random_blocks(types[i], widths[i], k, i)));
  for (int64_t rows : {1, 3, 40}) {
    Tensor x = random_matrix(rows, k, 7);
    std::vector<Tensor> ys;
    std::vector<Product> products;
    for (const PackedMatrix& w : weights) {
      ys.emplace_back(DType::f32, Shape{rows, w.n});
      products.push_back({&w, ys.back().f32().data(), w.n});
    }
    for (int threads : {1, 3}) {
      set_num_threads(threads);
      matmul(view(x), products);
      for (size_t i = 0; i < weights.size(); ++i) {
        EXPECT_TRUE(same_bits(ys[i], product(x, weights[i]))) << rows << " rows, weight " << i;
      }
    }
  }
}

TEST_P(QuantizedMatmul, RefusesShapesThatDoNotFit) {
  int64_t block = block_format(GetParam()).values;
  Tensor w(GetParam(), {4, 2 * block});
  PackedMatrix packed = pack(w);
  float y[16];
  EXPECT_THROW(matmul(view(random_matrix(2, block, 1)), packed, y, 4), Error);
  EXPECT_THROW(pack(w.reshaped({8, block / 2, 2})), Error);
  EXPECT_THROW(pack(w.reshaped({16, block / 2})), Error);
  matmul(view(Tensor(DType::f32, {0, 2 * block})), packed, y, 4);
  Tensor none = product(random_matrix(2, block, 1), pack(Tensor(GetParam(), {0, block})));
  EXPECT_EQ(none.count(), 0);
}

}  // namespace
}  // namespace millrace
