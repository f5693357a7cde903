#include "millrace/kernels/elementwise.h"

#include <bit>
#include <limits>

#include "millrace/base/error.h"
#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

TEST(Elementwise, HasTheReferencesBits) {
  for_each_isa([] {
    for (int64_t count : {1, 15, 16, 63, 64, 1001, 70000}) {
      const std::vector<float> a = normal_values(count, 1), b = normal_values(count, 2);
      std::vector<float> y = b, expected = b;
      add(a.data(), b.data(), count, y.data());
      reference::add(a.data(), b.data(), count, expected.data());
      add_into(a.data(), count, y.data());
      reference::add_into(a.data(), count, expected.data());
      add_scaled(a.data(), 0.37f, count, y.data());
      reference::add_scaled(a.data(), 0.37f, count, expected.data());
      multiply(y.data(), a.data(), count, y.data());
      reference::multiply(expected.data(), a.data(), count, expected.data());
      scale(y.data(), -1.7f, count, y.data());
      reference::scale(expected.data(), -1.7f, count, expected.data());
      expect_same_bits(y, expected);
    }
  });
}

TEST(Elementwise, BiasAndItsGradient) {
  for_each_isa([] {
    const int64_t rows = 600, width = 37;
    const std::vector<float> bias = normal_values(width, 1);
    std::vector<float> y = normal_values(rows * width, 2), expected = y;
    add_bias(bias.data(), rows, width, y.data());
    reference::add_bias(bias.data(), rows, width, expected.data());
    expect_same_bits(y, expected);
    std::vector<float> sums = bias, expected_sums = bias;
    add_column_sums(y.data(), rows, width, sums.data());
    reference::add_column_sums(y.data(), rows, width, expected_sums.data());
    expect_near(sums, expected_sums, 1e-5);
  });
  const std::vector<float> a = normal_values(1000 * 37, 3);
  expect_threads_do_not_matter([&] {
    std::vector<float> sums(37);
    add_column_sums(a.data(), 1000, 37, sums.data());
    return sums;
  });
}

TEST(Elementwise, RoundingHasTheReferencesBits) {
  std::vector<float> a = normal_values(300, 1);
  for (uint32_t bits :
       {0x3f808000u, 0x3f818000u, 0x3f807fffu, 0x3f808001u, 0x7f7fffffu, 0x00000001u, 0x80008000u,
        0x7f800000u, 0xff800000u, 0x7fc00001u, 0x7f800001u}) {
    a.push_back(std::bit_cast<float>(bits));
  }
  const auto count = static_cast<int64_t>(a.size());
  for_each_isa([&] {
    for (DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      std::vector<float> y(a.size()), expected(a.size());
      round_to(dtype, a.data(), count, y.data());
      reference::round_to(dtype, a.data(), count, expected.data());
      expect_same_bits(y, expected, std::string(info(dtype).name));
    }
    // By way of 16 bits the same.
    std::vector<BFloat16> halves(a.size());
    std::vector<float> y(a.size()), expected(a.size());
    to_bfloat16(a.data(), count, halves.data());
    from_bfloat16(halves.data(), count, y.data());
    round_to(DType::bf16, a.data(), count, expected.data());
    expect_same_bits(y, expected, "from_bfloat16");
    reference::from_bfloat16(halves.data(), count, y.data());
    expect_same_bits(y, expected, "from_bfloat16's reference");
  });
  std::vector<float> y(a.size());
  EXPECT_THROW(round_to(DType::q4_0, a.data(), count, y.data()), Error);
}

}  // namespace
}  // namespace millrace
