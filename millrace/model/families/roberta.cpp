// RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): BERT whose positions begin
// behind the padding token's id, with heads of other names.
#include "millrace/base/error.h"
#include "millrace/model/encoder.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_encoder_config(json, source);
  config.position_offset =
      optional_json_field<int64_t>(json, "pad_token_id", source).value_or(1) + 1;
  config.max_position_embeddings -= config.position_offset;
  require(config.head != HeadKind::tokens || config.activation == Activation::gelu,
          "{}: the head of a RoBERTa is made for gelu, hidden_act is another", source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json =
      write_encoder_config(config, config.model_type == "roberta" ? "Roberta" : "XLMRoberta");
  json["pad_token_id"] = config.position_offset - 1;
  json["max_position_embeddings"] = config.max_position_embeddings + config.position_offset;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  DecoderNames names = encoder_names(config, "roberta");
  if (config.head == HeadKind::tokens) {
    names.head = "lm_head.decoder";
    names.head_bias = config.tie_word_embeddings ? "lm_head" : names.head;
    names.head_dense = "lm_head.dense";
    names.head_norm = "lm_head.layer_norm";
  } else if (config.head == HeadKind::labels) {
    names.head = names.head_bias = "classifier.out_proj";
    names.head_dense = "classifier.dense";
  }
  return encoder_tensors(config, names);
}

}  // namespace

// In GGUF it is a "bert" whose table of positions begins at position 0.
extern const Family kRoberta;
const Family kRoberta = {
    {"roberta", "xlm-roberta"}, {"bert"}, read_config,     write_config, nullptr,
    write_encoder_gguf,         tensors,  decoder_forward, decoder_head, decoder_head_input};

}  // namespace millrace
