#include "millrace/tensor/quantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/tensor/block_format.h"

namespace millrace {
namespace {

constexpr DType kTypes[] = {DType::q4_0,   DType::q4_1,   DType::q5_0, DType::q5_1, DType::q8_0,
                            DType::q2_k,   DType::q3_k,   DType::q4_k, DType::q5_k, DType::q6_k,
                            DType::iq4_nl, DType::iq4_xs, DType::mxfp4};

std::string name_of(DType dtype) {
  return std::string(info(dtype).name);
}

std::string golden(std::string_view name) {
  return read_file(std::string(MILLRACE_SOURCE_DIR) + "/tests/golden/quantize/" +
                   std::string(name));
}

/// The numbers of tools/make_quant_goldens.py.
std::vector<float> normal_values(size_t count) {
  Random random(1);
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(random.normal());
  return values;
}

std::vector<float> heavy_tailed_values(size_t count) {
  Random random(2);
  std::vector<float> values(count);
  for (float& x : values) {
    double chi2 = 0;
    for (int i = 0; i < 3; ++i) {
      double n = random.normal();
      chi2 += n * n;
    }
    x = static_cast<float>(random.normal() / std::sqrt(chi2 / 3));
  }
  return values;
}

Tensor row_of(const std::vector<float>& values) {
  return Tensor::from({static_cast<int64_t>(values.size()) / 256, 256}, values);
}

double mean_squared_error(const std::vector<float>& values, DType dtype) {
  Tensor back = dequantized(quantized(row_of(values), dtype));
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += std::pow(back.f32()[i] - values[i], 2.0);
  return sum / static_cast<double>(values.size());
}

class Quantize : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, Quantize, testing::ValuesIn(kTypes),
                         [](const auto& tested) { return name_of(tested.param); });

TEST_P(Quantize, ValuesEqualGgmlsBitForBit) {
  DType dtype = GetParam();
  std::string file = golden(name_of(dtype) + ".bin");
  constexpr size_t kValues = 1536;
  size_t block_bytes = dtype_bytes(dtype, kValues);
  ASSERT_EQ(file.size(), block_bytes + kValues * 4);
  std::vector<float> expected(kValues), values(kValues);
  std::memcpy(expected.data(), file.data() + block_bytes, kValues * 4);
  dequantize(dtype, reinterpret_cast<const std::byte*>(file.data()), values.data(), kValues);
  for (size_t i = 0; i < kValues; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected[i]))
        << i << ": " << values[i] << " for " << expected[i];
  }
}

TEST_P(Quantize, BlocksGoThroughReaderAndWriterUnchanged) {
  const BlockFormat& format = block_format(GetParam());
  ASSERT_EQ(format.bytes, info(GetParam()).block_bytes);
  ASSERT_EQ(format.values, info(GetParam()).block_size);
  Random random(3);
  std::vector<std::byte> bytes(static_cast<size_t>(format.bytes)), again(bytes.size());
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.bits());
  Block block;
  read_block(format, bytes.data(), block);
  write_block(format, block, again.data());
  EXPECT_EQ(bytes, again);
}

TEST_P(Quantize, ErrorIsNoLargerThanGgmls) {
  DType dtype = GetParam();
  Json errors = parse_json(golden("errors.json"), "errors.json");
  const Json& of_type = errors[name_of(dtype)];
  double normal = mean_squared_error(normal_values(1 << 14), dtype);
  EXPECT_LE(normal, 1.02 * of_type["normal"].get<double>());
  double heavy = mean_squared_error(heavy_tailed_values(1 << 14), dtype);
  EXPECT_LE(heavy, 1.02 * of_type["heavy_tailed"].get<double>());
}

TEST_P(Quantize, QuantisingAgainChangesLittle) {
  Tensor once = dequantized(quantized(row_of(normal_values(4096)), GetParam()));
  Tensor twice = dequantized(quantized(once, GetParam()));
  double error = 0, power = 0;
  for (size_t i = 0; i < 4096; ++i) {
    error += std::pow(twice.f32()[i] - once.f32()[i], 2.0);
    power += std::pow(once.f32()[i], 2.0);
  }
  EXPECT_LT(error, 0.01 * power);
}

TEST_P(Quantize, SpecialBlocks) {
  DType dtype = GetParam();
  for (float constant : {0.0f, 1e-30f, -1e-30f, 0.5f, -0.5f, 1024.0f}) {
    std::vector<float> values(512, constant);
    Tensor back = dequantized(quantized(row_of(values), dtype));
    for (float x : back.f32()) {
      ASSERT_NEAR(x, constant, 0.01 * std::abs(constant) + 1e-29) << constant;
    }
  }
  std::vector<float> outlier(256, 0.0f);
  outlier[77] = -3;
  Tensor back = dequantized(quantized(row_of(outlier), dtype));
  EXPECT_NEAR(back.f32()[77], -3, 0.01);
  EXPECT_NEAR(back.f32()[78], 0, 0.03);  // iq4 has no level 0
}

TEST_P(Quantize, ImportantValuesGetSmallerErrors) {
  std::vector<float> values = heavy_tailed_values(256 * 16);
  std::vector<float> importance(values.size());
  for (size_t i = 0; i < importance.size(); ++i) importance[i] = i % 4 == 0 ? 20.0f : 0.05f;
  DType dtype = GetParam();
  auto error = [&](const float* weights) {
    std::vector<std::byte> blocks(dtype_bytes(dtype, values.size()));
    std::vector<float> back(values.size());
    auto count = static_cast<int64_t>(values.size());
    quantize(dtype, values.data(), blocks.data(), count, weights);
    dequantize(dtype, blocks.data(), back.data(), count);
    double sum = 0;
    for (size_t i = 0; i < values.size(); i += 4) sum += std::pow(back[i] - values[i], 2.0);
    return sum;
  };
  EXPECT_LT(error(importance.data()), (dtype == DType::q8_0 ? 1.0 : 0.95) * error(nullptr));
}

TEST_P(Quantize, RefusesWhatCannotBeQuantised) {
  DType dtype = GetParam();
  for (float bad : {NAN, INFINITY, -INFINITY, std::numeric_limits<float>::max(), -1e30f}) {
    std::vector<float> values = normal_values(512);
    values[300] = bad;
    EXPECT_THROW(quantized(row_of(values), dtype), Error) << bad;
  }
  EXPECT_THROW(quantized(Tensor(DType::f32, {32, 8}), dtype), Error);
  float value = 1;
  std::byte bytes[4];
  EXPECT_THROW(quantize(dtype, &value, bytes, 1), Error);
}

TEST_P(Quantize, ThreadsDoNotMatter) {
  int threads = num_threads();
  Tensor values = row_of(heavy_tailed_values(1 << 16));
  set_num_threads(1);
  Tensor alone = quantized(values, GetParam());
  set_num_threads(3);
  Tensor together = quantized(values, GetParam());
  set_num_threads(threads);
  EXPECT_EQ(std::memcmp(alone.data(), together.data(), alone.bytes()), 0);
}

TEST(QuantizeHalves, RoundTrips) {
  Tensor values = row_of(normal_values(256));
  for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    Tensor back = dequantized(quantized(values, dtype));
    double bound = dtype == DType::f32 ? 0 : dtype == DType::f16 ? 0x1p-11 : 0x1p-8;
    for (size_t i = 0; i < 256; ++i) {
      EXPECT_NEAR(back.f32()[i], values.f32()[i], bound * std::abs(values.f32()[i]));
    }
  }
  EXPECT_THROW(dequantized(Tensor(DType::i32, {4})), Error);
  EXPECT_THROW(quantized(values, DType::u8), Error);
}

}  // namespace
}  // namespace millrace
