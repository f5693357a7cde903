#include "millrace/formats/published_weights.h"

#include <algorithm>
#include <array>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/formats/integer_weights.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, 6> kMethods = {"fp8",  "fbgemm_fp8", "mxfp4",
                                                      "gptq", "awq",        "compressed-tensors"};

constexpr std::string_view kWeight = ".weight";

/// Rows and columns that share a scale.
struct ScaleBlock {
  int64_t rows, cols;
};

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// How many rows or columns share a scale: `known` of them, the last block being perhaps smaller,
/// or equal parts where that is 0.
int64_t block_extent(int64_t extent, int64_t scales, int64_t known, const std::string& where) {
  require(scales > 0 && (known == 0 ? extent % scales == 0 : divide_up(extent, known) == scales),
          "{}: {} scales do not share out an extent of {}", where, scales, extent);
  return known == 0 ? extent / scales : known;
}

/// Where quantization_config says how large FP8's blocks are.
const Json* block_size_field(const Json& quantization) {
  if (auto size = quantization.find("weight_block_size"); size != quantization.end()) return &*size;
  auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) return nullptr;
  for (const auto& [name, group] : groups->items()) {
    const Json::json_pointer place("/weights/block_structure");
    if (group.contains(place)) return &group.at(place);
  }
  return nullptr;
}

/// codes [out, in] times the scale of the block that each lies in.
Tensor times_scales(const Tensor& codes, const Tensor& scales, ScaleBlock block) {
  Tensor result = dequantized(codes);
  const int64_t cols = codes.shape()[1], across = divide_up(cols, block.cols);
  const float* scale = scales.f32().data();
  float* values = result.f32().data();
  parallel_ranges(codes.shape()[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* of_row = scale + row / block.rows * across;
      for (int64_t col = 0; col < cols; ++col) values[row * cols + col] *= of_row[col / block.cols];
    }
  });
  return result;
}

/// MXFP4 as safetensors have it: codes of neighbours share a byte, exponents stand apart.
Tensor mxfp4_blocks(const Tensor& codes, const Tensor& exponents, const Shape& shape) {
  Tensor result(DType::mxfp4, shape, false);
  const uint8_t* from = codes.as<uint8_t>().data();
  const uint8_t* exponent = exponents.as<uint8_t>().data();
  auto* to = reinterpret_cast<uint8_t*>(result.data());
  parallel_ranges(exponents.count(), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* pairs = from + 16 * i;
      uint8_t* block = to + 17 * i;
      block[0] = exponent[i];
      for (int j = 0; j < 16; ++j) {  // values j and j + 16
        const int low = pairs[j / 2] >> (j % 2 * 4) & 15;
        const int high = pairs[8 + j / 2] >> (j % 2 * 4) & 15;
        block[1 + j] = static_cast<uint8_t>(low | high << 4);
      }
    }
  });
  return result;
}

bool is_zero(const Tensor& tensor) {
  return std::all_of(tensor.data(), tensor.data() + tensor.bytes(),
                     [](std::byte b) { return b == std::byte{0}; });
}

/// find_stored_weight for the name as it is.
std::optional<StoredWeight> find_under(const std::string& name, bool quantized,
                                       const std::function<bool(const std::string&)>& has) {
  using How = StoredWeight::How;
  if (has(name)) return StoredWeight{How::plain, name, {name}};
  if (!quantized) return std::nullopt;
  if (has(name + "_blocks")) {
    return StoredWeight{How::mxfp4, name, {name + "_blocks", name + "_scales"}};
  }
  if (!name.ends_with(kWeight)) return std::nullopt;
  const std::string module = name.substr(0, name.size() - kWeight.size());
  if (!has(module + ".qweight") && !has(module + ".weight_packed")) return std::nullopt;
  StoredWeight stored{How::integers, module, {}};
  for (const char* part : {"qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale",
                           "weight_zero_point", "weight_shape", "weight_g_idx"}) {
    if (has(module + "." + part)) stored.names.push_back(module + "." + part);
  }
  return stored;
}

}  // namespace

std::optional<StoredWeight> find_stored_weight(const std::string& name, bool quantized,
                                               const std::function<bool(const std::string&)>& has) {
  if (auto found = find_under(name, quantized, has)) return found;
  const size_t dot = name.find('.');
  return dot == std::string::npos ? std::nullopt : find_under(name.substr(dot + 1), quantized, has);
}

PublishedWeights::PublishedWeights(const TensorTable& tensors, const Json& config,
                                   const std::string& source)
    : tensors_(tensors), source_(tensors.source()) {
  auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return;
  const std::string where = source + ": quantization_config";
  method_ = json_field<std::string>(*found, "quant_method", where);
  require(std::find(kMethods.begin(), kMethods.end(), method_) != kMethods.end(),
          "{}: weights of quant_method {} are not read, only those of {}; take the model's bf16 "
          "weights or a GGUF file of it",
          where, quote(method_), fmt::join(kMethods, ", "));
  bits_ = optional_json_field<int>(*found, "bits", where).value_or(4);
  const Json* block = block_size_field(*found);
  if (block && !block->is_null()) {
    const bool right = block->is_array() && block->size() == 2 &&
                       (*block)[0].is_number_unsigned() && (*block)[1].is_number_unsigned() &&
                       (*block)[0] != 0 && (*block)[1] != 0;
    require(right, "{}: the block of FP8's scales must be two sizes, not {}", where,
            to_json_text(*block));
    block_rows_ = (*block)[0].get<int64_t>();
    block_cols_ = (*block)[1].get<int64_t>();
  }
  if (method_ == "gptq") {
    const std::string format =
        optional_json_field<std::string>(*found, "checkpoint_format", where).value_or("gptq");
    zeros_as_are_ = format == "gptq_v2";
    require(zeros_as_are_ || format == "gptq",
            "{}: checkpoint_format {} is not read, only gptq and gptq_v2", where, quote(format));
  }
  if (method_ == "awq") {
    const std::string version =
        optional_json_field<std::string>(*found, "version", where).value_or("gemm");
    require(version == "gemm" || version == "GEMM", "{}: AWQ's version {} is not read, only gemm",
            where, quote(version));
  }
}

const Tensor* PublishedWeights::use(const std::string& name) {
  const Tensor* found = tensors_.find(name);
  if (found) used_.insert(name);
  return found;
}

std::optional<PublishedWeight> PublishedWeights::find(const std::string& name) {
  const auto stored = find_stored_weight(
      name, !method_.empty(), [this](const std::string& one) { return tensors_.find(one); });
  if (!stored) return std::nullopt;
  if (stored->how == StoredWeight::How::integers) return integers(*stored);
  if (stored->how == StoredWeight::How::mxfp4) {
    return mxfp4(stored->base, *use(stored->names.front()));
  }
  const Tensor* found = use(stored->base);
  const DType dtype = found->dtype();
  if (dtype == DType::f8_e4m3 || dtype == DType::f8_e5m2 || dtype == DType::i8) {
    return scaled(stored->base, *found);
  }
  return PublishedWeight{found->shape(), false, [found] { return *found; }, {found}};
}

PublishedWeight PublishedWeights::scaled(const std::string& name, const Tensor& codes) {
  const std::string where = source_ + ": " + name;
  const Tensor* stored = use(name + "_scale_inv");
  if (stored == nullptr) stored = use(name + "_scale");
  PublishedWeight weight{codes.shape(), false, {}, {&codes}};
  if (stored == nullptr) {
    require(method_.empty() && codes.dtype() != DType::i8,
            "{}: has neither {}_scale nor {}_scale_inv beside it", where, name, name);
    weight.load = [&codes] { return dequantized(codes); };
    return weight;
  }
  require(codes.shape().rank() == 2 && stored->shape().rank() <= 2,
          "{}: must be a matrix with a matrix of scales, not of shapes {} and {}", where,
          codes.shape(), stored->shape());
  const Shape& shape = stored->shape();
  const bool one = stored->count() == 1;
  const ScaleBlock block{
      block_extent(codes.shape()[0], shape.rank() > 0 ? shape[0] : 1, one ? 0 : block_rows_, where),
      block_extent(codes.shape()[1], shape.rank() > 1 ? shape[1] : 1, one ? 0 : block_cols_,
                   where)};
  weight.stored.push_back(stored);
  weight.load = [&codes, stored, block] {
    return times_scales(codes, dequantized(*stored), block);
  };
  return weight;
}

PublishedWeight PublishedWeights::mxfp4(const std::string& name, const Tensor& codes) {
  const std::string where = source_ + ": " + name;
  const Tensor* exponents = use(name + "_scales");
  require(exponents != nullptr, "{}_blocks: has no {}_scales beside it", where, name);
  const Shape& shape = codes.shape();
  require(
      codes.dtype() == DType::u8 && exponents->dtype() == DType::u8 && shape.rank() >= 3 &&
          shape[-1] == 16 &&
          exponents->shape() == Shape(shape.extents().first(static_cast<size_t>(shape.rank() - 1))),
      "{}: blocks of shape {} and scales of shape {} are no bytes of MXFP4", where, shape,
      exponents->shape());
  std::vector<int64_t> extents(shape.extents().begin(), shape.extents().end() - 1);
  extents.back() *= 32;
  PublishedWeight weight{Shape(extents), true, {}, {&codes, exponents}};
  weight.load = [&codes, exponents, extents] {
    return mxfp4_blocks(codes, *exponents, Shape(extents));
  };
  return weight;
}

PublishedWeight PublishedWeights::integers(const StoredWeight& stored) {
  PublishedWeight weight;
  for (const std::string& part : stored.names) weight.stored.push_back(use(part));
  const std::string& module = stored.base;
  // Some tools write a bias of zeros beside each weight, whether or not the model has one.
  const Tensor* bias = tensors_.find(module + ".bias");
  if (bias && is_zero(*bias)) used_.insert(module + ".bias");
  const IntegerLayout layout = method_ == "awq"    ? IntegerLayout::awq
                               : method_ != "gptq" ? IntegerLayout::compressed
                               : zeros_as_are_     ? IntegerLayout::gptq_v2
                                                   : IntegerLayout::gptq;
  const std::string where = source_ + ": " + module;
  const FindPart part = [this, module](std::string_view name) {
    return tensors_.find(module + "." + std::string(name));
  };
  weight.in_blocks = true;
  weight.shape = integer_weight_shape(layout, bits_, part, where);
  weight.load = [layout, bits = bits_, part, where] {
    return integer_weight(layout, bits, part, where);
  };
  return weight;
}

}  // namespace millrace
