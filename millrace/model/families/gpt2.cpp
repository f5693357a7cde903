// GPT-2 (Radford et al. 2019): learned positions, layer norms, GELU.
#include "millrace/model/fields.h"
#include "millrace/model/model.h"

namespace millrace {
namespace {

enum Outer : size_t { kEmbedding, kPositions, kFinalNorm, kFinalNormBias };
enum Layer : size_t {
  kNorm1,
  kNorm1Bias,
  kQkv,
  kQkvBias,
  kO,
  kOBias,
  kNorm2,
  kNorm2Bias,
  kUp,
  kUpBias,
  kDown,
  kDownBias
};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source,
                                          {.hidden_size = "n_embd",
                                           .num_layers = "n_layer",
                                           .num_heads = "n_head",
                                           .intermediate_size = "n_inner",
                                           .max_positions = "n_positions",
                                           .activation = "activation_function",
                                           .norm_eps = "layer_norm_epsilon",
                                           .default_activation = "gelu_new",
                                           .default_intermediate_factor = 4,
                                           .default_tied = true,
                                           .default_norm_eps = 1e-5f,
                                           .norm = NormKind::layer,
                                           .rope = false});
  require(config.tie_word_embeddings, "{}: a GPT-2 without tied embeddings is not supported",
          source);
  for (const char* field : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    require(!optional_json_field<bool>(json, field, source).value_or(false),
            "{}: '{}' is not supported", source, field);
  }
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = {{"architectures", {"GPT2LMHeadModel"}}, {"model_type", "gpt2"}};
  json["vocab_size"] = config.vocab_size;
  json["n_embd"] = config.hidden_size;
  json["n_layer"] = config.num_layers;
  json["n_head"] = config.num_heads;
  json["n_inner"] = config.intermediate_size;
  json["n_positions"] = config.max_position_embeddings;
  json["activation_function"] = activation_field(config.activation);
  json["layer_norm_epsilon"] = config.norm_eps;
  write_token_fields(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gpt2", Activation::gelu_tanh);
  config.norm = NormKind::layer;
  config.rope.rotary_dim = 0;
  // llama.cpp's converter writes the tied table twice; one of them is enough.
  config.tie_word_embeddings = true;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "gpt2", Activation::gelu_tanh);
}

TensorSpecs tensors(const ModelConfig& c) {
  const int64_t hidden = c.hidden_size, inner = c.intermediate_size;
  using enum Initialization;
  TensorSpecs specs;
  specs.outer = {
      {"transformer.wte.weight", "token_embd.weight", {c.vocab_size, hidden}},
      {"transformer.wpe.weight", "position_embd.weight", {c.max_position_embeddings, hidden}},
      {"transformer.ln_f.weight", "output_norm.weight", {hidden}, ones},
      {"transformer.ln_f.bias", "output_norm.bias", {hidden}, zeros},
  };
  const std::string h = "transformer.h.{}.", blk = "blk.{}.";
  specs.layer = {
      {h + "ln_1.weight", blk + "attn_norm.weight", {hidden}, ones},
      {h + "ln_1.bias", blk + "attn_norm.bias", {hidden}, zeros},
      {h + "attn.c_attn.weight", blk + "attn_qkv.weight", {3 * hidden, hidden}, normal, true},
      {h + "attn.c_attn.bias", blk + "attn_qkv.bias", {3 * hidden}, zeros},
      {h + "attn.c_proj.weight",
       blk + "attn_output.weight",
       {hidden, hidden},
       normal_residual,
       true},
      {h + "attn.c_proj.bias", blk + "attn_output.bias", {hidden}, zeros},
      {h + "ln_2.weight", blk + "ffn_norm.weight", {hidden}, ones},
      {h + "ln_2.bias", blk + "ffn_norm.bias", {hidden}, zeros},
      {h + "mlp.c_fc.weight", blk + "ffn_up.weight", {inner, hidden}, normal, true},
      {h + "mlp.c_fc.bias", blk + "ffn_up.bias", {inner}, zeros},
      {h + "mlp.c_proj.weight", blk + "ffn_down.weight", {hidden, inner}, normal_residual, true},
      {h + "mlp.c_proj.bias", blk + "ffn_down.bias", {hidden}, zeros},
  };
  return specs;
}

Value layer(Context& ctx, const Model& model, int64_t i, const Value& x) {
  const ModelConfig& config = model.config();
  const int64_t hidden = config.hidden_size;
  auto weight = [&](Layer t) -> const Parameter& { return *model.layer(i, t); };
  Value h = ctx.layer_norm(x, weight(kNorm1), &weight(kNorm1Bias), config.norm_eps);
  Value qkv = ctx.linear(h, weight(kQkv), &weight(kQkvBias));
  Value seen = ctx.attention(i, ctx.columns(qkv, 0, hidden), ctx.columns(qkv, hidden, 2 * hidden),
                             ctx.columns(qkv, 2 * hidden, 3 * hidden), config.attention_shape());
  Value y = ctx.add(x, ctx.linear(seen, weight(kO), &weight(kOBias)));
  h = ctx.layer_norm(y, weight(kNorm2), &weight(kNorm2Bias), config.norm_eps);
  h = ctx.activate(ctx.linear(h, weight(kUp), &weight(kUpBias)), config.activation);
  return ctx.add(y, ctx.linear(h, weight(kDown), &weight(kDownBias)));
}

Value forward(Context& ctx, const Model& model) {
  Value x = ctx.add(ctx.embed(*model.outer(kEmbedding), ctx.batch().tokens),
                    ctx.embed(*model.outer(kPositions), ctx.batch().positions));
  for (int64_t i = 0; i < model.config().num_layers; ++i) {
    x = ctx.block(x, [&model, i](Context& c, const Value& h) { return layer(c, model, i, h); });
  }
  return ctx.layer_norm(x, *model.outer(kFinalNorm), model.outer(kFinalNormBias),
                        model.config().norm_eps);
}

Head head(const Model& model) {
  return {*model.outer(kEmbedding)};
}

}  // namespace

extern const Family kGpt2;
const Family kGpt2 = {{"gpt2"},   {"gpt2"}, read_config, write_config, read_gguf,
                      write_gguf, tensors,  forward,     head};

}  // namespace millrace
