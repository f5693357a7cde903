#include "millrace/model/adapter.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "millrace/base/random.h"
#include "millrace/model/tensor_names.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

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

}  // namespace

void Adapter::add(const Parameter& matrix, Tensor a, Tensor b, float scale) {
  auto make = [&](const char* suffix, Tensor values) -> const Parameter* {
    Parameter& parameter = parameters_.emplace_back();
    parameter.name = module_path(matrix.name) + suffix;
    parameter.shape = values.shape();
    parameter.value = std::move(values);
    return &parameter;
  };
  const Parameter* first = make(".lora_A.weight", std::move(a));
  const Parameter* second = make(".lora_B.weight", std::move(b));
  map_[&matrix] = {first, second, scale};
}

Adapter::Adapter(const Model& model, int64_t rank, float alpha, std::vector<std::string> targets,
                 uint64_t seed)
    : Adapter(model, rank, alpha) {
  require(rank > 0 && rank <= 4096, "lora.rank is {}; it must be between 1 and 4096", rank);
  std::set<std::string> unmatched(targets.begin(), targets.end());
  uint64_t stream = seed;
  for (const Parameter* matrix : layer_matrices(model)) {
    std::string module = last_name(module_path(matrix->name));
    bool wanted =
        targets.empty() || std::find(targets.begin(), targets.end(), module) != targets.end();
    unmatched.erase(module);
    if (!wanted) continue;
    // As torch's Linear begins: uniform within ±1/√in (Kaiming with a = √5).
    Tensor a(DType::f32, {rank, matrix->shape[1]});
    const double bound = 1 / std::sqrt(static_cast<double>(matrix->shape[1]));
    Random random(mix_bits(++stream));
    for (float& x : a.f32()) x = static_cast<float>((2 * random.uniform() - 1) * bound);
    add(*matrix, a, Tensor(DType::f32, {matrix->shape[0], rank}), alpha / static_cast<float>(rank));
  }
  require(unmatched.empty(), "lora.targets names '{}', which the model does not have",
          unmatched.empty() ? "" : *unmatched.begin());
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
