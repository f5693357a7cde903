#include "millrace/tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace {
namespace {

TEST(Tensor, OfAnySizeIsAlignedAndZero) {
  // The large ones lie on huge pages without filling the last one.
  for (int64_t count : {1, 15, 1 << 20, (9 << 18) + 3}) {
    Tensor tensor(DType::f32, {count});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % 64, 0u);
    EXPECT_EQ(tensor.f32().front(), 0.0f);
    EXPECT_EQ(tensor.f32().back(), 0.0f);
  }
}

TEST(DType, BFloat16RoundsToNearestEven) {
  EXPECT_EQ(to_bfloat16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_bfloat16(1.00390625f).bits, 0x3f80);  // halfway, even below
  EXPECT_EQ(to_bfloat16(1.01171875f).bits, 0x3f82);  // halfway, even above
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(NAN))));
  EXPECT_TRUE(std::isinf(to_float(to_bfloat16(INFINITY))));
}

TEST(DType, EveryFloat16SurvivesARoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    Float16 half{static_cast<uint16_t>(bits)};
    float value = to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(to_float(to_float16(value))));
    } else {
      EXPECT_EQ(to_float16(value).bits, half.bits) << bits;
    }
  }
  EXPECT_EQ(to_float16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(to_float16(65519.0f).bits, 0x7bff);
}

TEST(Tensor, RowsShareTheBytes) {
  Tensor t(DType::f32, {4, 3});
  t.rows(2, 3).f32()[1] = 7;
  EXPECT_EQ(t.f32()[7], 7);
  EXPECT_EQ(t.rows(1, 3).shape(), (Shape{2, 3}));
  EXPECT_EQ(t.clone().rows(2, 3).f32()[1], 7);
}

TEST(Tensor, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Shape({-1}), Error);
  EXPECT_THROW(Shape({int64_t{1} << 40, int64_t{1} << 40}), Error);
  EXPECT_THROW(Tensor(DType::q4_0, {3, 31}), Error);
  EXPECT_THROW(Tensor(DType::f32, {5}, Storage::allocate(16)), Error);
  EXPECT_THROW(Tensor(DType::f32, {4, 3}).rows(3, 5), Error);
  EXPECT_THROW(Tensor(DType::bf16, {4}).f32(), Error);
}

}  // namespace
}  // namespace millrace
