#include "millrace/model/nested_text.h"

#include <algorithm>
#include <array>

#include "millrace/base/error.h"

namespace millrace {
namespace {

struct TextModel {
  std::string_view name, family;
};
/// Text models by their own `model_type`, and by that of a model whose config.json has the text
/// model's fields among its own, that are a family's under another name.
constexpr TextModel kTextModels[] = {
    {"qwen2_vl", "qwen2"},
    {"qwen2_vl_text", "qwen2"},
    {"qwen2_5_vl", "qwen2"},
    {"qwen2_5_vl_text", "qwen2"},
    {"qwen3_vl_text", "qwen3"},
    {"qwen3_vl_moe_text", "qwen3_moe"},
    {"glm4v_text", "glm4"},
    {"glm4v_moe_text", "glm4_moe"},
    {"hunyuan_vl", "hunyuan_v1_dense"},
    {"hunyuan_vl_text", "hunyuan_v1_dense"},
    {"qwen3_omni_moe_text", "qwen3_moe"},
    {"ernie4_5_moe_vl", "ernie4_5_moe"},
    {"ernie4_5_vl_moe_text", "ernie4_5_moe"},
    {"gemma4_unified_text", "gemma4_text"},
};

/// What published files leave out of a text model's fields, as transformers' classes have it.
struct Default {
  std::string_view model_type;
  const char *field, *value;
};
constexpr Default kDefaults[] = {
    {"gemma3_text", "vocab_size", "262208"},
    {"gemma3_text", "hidden_size", "2304"},
    {"gemma3_text", "intermediate_size", "9216"},
    {"gemma3_text", "num_hidden_layers", "26"},
    {"gemma3_text", "num_attention_heads", "8"},
    {"gemma3_text", "num_key_value_heads", "4"},
    {"gemma3_text", "max_position_embeddings", "131072"},
    {"gemma3_text", "sliding_window", "4096"},
    {"gemma4_unified_text", "hidden_size_per_layer_input", "0"},
    {"gemma4_unified_text", "sliding_window", "1024"},
    {"glm4v_text", "attention_bias", "true"},
    {"qwen3_vl_moe_text", "norm_topk_prob", "true"},
    {"llama", "vocab_size", "32000"},
    {"llama", "hidden_size", "4096"},
    {"llama", "intermediate_size", "11008"},
    {"llama", "num_hidden_layers", "32"},
    {"llama", "num_attention_heads", "32"},
    {"llama", "max_position_embeddings", "2048"},
    {"mistral", "vocab_size", "32000"},
    {"mistral", "hidden_size", "4096"},
    {"mistral", "intermediate_size", "14336"},
    {"mistral", "num_hidden_layers", "32"},
    {"mistral", "num_attention_heads", "32"},
    {"mistral", "num_key_value_heads", "8"},
    {"mistral", "max_position_embeddings", "131072"},
};

/// Where files put a text model: before its names, or in the place of "model.".
constexpr std::array<std::string_view, 2> kBefore = {"language_model.", "thinker."};
constexpr std::string_view kOwn = "model.";
constexpr std::array<std::string_view, 2> kInstead = {"model.language_model.", "model.text_model."};

std::string_view family_name(std::string_view model_type) {
  const auto* const found = std::ranges::find(kTextModels, model_type, &TextModel::name);
  return found == std::end(kTextModels) ? model_type : found->family;
}

bool is_family(std::string_view model_type) {
  return std::ranges::any_of(families(), [&](const Family& family) {
    return std::ranges::find(family.model_types, model_type) != family.model_types.end();
  });
}

/// The object of the text model's fields, if there is one.
const Json* nested_object(const Json& json) {
  const auto thinker = json.find("thinker_config");  // Qwen3-Omni's, beside parts that speak
  if (thinker != json.end() && thinker->is_object()) return nested_object(*thinker);
  for (const char* field : {"text_config", "llm_config", "language_config"}) {
    const auto found = json.find(field);
    if (found != json.end() && found->is_object()) return &*found;
  }
  return nullptr;
}

/// In a text without images every token has one position, where multimodal rope is rope, and
/// Hunyuan's is what it calls dynamic rope.
void without_image_positions(Json& json) {
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const auto rope = json.find(field);
    if (rope == json.end() || !rope->is_object()) continue;
    for (const char* type : {"type", "rope_type"}) {
      if (!rope->contains(type)) continue;
      if (rope->at(type) == "mrope") rope->at(type) = "default";
      if (rope->at(type) == "xdrope") rope->at(type) = "dynamic";
    }
  }
}

/// What the model around a text model says, and it itself does not.
void inherit(const Json& outer, std::string_view source, Json& text) {
  for (const char* field : {"quantization_config", "dtype", "torch_dtype", "bos_token_id",
                            "eos_token_id", "tie_word_embeddings"}) {
    if (outer.contains(field) && !text.contains(field)) text[field] = outer.at(field);
  }
  if (optional_json_field<bool>(outer, "tie_word_embeddings", source).value_or(false)) {
    text["tie_word_embeddings"] = true;
  }
}

/// What stands before the layer's index in a tensor's name, or all of it.
std::string_view stem(const TensorSpec& spec) {
  const std::string_view name = spec.packed_in.empty() ? spec.name : spec.packed_in;
  return name.substr(0, name.find("{}"));
}

bool has_stem(const std::vector<TensorSpec>& specs, std::string_view name) {
  return std::ranges::any_of(specs, [&](const TensorSpec& spec) {
    return spec.shape.rank() > 0 && name.starts_with(stem(spec));
  });
}

}  // namespace

Json text_model_json(const Json& json, std::string_view source) {
  const auto outer_type = json_field<std::string>(json, "model_type", source);
  if (is_family(outer_type)) return json;
  require(outer_type != "paligemma",
          "{}: a paligemma model reads its prompts from both sides, which is not supported",
          source);
  const Json* nested = nested_object(json);
  Json text = nested == nullptr ? json : *nested;
  if (nested != nullptr) inherit(json, source, text);
  const auto type = json_field<std::string>(text, "model_type", source);
  for (const Default& field : kDefaults) {
    if (field.model_type == type && !text.contains(field.field)) {
      text[field.field] = Json::parse(field.value);
    }
  }
  const std::string_view family = family_name(type);
  if (nested != nullptr || family != type) without_image_positions(text);
  text["model_type"] = family;
  return text;
}

std::string describe_part(const ModelConfig& config) {
  return fmt::format("the text part of a {} model, which reads no images and no sound here",
                     config.part_of);
}

std::vector<std::string> nested_names(const std::string& name) {
  std::vector<std::string> names = {name};
  for (std::string_view prefix : kBefore) names.push_back(std::string(prefix) + name);
  if (!name.starts_with(kOwn)) return names;
  for (std::string_view prefix : kInstead) {
    names.push_back(std::string(prefix) + name.substr(kOwn.size()));
  }
  return names;
}

std::string name_in_text_model(const Model& model, std::string_view name) {
  for (std::string_view prefix : kBefore) {
    if (name.starts_with(prefix)) return std::string(name.substr(prefix.size()));
  }
  for (std::string_view prefix : kInstead) {
    if (name.starts_with(prefix)) return std::string(kOwn).append(name.substr(prefix.size()));
  }
  const TensorSpecs& specs = model.specs();
  return has_stem(specs.outer, name) || has_stem(specs.layer, name) ? std::string(name) : "";
}

}  // namespace millrace
