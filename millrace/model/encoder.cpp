#include "millrace/model/encoder.h"

#include "millrace/base/error.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.norm_eps = "layer_norm_eps",
                            .default_activation = "gelu",
                            .default_tied = true,
                            .default_norm_eps = 1e-12f,
                            .norm = NormKind::layer,
                            .rope = false};

/// What no file says.
void set_encoder(ModelConfig& config) {
  config.causal = false;
  config.norm_behind_residual = true;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.rope.rotary_dim = 0;
}

HeadKind read_head(const Json& json, std::string_view source) {
  auto found = json.find("architectures");
  if (found == json.end() || !found->is_array() || found->empty()) return HeadKind::none;
  const std::string name =
      found->front().is_string() ? found->front().get<std::string>() : found->front().dump();
  for (std::string_view end : {"ForMaskedLM", "ForPreTraining"}) {
    if (name.ends_with(end)) return HeadKind::tokens;
  }
  if (name.ends_with("ForSequenceClassification")) return HeadKind::labels;
  require(name.ends_with("Model"),
          "{}: the head of {} is not supported; those of …ForMaskedLM, …ForSequenceClassification "
          "and …Model are",
          source, quote(name));
  return HeadKind::none;
}

std::vector<std::string> read_labels(const Json& json, std::string_view source) {
  auto found = json.find("id2label");
  if (found == json.end() || found->is_null()) {
    const auto count = optional_json_field<int64_t>(json, "num_labels", source).value_or(2);
    require(count > 0 && count <= 65536, "{}: num_labels is {}", source, count);
    std::vector<std::string> labels;
    for (int64_t i = 0; i < count; ++i) labels.push_back("LABEL_" + std::to_string(i));
    return labels;
  }
  require(found->is_object(), "{}: field 'id2label' must be an object", source);
  std::vector<std::string> labels;
  for (size_t i = 0; i < found->size(); ++i) {
    labels.push_back(json_field<std::string>(*found, std::to_string(i).c_str(), source));
  }
  return labels;
}

/// GGUF does not tell a matrix of one row from a vector.
int64_t num_rows(const Tensor& tensor) {
  return tensor.shape().rank() == 1 ? 1 : tensor.shape()[0];
}

std::string class_suffix(HeadKind head) {
  switch (head) {
    case HeadKind::tokens:
      return "ForMaskedLM";
    case HeadKind::labels:
      return "ForSequenceClassification";
    case HeadKind::none:
      break;
  }
  return "Model";
}

}  // namespace

ModelConfig read_encoder_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  set_encoder(config);
  for (const char* field : {"is_decoder", "add_cross_attention"}) {
    require(!optional_json_field<bool>(json, field, source).value_or(false),
            "{}: an encoder with '{}' is not supported", source, field);
  }
  const std::string positions =
      optional_json_field<std::string>(json, "position_embedding_type", source)
          .value_or("absolute");
  require(positions == "absolute",
          "{}: position_embedding_type is {}; only absolute ones are supported", source,
          quote(positions));
  config.num_token_types = json_field<int64_t>(json, "type_vocab_size", source);
  config.head = read_head(json, source);
  if (config.head == HeadKind::labels) config.labels = read_labels(json, source);
  return config;
}

Json write_encoder_config(const ModelConfig& config, const std::string& prefix) {
  Json json = write_common_fields(config, prefix + class_suffix(config.head), kFields);
  json["type_vocab_size"] = config.num_token_types;
  if (config.head == HeadKind::labels) {
    json["id2label"] = json["label2id"] = Json::object();
    for (size_t i = 0; i < config.labels.size(); ++i) {
      json["id2label"][std::to_string(i)] = config.labels[i];
      json["label2id"][config.labels[i]] = i;
    }
  }
  return json;
}

ModelConfig read_encoder_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "bert", Activation::gelu);
  set_encoder(config);
  config.tie_word_embeddings = true;
  const Tensor& types = file.tensors.at("token_types.weight");
  config.num_token_types = num_rows(types);
  const Tensor* classifier = file.tensors.find("cls.output.weight");
  config.head = classifier == nullptr ? HeadKind::none : HeadKind::labels;
  if (classifier == nullptr) return config;
  const int64_t count = num_rows(*classifier);
  if (auto labels =
          file.metadata.get_optional_array<std::string>("bert.classifier.output_labels")) {
    config.labels = *labels;
  }
  for (auto i = static_cast<int64_t>(config.labels.size()); i < count; ++i) {
    config.labels.push_back("LABEL_" + std::to_string(i));
  }
  return config;
}

GgufMetadata write_encoder_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "bert", Activation::gelu);
  keys.set("bert.attention.causal", false);
  keys.set("tokenizer.ggml.token_type_count", static_cast<uint32_t>(config.num_token_types));
  if (config.head == HeadKind::labels) {
    keys.set_array("bert.classifier.output_labels", config.labels);
  }
  return keys;
}

DecoderNames encoder_names(const ModelConfig& config, const std::string& model) {
  DecoderNames names = {.embedding = model + ".embeddings.word_embeddings",
                        .positions = model + ".embeddings.position_embeddings",
                        .embedding_norm = model + ".embeddings.LayerNorm",
                        .final_norm = "",
                        .head = "",
                        .token_types = model + ".embeddings.token_type_embeddings",
                        .layer = model + ".encoder.layer.{}.",
                        .input_norm = "attention.output.LayerNorm",
                        .q = "attention.self.query",
                        .k = "attention.self.key",
                        .v = "attention.self.value",
                        .o = "attention.output.dense",
                        .mlp_norm = "output.LayerNorm",
                        .gate = "",
                        .up = "intermediate.dense",
                        .down = "output.dense",
                        .gguf_input_norm = "attn_output_norm",
                        .gguf_mlp_norm = "layer_output_norm"};
  if (config.head == HeadKind::tokens) {
    names.head = "cls.predictions.decoder";
    names.head_bias = config.tie_word_embeddings ? "cls.predictions" : names.head;
    names.head_dense = "cls.predictions.transform.dense";
    names.head_norm = "cls.predictions.transform.LayerNorm";
    names.gguf_head = "";
  } else if (config.head == HeadKind::labels) {
    names.head = names.head_bias = "classifier";
    names.head_dense = model + ".pooler.dense";
    names.gguf_head = "cls.output";
    names.gguf_head_dense = "cls";
  }
  return names;
}

TensorSpecs encoder_tensors(const ModelConfig& config, const DecoderNames& names) {
  TensorSpecs specs = decoder_tensors(config, names);
  specs.unneeded = {
      "embeddings.position_ids",        "pooler.dense.weight",          "pooler.dense.bias",
      "cls.seq_relationship.weight",    "cls.seq_relationship.bias",    "cls.predictions.bias",
      "cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.bias",
      "lm_head.decoder.weight",         "lm_head.decoder.bias"};
  return specs;
}

}  // namespace millrace
