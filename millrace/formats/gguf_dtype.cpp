#include "millrace/formats/gguf_dtype.h"

namespace millrace {
namespace {

struct Number {
  DType dtype;
  uint32_t value;
};
constexpr Number kNumbers[] = {
    {DType::f32, 0},     {DType::f16, 1},     {DType::q4_0, 2},  {DType::q4_1, 3},
    {DType::q5_0, 6},    {DType::q5_1, 7},    {DType::q8_0, 8},  {DType::q2_k, 10},
    {DType::q3_k, 11},   {DType::q4_k, 12},   {DType::q5_k, 13}, {DType::q6_k, 14},
    {DType::iq4_nl, 20}, {DType::iq4_xs, 23}, {DType::i8, 24},   {DType::i16, 25},
    {DType::i32, 26},    {DType::i64, 27},    {DType::f64, 28},  {DType::bf16, 30},
    {DType::mxfp4, 39},
};

}  // namespace

std::optional<DType> dtype_from_ggml(uint32_t number) {
  for (const Number& each : kNumbers) {
    if (each.value == number) return each.dtype;
  }
  return std::nullopt;
}

std::optional<uint32_t> ggml_number(DType dtype) {
  for (const Number& each : kNumbers) {
    if (each.dtype == dtype) return each.value;
  }
  return std::nullopt;
}

}  // namespace millrace
