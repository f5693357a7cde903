// The loops of level amx. A processor that has no AMX gets its instructions emulated.
#include <gtest/gtest.h>

#include "millrace/kernels/isa.h"

#if defined(__x86_64__) && defined(__linux__)
#include <hwy/aligned_allocator.h>

#include <cstring>
#include <vector>

#include "millrace/kernels/amx_tiles.h"
#include "millrace/kernels/attention_parts.h"
#include "millrace/kernels/dense_tile.h"
#include "millrace/kernels/quantized_matmul.h"
#include "millrace/kernels/quantized_tile.h"
#include "tests/kernels/dense_contract.h"
#include "tests/kernels/emulated_amx.h"
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/random_blocks.h"

namespace millrace {
namespace {

MatrixView matrix(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols, 1};
}

/// Rounds x to bf16 in rows of whole tiles.
void pack_x(const MatrixView& x, Arithmetic /*bf16*/, std::byte* out) {
  for (int64_t i = 0; i < x.rows; ++i) {
    auto row = reinterpret_cast<BFloat16*>(out + i * kRowStride);
    std::fill_n(row, (x.cols + 31) / 32 * 32, BFloat16{});
    for (int64_t k = 0; k < x.cols; ++k) row[k] = to_bfloat16(at(x, i, k));
  }
}

/// Emulates what this processor lacks.
class Amx : public testing::Test {
 protected:
  void SetUp() override {
    if (best_isa() < Isa::amx) emulate_amx();
  }
};

/// The loops with the level's blocks of rows, and with smaller ones.
std::vector<DenseKernels> dense_loops() {
  DenseKernels loops = kAmxDenseKernels;
  if (best_isa() < Isa::avx512_bf16) loops.pack_x = pack_x;
  DenseKernels small = loops;
  small.max_rows = 48;
  small.min_block = 20;
  small.max_block = 48;
  return {loops, small};
}

TEST_F(Amx, DenseProductsKeepTheContractToTheBit) {
  struct Case {
    int64_t n, k;
  };
  for (Case c : {Case{1, 1}, Case{32, 32}, Case{70, 97}, Case{45, 63}, Case{96, 33}}) {
    std::vector<float> x = normal_values(70 * c.k, 1), w = normal_values(c.n * c.k, 2);
    for (const DenseKernels& loops : dense_loops()) {
      PackedMatrix packed;
      pack(matrix(w, c.n, c.k), Arithmetic::bf16, packed);
      for (int64_t m = 1; m <= 70; m += c.n == 70 ? 1 : 3) {
        std::vector<float> y(static_cast<size_t>(m * c.n), NAN);
        dense_matmul(loops, matrix(x, m, c.k), packed, y.data(), c.n, false);
        for (int64_t i = 0; i < m * c.n; ++i) {
          ASSERT_EQ(y[static_cast<size_t>(i)],
                    tile_contract(matrix(x, m, c.k), i / c.n, matrix(w, c.n, c.k), i % c.n))
              << m << " x " << c.n << " x " << c.k << " at " << i;
        }
      }
    }
  }
}

TEST_F(Amx, AttentionAgreesWithReferenceInAnyChunks) {
  const AttentionShape shape{.num_heads = 4, .num_kv_heads = 2, .head_dim = 40, .scale = 0.15f};
  const int64_t length = 130;
  const std::vector<float> q = normal_values(length * 160, 1), k = normal_values(length * 80, 2),
                           v = normal_values(length * 80, 3);
  for (DType dtype : {DType::bf16, DType::i8}) {
    const size_t bytes = page_bytes(shape, dtype);
    const auto memory = hwy::AllocateAligned<std::byte>(3 * bytes);
    std::memset(memory.get(), 0, 3 * bytes);
    std::vector<std::byte*> pages = {memory.get(), &memory[bytes], &memory[2 * bytes]};
    AttentionSegment segment{0, length, 0, pages};
    store_keys_values(shape, dtype, {&segment, 1}, k.data(), v.data());
    std::vector<float> expected(q.size()), whole(q.size()), parts(q.size());
    reference::attention_forward(shape, dtype, {&segment, 1}, q.data(), expected.data(), nullptr);
    for (const DenseKernels& loops : dense_loops()) {
      attention_forward_with(loops, shape, dtype, {&segment, 1}, q.data(), whole.data(), nullptr);
      expect_near(whole, expected, 4e-3);
      for (int64_t begin = 0, count = 1; begin < length; begin += count, count = count % 7 + 1) {
        const int64_t queries = std::min(count, length - begin);
        const AttentionSegment part{begin, queries, begin, pages};
        attention_forward_with(loops, shape, dtype, {&part, 1}, q.data(), parts.data(), nullptr);
      }
      expect_same_bits(parts, whole);
    }
  }
}

TEST_F(Amx, DenseProductsGoOnOverBlocksOfKAndAccumulate) {
  const int64_t m = 37, n = 45, k = 1201, stride = 50;
  std::vector<float> x = normal_values(m * k, 3), w = normal_values(n * k, 4);
  MatrixView ws = matrix(w, n, k);
  // The second is a backward product's: the transposed view of a matrix [k, m].
  for (MatrixView xs : {matrix(x, m, k), matrix(x, k, m).transposed()}) {
    for (const DenseKernels& loops : dense_loops()) {
      PackedMatrix packed;
      pack(ws, Arithmetic::bf16, packed);
      std::vector<float> start = normal_values(m * stride, 5), y = start;
      dense_matmul(loops, xs, packed, y.data(), stride, true);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < stride; ++j) {
          size_t place = static_cast<size_t>(i * stride + j);
          ASSERT_EQ(y[place], j < n ? tile_contract(xs, i, ws, j, start[place]) : start[place]);
        }
      }
    }
  }
}

TEST_F(Amx, DenseRowsDoNotDependOnTheirCompanyOrThreads) {
  const int64_t most = 140, n = 100, k = 77;
  std::vector<float> x = normal_values(most * k, 6), w = normal_values(n * k, 7);
  int before = num_threads();
  for (const DenseKernels& loops : dense_loops()) {
    PackedMatrix packed;
    pack(matrix(w, n, k), Arithmetic::bf16, packed);
    std::vector<float> all(static_cast<size_t>(most * n));
    dense_matmul(loops, matrix(x, most, k), packed, all.data(), n, false);
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      for (int64_t m : {1, 16, 17, 33, 100, 140}) {
        MatrixView last{x.data() + (most - m) * k, m, k, k, 1};
        std::vector<float> y(static_cast<size_t>(m * n));
        dense_matmul(loops, last, packed, y.data(), n, false);
        EXPECT_EQ(std::memcmp(y.data(), &all[static_cast<size_t>((most - m) * n)], y.size() * 4), 0)
            << m << " rows, " << threads << " threads";
      }
    }
    set_num_threads(before);
  }
}

TEST_F(Amx, WeightsAfterAPanelsEndAreNotMultiplied) {
  const int64_t m = 20, n = 64, k = 40;
  std::vector<float> x = normal_values(m * k, 8), w = normal_values(n * k, 9);
  for (int64_t j = 32; j < n; ++j) w[static_cast<size_t>(j * k)] = INFINITY;
  for (const DenseKernels& loops : dense_loops()) {
    PackedMatrix packed;
    pack(matrix(w, n, k), Arithmetic::bf16, packed);
    std::vector<float> y(static_cast<size_t>(m * n));
    dense_matmul(loops, matrix(x, m, k), packed, y.data(), n, false);
    for (int64_t i = 0; i < m * n; ++i) {
      EXPECT_EQ(std::isfinite(y[static_cast<size_t>(i)]), i % n < 32);
    }
  }
}

TEST_F(Amx, DenormalsAreZero) {
  const int64_t k = 4;
  const float denormal = 0x1p-130f, small = 0x1p-120f;
  std::vector<float> x = {denormal, small, small, 1}, w = {0x1p100f, 0x1p-20f, 1, denormal};
  for (const DenseKernels& loops : dense_loops()) {
    PackedMatrix packed;
    pack(matrix(w, 1, k), Arithmetic::bf16, packed);
    float y = 0x1p-127f;
    dense_matmul(loops, matrix(x, 1, k), packed, &y, 1, true);
    EXPECT_EQ(y, small);
  }
}

// Quantised products

class AmxQuantized : public testing::TestWithParam<DType> {
 protected:
  /// Also the floats need instructions, of the level below.
  void SetUp() override {
    if (best_isa() < Isa::avx512_bf16) return;  // nothing to run them on
    if (best_isa() < Isa::amx) emulate_amx();
    loops_ = {kAmxQuantizedKernels, kAmxQuantizedKernels};
    loops_[1].max_rows = 40;
  }
  std::vector<QuantizedKernels> loops_;
};
INSTANTIATE_TEST_SUITE_P(Types, AmxQuantized, testing::ValuesIn(kBlockTypes),
                         [](const auto& tested) {
                           return std::string(millrace::info(tested.param).name);
                         });

void multiply(const QuantizedKernels& loops, const MatrixView& x, const PackedMatrix& w, float* y,
              int64_t y_stride, bool accumulate) {
  const Product product{&w, y, y_stride};
  quantized_matmul(loops, x, {&product, 1}, accumulate);
}

TEST_P(AmxQuantized, ProductsHaveTheBitsOfThePlainLoops) {
  const int64_t most = 70, n = 41, stride = 43;
  // A few blocks, and more than are unpacked at a time.
  for (int64_t k : {int64_t{block_format(GetParam()).values}, int64_t{768}}) {
    std::vector<float> x = normal_values(most * k, 10);
    PackedMatrix w = pack(random_blocks(GetParam(), n, k, 11));
    for (bool accumulate : {false, true}) {
      std::vector<float> start = normal_values(most * stride, 12), expected = start;
      multiply(kScalarQuantizedKernels, matrix(x, most, k), w, expected.data(), stride, accumulate);
      for (const QuantizedKernels& loops : loops_) {
        for (int64_t m : {5, 16, 33, 70}) {
          std::vector<float> y = start;
          multiply(loops, matrix(x, m, k), w, y.data(), stride, accumulate);
          EXPECT_EQ(std::memcmp(y.data(), expected.data(), static_cast<size_t>(m * stride * 4)), 0)
              << m << " rows, k " << k;
        }
      }
    }
  }
}

TEST_P(AmxQuantized, InfinitiesMakeTheirRowNaN) {
  const int64_t m = 16, n = 16, k = 256;
  std::vector<float> x = normal_values(m * k, 13);
  x[3 * k + 7] = INFINITY;
  PackedMatrix w = pack(random_blocks(GetParam(), n, k, 14));
  for (const QuantizedKernels& loops : loops_) {
    std::vector<float> y(m * n);
    multiply(loops, matrix(x, m, k), w, y.data(), n, false);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / n == 3) << i;
  }
}

HWY_PUSH_ATTRIBUTES("amx-tile,amx-int8,amx-bf16")
/// Stores a configuration that nothing else reads before it is forgotten.
[[gnu::noinline]] void configure(int64_t rows) {
  TileConfig config;
  config.shape(3, rows, 60);
  config.shape(7, 1, 4 * rows);
  amx::configure(config);
}

TileConfig configured() {
  TileConfig config;
  asm volatile("sttilecfg %0" : "=m"(config));
  amx::release();
  return config;
}
HWY_POP_ATTRIBUTES

TEST_F(Amx, TheWholeConfigurationReachesTheProcessor) {
  configure(12);
  TileConfig seen = configured(), expected;
  expected.rows[3] = 12;
  expected.row_bytes[3] = 60;
  expected.rows[7] = 1;
  expected.row_bytes[7] = 48;
  EXPECT_EQ(std::memcmp(&seen, &expected, sizeof seen), 0);
}

}  // namespace
}  // namespace millrace
#endif
