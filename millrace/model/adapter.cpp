#include "millrace/model/adapter.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/base/random.h"
#include "millrace/formats/safetensors.h"
#include "millrace/model/tensor_names.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";

/// "model.layers.0.mlp.up_proj.weight" → "up_proj".
std::string module_name(std::string_view parameter) {
  parameter.remove_suffix(std::string_view(".weight").size());
  return std::string(parameter.substr(parameter.rfind('.') + 1));
}

/// "model.layers.0.mlp.up_proj.weight" → "model.layers.0.mlp.up_proj".
std::string module_path(std::string_view parameter) {
  return std::string(parameter.substr(0, parameter.size() - std::string_view(".weight").size()));
}

/// The matrices within layers: what LoRA usually adapts.
std::vector<const Parameter*> layer_matrices(const Model& model) {
  std::vector<const Parameter*> result;
  std::span<const Parameter> all = model.parameters();
  for (const Parameter& parameter : all.subspan(model.specs().outer.size())) {
    if (parameter.is_matrix()) result.push_back(&parameter);
  }
  return result;
}

void refuse_unsupported(const Json& config, const std::string& source) {
  std::string type = json_field<std::string>(config, "peft_type", source);
  require(type == "LORA", "{}: peft_type is {}; only LORA is supported", source, quote(type));
  for (const char* field : {"use_dora", "lora_bias"}) {
    require(!optional_json_field<bool>(config, field, source).value_or(false),
            "{}: '{}' is not supported", source, field);
  }
  for (const char* field : {"rank_pattern", "alpha_pattern", "modules_to_save"}) {
    auto found = config.find(field);
    require(found == config.end() || found->is_null() || found->empty(),
            "{}: '{}' is not supported", source, field);
  }
  std::string bias = optional_json_field<std::string>(config, "bias", source).value_or("none");
  require(bias == "none", "{}: bias is {}; only 'none' is supported", source, quote(bias));
}

Tensor take(const TensorTable& tensors, const std::string& name, const Shape& shape) {
  const Tensor& tensor = tensors.at(name);
  require(tensor.shape() == shape, "{}: tensor '{}' has shape {}; the model needs {}",
          tensors.source(), name, tensor.shape(), shape);
  return dequantized(tensor);
}

}  // namespace

void Adapter::add(const Parameter& matrix, Tensor a, Tensor b) {
  auto make = [&](const char* suffix, Tensor values) -> const Parameter* {
    Parameter& parameter = parameters_.emplace_back();
    parameter.name = module_path(matrix.name) + suffix;
    parameter.shape = values.shape();
    parameter.value = std::move(values);
    return &parameter;
  };
  const Parameter* first = make(".lora_A.weight", std::move(a));
  const Parameter* second = make(".lora_B.weight", std::move(b));
  matrices_.push_back(&matrix);
  map_[&matrix] = {first, second, scale_};
}

Adapter::Adapter(const Model& model, int64_t rank, float alpha, std::vector<std::string> targets,
                 uint64_t seed)
    : Adapter(rank, alpha, alpha / static_cast<float>(rank)) {
  require(rank > 0 && rank <= 4096, "lora.rank is {}; it must be between 1 and 4096", rank);
  std::set<std::string> unmatched(targets.begin(), targets.end());
  uint64_t stream = seed;
  for (const Parameter* matrix : layer_matrices(model)) {
    std::string module = module_name(matrix->name);
    bool wanted =
        targets.empty() || std::find(targets.begin(), targets.end(), module) != targets.end();
    unmatched.erase(module);
    if (!wanted) continue;
    // As torch's Linear begins: uniform within ±1/√in (Kaiming with a = √5).
    Tensor a(DType::f32, {rank, matrix->shape[1]});
    const double bound = 1 / std::sqrt(static_cast<double>(matrix->shape[1]));
    Random random(mix_bits(++stream));
    for (float& x : a.f32()) x = static_cast<float>((2 * random.uniform() - 1) * bound);
    add(*matrix, a, Tensor(DType::f32, {matrix->shape[0], rank}));
  }
  require(unmatched.empty(), "lora.targets names '{}', which the model does not have",
          unmatched.empty() ? "" : *unmatched.begin());
}

std::unique_ptr<Adapter> Adapter::load(const Model& model, const std::filesystem::path& folder) {
  const std::string source = (folder / "adapter_config.json").string();
  Json config = read_json(source);
  refuse_unsupported(config, source);
  const auto rank = json_field<int64_t>(config, "r", source);
  const auto alpha = json_field<float>(config, "lora_alpha", source);
  require(rank > 0 && rank <= 4096, "{}: r is {}; it must be between 1 and 4096", source, rank);
  const bool root = optional_json_field<bool>(config, "use_rslora", source).value_or(false);
  const auto divisor = static_cast<float>(rank);
  std::unique_ptr<Adapter> adapter(
      new Adapter(rank, alpha, alpha / (root ? std::sqrt(divisor) : divisor)));
  TensorTable tensors = read_safetensors(folder / "adapter_model.safetensors").tensors;
  for (const Parameter* matrix : layer_matrices(model)) {
    std::string path = std::string(kPrefix) + module_path(matrix->name);
    if (tensors.find(path + ".lora_A.weight") == nullptr) continue;
    adapter->add(*matrix, take(tensors, path + ".lora_A.weight", {rank, matrix->shape[1]}),
                 take(tensors, path + ".lora_B.weight", {matrix->shape[0], rank}));
  }
  require(adapter->parameters_.size() == tensors.size(),
          "{}: has tensors that do not belong to layers of this model", tensors.source());
  for (Parameter& parameter : adapter->parameters_) {
    pack_for_running(parameter, model.arithmetic());
  }
  return adapter;
}

void Adapter::save(const std::filesystem::path& folder, const std::string& base_model) const {
  make_folder(folder);
  std::vector<TensorSource> sources;
  for (const Parameter& parameter : parameters_) {
    sources.emplace_back(std::string(kPrefix) + parameter.name, parameter.value);
  }
  write_safetensors(folder / "adapter_model.safetensors", sources, {{"format", "pt"}});
  std::set<std::string> modules;
  for (const Parameter* matrix : matrices_) modules.insert(module_name(matrix->name));
  Json config = {{"peft_type", "LORA"},
                 {"task_type", "CAUSAL_LM"},
                 {"base_model_name_or_path", base_model},
                 {"r", rank_},
                 {"lora_alpha", alpha_},
                 {"lora_dropout", 0.0},
                 {"bias", "none"},
                 {"target_modules", modules},
                 {"fan_in_fan_out", modules.contains("c_attn")},
                 {"inference_mode", true}};
  write_file(folder / "adapter_config.json", to_json_text(config, 2) + "\n");
}

void merge(Model& model, const Adapter& adapter) {
  for (Parameter& parameter : model.parameters()) {
    auto found = adapter.map().find(&parameter);
    if (found == adapter.map().end()) continue;
    const LowRank& low_rank = found->second;
    require(!is_quantized(parameter.packed.type),
            "{} is quantised; merge into the model that it was made from", parameter.name);
    Tensor sum = values_of(parameter).clone();
    PackedMatrix a_transposed;
    pack(view(low_rank.a->value).transposed(), Arithmetic::f32, a_transposed);
    Tensor scaled_b = low_rank.b->value.clone();
    for (float& x : scaled_b.f32()) x *= low_rank.scale;
    matmul(view(scaled_b), a_transposed, sum.f32().data(), sum.shape()[1], true);
    const bool packed = parameter.packed.bytes != nullptr;
    const DType type = packed ? parameter.packed.type : model.config().dtype;
    if (!parameter.value.empty()) parameter.value = sum;
    parameter.packed = pack(quantized(sum, type));
  }
}

}  // namespace millrace
