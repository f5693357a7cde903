// Writes models: Hugging Face folders and GGUF files.
#include <algorithm>
#include <array>
#include <cctype>

#include "millrace/base/file.h"
#include "millrace/formats/safetensors.h"
#include "millrace/model/fields.h"
#include "millrace/model/load.h"
#include "millrace/model/tensor_names.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

const std::array<Quantization, 7>& mixtures() {
  static const std::array<Quantization, 7> all = {{
      {"Q2_K", DType::q2_k, DType::q6_k, DType::q3_k},
      {"Q3_K_M", DType::q3_k, DType::q6_k, DType::q5_k},
      {"Q4_K_M", DType::q4_k, DType::q6_k, DType::q6_k},
      {"Q5_K_M", DType::q5_k, DType::q6_k, DType::q6_k},
      {"Q4_0", DType::q4_0, DType::q8_0, std::nullopt},
      {"IQ4_XS", DType::iq4_xs, DType::q6_k, DType::q5_k},
      {"MXFP4", DType::mxfp4, DType::q8_0, std::nullopt},
  }};
  return all;
}

constexpr DType kPlainChoices[] = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0,
                                   DType::q4_1, DType::q5_0, DType::q5_1, DType::q3_k,
                                   DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl};

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

/// The type of about as many bits whose blocks of 32 fit rows that blocks of 256 do not.
DType with_short_blocks(DType dtype) {
  switch (dtype) {
    case DType::q2_k:
    case DType::q3_k:
    case DType::iq4_xs:
      return DType::iq4_nl;
    case DType::q4_k:
      return DType::q5_0;
    case DType::q5_k:
      return DType::q5_1;
    default:
      return DType::q8_0;
  }
}

DType fitting(DType dtype, int64_t width) {
  if (width % info(dtype).block_size == 0) return dtype;
  if (info(dtype).block_size > 32) return fitting(with_short_blocks(dtype), width);
  return DType::f16;
}

/// The layers that gain most from more bits: the first and last eighth, and every third between.
bool is_sensitive_layer(int64_t layer, int64_t num_layers) {
  return layer < num_layers / 8 || layer >= 7 * num_layers / 8 || (layer - num_layers / 8) % 3 == 2;
}

bool is_sensitive(std::string_view name) {
  for (std::string_view end : {"attn_v.weight", "ffn_down.weight", "ffn_down_exps.weight"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

DType type_in_gguf(const Model& model, const FileTensor& tensor, const Quantization& quantization) {
  const TensorSpec& spec = model.spec(tensor.parameters.front());
  if (spec.shape.rank() == 1 || tensor.shape.rank() == 1 || spec.in_f32 || spec.is_table) {
    return DType::f32;
  }
  if (tensor.name == "position_embd.weight") return DType::f32;
  DType dtype = quantization.matrices;
  const size_t outer = model.specs().outer.size(), i = tensor.parameters.front();
  if (i < outer) {
    dtype = quantization.head;
  } else if (quantization.sensitive && is_sensitive(tensor.name)) {
    auto layer = static_cast<int64_t>((i - outer) / model.specs().layer.size());
    if (is_sensitive_layer(layer, model.config().num_layers)) dtype = *quantization.sensitive;
  }
  return fitting(dtype, tensor.shape[-1]);
}

/// llama.cpp's for a frequency of 0.
constexpr float kEndlessDivisor = 1e30f;

/// What llama.cpp divides rope's frequencies by where its keys cannot say how they are scaled.
std::vector<TensorSource> rope_divisors(const RopeParameters& rope) {
  auto tensor = [](const char* name, const std::vector<float>& values) {
    return TensorSource(name, Tensor::from({static_cast<int64_t>(values.size())}, values));
  };
  if (has_factor_tensors(rope)) {
    return {tensor(kShortFactors, rope.short_factor), tensor(kLongFactors, rope.long_factor)};
  }
  if (rope.scaling != RopeScaling::llama3 && rope.scaling != RopeScaling::longrope &&
      rope.scaling != RopeScaling::proportional) {
    return {};
  }
  RopeParameters plain;
  plain.theta = rope.theta;
  plain.rotary_dim = rope.rotary_dim;
  RopeFrequencies unscaled = rope_frequencies(plain), scaled = rope_frequencies(rope);
  std::vector<float> divisors;
  for (size_t i = 0; i < scaled.inverse.size(); ++i) {
    const float to = scaled.inverse[i];
    divisors.push_back(to == 0 ? kEndlessDivisor : unscaled.inverse[i] / to);
  }
  return {tensor("rope_freqs.weight", divisors)};
}

}  // namespace

void save_model(const Model& model, const std::filesystem::path& folder,
                std::optional<DType> dtype) {
  make_folder(folder);
  const DType matrices = dtype.value_or(model.config().dtype);
  std::vector<TensorSource> sources;
  for (const FileTensor& tensor : file_tensors(model, FileLayout::hugging_face)) {
    const Shape& shape = model.spec(tensor.parameters.front()).shape;
    DType type = shape.rank() == 2 ? matrices : DType::f32;
    sources.emplace_back(tensor.name, type, tensor.shape, [&model, tensor, type] {
      return quantized(values_of(model, tensor, FileLayout::hugging_face), type);
    });
  }
  write_safetensors_folder(folder, sources);
  Json generation = {{"eos_token_id", model.config().eos_token_ids}};
  if (model.config().bos_token_id >= 0) generation["bos_token_id"] = model.config().bos_token_id;
  write_file(folder / "generation_config.json", to_json_text(generation, 2) + "\n");
  write_file(folder / "config.json",
             to_json_text(model.family().write_config(model.config()), 2) + "\n");
}

Quantization quantization_from_name(std::string_view name) {
  std::string wanted = upper(name), known;
  for (const Quantization& mixture : mixtures()) {
    if (mixture.name == wanted) return mixture;
    known += mixture.name + ", ";
  }
  for (DType dtype : kPlainChoices) {
    std::string plain = upper(info(dtype).name);
    if (plain == wanted) return {plain, dtype, dtype, std::nullopt};
    known += plain + ", ";
  }
  fail("'{}' is no quantisation; there are {}", name, known.substr(0, known.size() - 2));
}

void save_gguf(const Model& model, const std::filesystem::path& path,
               const Quantization& quantization, const GgufMetadata& extra) {
  require(!model.family().gguf_architectures.empty(), "GGUF has no architecture for {}",
          model.config().model_type);
  GgufMetadata keys = model.family().write_gguf(model.config());
  keys.set("general.quantization_version", uint32_t{2});
  for (const auto& [key, value] : extra) keys.set(key, value);
  std::vector<TensorSource> sources = rope_divisors(model.config().rope);
  for (const FileTensor& tensor : file_tensors(model, FileLayout::gguf)) {
    DType type = type_in_gguf(model, tensor, quantization);
    sources.emplace_back(tensor.name, type, tensor.shape, [&model, tensor, type] {
      return quantized(values_of(model, tensor, FileLayout::gguf), type);
    });
  }
  write_gguf(path, keys, sources);
}

}  // namespace millrace
