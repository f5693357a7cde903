#include "millrace/formats/safetensors_dtype.h"

namespace millrace {
namespace {

struct Name {
  DType dtype;
  std::string_view text;
};
constexpr Name kNames[] = {
    {DType::f64, "F64"},         {DType::f32, "F32"},         {DType::f16, "F16"},
    {DType::bf16, "BF16"},       {DType::i64, "I64"},         {DType::i32, "I32"},
    {DType::i16, "I16"},         {DType::i8, "I8"},           {DType::u8, "U8"},
    {DType::boolean, "BOOL"},    {DType::f8_e4m3, "F8_E4M3"}, {DType::f8_e5m2, "F8_E5M2"},
    {DType::f8_e8m0, "F8_E8M0"},
};

}  // namespace

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const Name& each : kNames) {
    if (each.text == name) return each.dtype;
  }
  return std::nullopt;
}

std::optional<std::string_view> safetensors_name(DType dtype) {
  for (const Name& each : kNames) {
    if (each.dtype == dtype) return each.text;
  }
  return std::nullopt;
}

}  // namespace millrace
