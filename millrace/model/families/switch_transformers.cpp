// Switch Transformers (Fedus et al. 2022): T5 some of whose layers send each token to one of many
// experts, which take so many of a sequence's tokens in training.
#include "millrace/base/error.h"
#include "millrace/model/encoder_decoder.h"

namespace millrace {
namespace {

/// Which of a stack's layers have experts, as transformers spreads them.
bool has_experts(int64_t layer, int64_t num_layers, int64_t num_sparse_layers) {
  const int64_t step = num_sparse_layers > 0 ? num_layers / num_sparse_layers : num_layers;
  return step == 1 || (step > 0 && layer % step == 1);
}

int64_t count_sparse(const ModelConfig& config, int64_t begin, int64_t end) {
  int64_t count = 0;
  for (int64_t i = begin; i < end; ++i) count += config.has_experts(i);
  return count;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  Json as_t5 = json;
  as_t5["feed_forward_proj"] =
      optional_json_field<std::string>(json, "dense_act_fn", source).value_or("relu");
  ModelConfig config = read_encoder_decoder_config(as_t5, source);
  const auto integer_or = [&](const char* name, int64_t otherwise) {
    return optional_json_field<int64_t>(json, name, source).value_or(otherwise);
  };
  ExpertsConfig& experts = config.experts;
  experts.routing.num_experts = integer_or("num_experts", 8);
  experts.routing.capacity = integer_or("expert_capacity", 64);
  require(!optional_json_field<bool>(json, "router_bias", source).value_or(false),
          "{}: router_bias is not supported", source);
  experts.balance_loss =
      optional_json_field<float>(json, "router_aux_loss_coef", source).value_or(0.001f);
  experts.intermediate_size = config.intermediate_size;
  const int64_t encoder = config.num_encoder_layers, decoder = config.num_layers - encoder;
  const int64_t in_encoder = integer_or("num_sparse_encoder_layers", 3);
  const int64_t in_decoder = integer_or("num_sparse_decoder_layers", 3);
  for (int64_t i = 0; i < encoder; ++i) {
    experts.layers.push_back(has_experts(i, encoder, in_encoder));
  }
  for (int64_t i = 0; i < decoder; ++i) {
    experts.layers.push_back(has_experts(i, decoder, in_decoder));
  }
  validate(config, source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_encoder_decoder_config(config, "SwitchTransformersForConditionalGeneration");
  json["dense_act_fn"] = json["feed_forward_proj"];
  json.erase("feed_forward_proj");
  json["num_experts"] = config.experts.routing.num_experts;
  json["expert_capacity"] = config.experts.routing.capacity;
  json["router_aux_loss_coef"] = config.experts.balance_loss;
  json["num_sparse_encoder_layers"] = count_sparse(config, 0, config.num_encoder_layers);
  json["num_sparse_decoder_layers"] =
      count_sparse(config, config.num_encoder_layers, config.num_layers);
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return encoder_decoder_tensors(config, {.mlp = "mlp",
                                          .experts = {.router = "mlp.router.classifier",
                                                      .expert = "mlp.experts.expert_{}.",
                                                      .parts = {"", "wi", "wo"}}});
}

}  // namespace

extern const Family kSwitchTransformers;
const Family kSwitchTransformers = {{"switch_transformers"},
                                    {},
                                    read_config,
                                    write_config,
                                    nullptr,
                                    nullptr,
                                    tensors,
                                    encoder_decoder_forward,
                                    encoder_decoder_head,
                                    encoder_decoder_head_input};

}  // namespace millrace
