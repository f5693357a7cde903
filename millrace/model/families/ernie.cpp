// ERNIE 1 to 3 (Sun et al. 2019): BERT with an embedding of the task.
#include "millrace/model/encoder.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_encoder_config(json, source);
  if (optional_json_field<bool>(json, "use_task_id", source).value_or(false)) {
    config.num_task_types = json_field<int64_t>(json, "task_type_vocab_size", source);
  }
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_encoder_config(config, "Ernie");
  json["use_task_id"] = config.num_task_types > 0;
  if (config.num_task_types > 0) json["task_type_vocab_size"] = config.num_task_types;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  DecoderNames names = encoder_names(config, "ernie");
  names.task_types = "ernie.embeddings.task_type_embeddings";
  return encoder_tensors(config, names);
}

}  // namespace

extern const Family kErnie;
const Family kErnie = {{"ernie"}, {},      read_config,     write_config, nullptr,
                       nullptr,   tensors, decoder_forward, decoder_head, decoder_head_input};

}  // namespace millrace
