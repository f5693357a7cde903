#include "millrace/model/published_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include "millrace/base/error.h"
#include "millrace/model/nested_text.h"

namespace millrace {
namespace {

template <typename Names>
bool ends_with_any(std::string_view name, const Names& ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

bool begins_with_any(std::string_view name, const std::vector<std::string>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const std::string& begin) { return name.starts_with(begin); });
}

constexpr std::array<std::string_view, 9> kOfNoModel = {
    "rotary_emb.inv_freq", ".attn.bias",        ".attn.masked_bias",
    "lm_head.weight",      "rope_freqs.weight", "output.weight",
    ".input_scale",        ".k_scale",          ".v_scale"};

/// What stands before the names of a model that has a head; files that were saved without one, as
/// GPT-2's and BLOOM's, have it not, and the other way round.
constexpr std::array<std::string_view, 7> kOfHeadedModels = {
    "model.", "transformer.", "glm.", "bert.", "roberta.", "ernie.", "gpt_neox."};

/// Whether a tensor belongs to a layer behind the last.
bool is_of_extra_layer(std::string_view name, const ModelConfig& config) {
  for (int64_t i = 0; i < config.num_extra_layers; ++i) {
    if (name.starts_with(fmt::format("model.layers.{}.", config.num_layers + i))) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> spellings(const Model& model, const std::string& name) {
  std::vector<std::string> names =
      model.config().part_of.empty() ? std::vector{name} : nested_names(name);
  for (const auto& [now, then] :
       {std::pair<std::string_view, std::string_view>(".LayerNorm.weight", ".LayerNorm.gamma"),
        std::pair<std::string_view, std::string_view>(".LayerNorm.bias", ".LayerNorm.beta")}) {
    if (name.ends_with(now)) {
      names.push_back(name.substr(0, name.size() - now.size()).append(then));
    }
  }
  const size_t mlp = name.find(".mlp.");
  if (mlp != std::string::npos && model.config().model_type == "kimi_linear") {
    // transformers calls an MLP as what has experts.
    names.push_back(std::string(name).replace(mlp, 5, ".block_sparse_moe."));
  }
  for (std::string_view prefix : kOfHeadedModels) {
    names.push_back(name.starts_with(prefix) ? name.substr(prefix.size())
                                             : std::string(prefix) + name);
  }
  return names;
}

namespace {

/// The name of one of many experts' tensors: what is before the expert's number, and behind it.
struct ExpertName {
  std::string before;
  int64_t expert = 0;
  std::string matrix;
};

std::optional<ExpertName> expert_name(std::string_view name) {
  constexpr std::string_view kExperts = ".experts.";
  const size_t at = name.find(kExperts);
  if (at == std::string::npos) return std::nullopt;
  const std::string_view number = name.substr(at + kExperts.size());
  int64_t expert = 0;
  const auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), expert);
  if (error != std::errc()) return std::nullopt;
  return ExpertName{std::string(name.substr(0, at + kExperts.size())), expert,
                    std::string(rest, number.data() + number.size())};
}

/// Whether a tensor is of an expert for images, which come behind those for texts.
bool is_of_image_expert(std::string_view name, const ModelConfig& config) {
  const std::optional<ExpertName> expert = expert_name(name);
  return expert && expert->expert >= config.experts.routing.num_experts;
}

}  // namespace

std::optional<StackedExpert> stacked_expert(const std::string& name) {
  const std::optional<ExpertName> found = expert_name(name);
  if (!found) return std::nullopt;
  const auto& [before, expert, matrix] = *found;
  if (matrix == ".gate_proj.weight") return StackedExpert{before + "gate_up_proj", expert, 0, 2};
  if (matrix == ".up_proj.weight") return StackedExpert{before + "gate_up_proj", expert, 1, 2};
  if (matrix == ".down_proj.weight") return StackedExpert{before + "down_proj", expert, 0, 1};
  return std::nullopt;
}

bool is_dispensable(const Model& model, std::string_view name) {
  std::string own;
  if (!model.config().part_of.empty()) {
    own = name_in_text_model(model, name);
    if (own.empty() || is_of_image_expert(own, model.config())) return true;
    name = own;
  }
  return ends_with_any(name, kOfNoModel) || ends_with_any(name, model.specs().unneeded) ||
         begins_with_any(name, model.specs().unneeded_beginnings) ||
         is_of_extra_layer(name, model.config());
}

}  // namespace millrace
