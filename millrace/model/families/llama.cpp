// Llama 1, 2 and 3 (Touvron et al. 2023) and what shares their layout, SmolLM2 among them.
#include "millrace/model/fields.h"
#include "millrace/model/model.h"

namespace millrace {
namespace {

enum Outer : size_t { kEmbedding, kFinalNorm, kHead };
enum Layer : size_t {
  kInputNorm,
  kQ,
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kPostNorm,
  kGate,
  kUp,
  kDown
};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  config.norm_eps = optional_json_field<float>(json, "rms_norm_eps", source).value_or(1e-6f);
  config.attention_bias = optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "LlamaForCausalLM");
  json["rms_norm_eps"] = config.norm_eps;
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = false;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "llama");
  config.norm_eps =
      file.metadata.get_optional<float>("llama.attention.layer_norm_rms_epsilon").value_or(1e-5f);
  config.attention_bias = file.tensors.find("blk.0.attn_q.bias") != nullptr;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "llama");
  keys.set("llama.attention.layer_norm_rms_epsilon", config.norm_eps);
  return keys;
}

TensorSpecs tensors(const ModelConfig& c) {
  const int64_t hidden = c.hidden_size, q = c.num_heads * c.head_dim,
                kv = c.num_kv_heads * c.head_dim;
  const Shape no = {};
  const Shape head = c.tie_word_embeddings ? no : Shape{c.vocab_size, hidden};
  const Shape q_bias = c.attention_bias ? Shape{q} : no,
              kv_bias = c.attention_bias ? Shape{kv} : no;
  const Shape o_bias = c.attention_bias ? Shape{hidden} : no;
  using enum Initialization;
  TensorSpecs specs;
  specs.outer = {
      {"model.embed_tokens.weight", "token_embd.weight", {c.vocab_size, hidden}},
      {"model.norm.weight", "output_norm.weight", {hidden}, ones},
      {"lm_head.weight", "output.weight", head},
  };
  const std::string layer = "model.layers.{}.", blk = "blk.{}.";
  specs.layer = {
      {layer + "input_layernorm.weight", blk + "attn_norm.weight", {hidden}, ones},
      {layer + "self_attn.q_proj.weight",
       blk + "attn_q.weight",
       {q, hidden},
       normal,
       false,
       c.num_heads},
      {layer + "self_attn.k_proj.weight",
       blk + "attn_k.weight",
       {kv, hidden},
       normal,
       false,
       c.num_kv_heads},
      {layer + "self_attn.v_proj.weight", blk + "attn_v.weight", {kv, hidden}},
      {layer + "self_attn.o_proj.weight", blk + "attn_output.weight", {hidden, q}, normal_residual},
      {layer + "self_attn.q_proj.bias", blk + "attn_q.bias", q_bias, zeros, false, c.num_heads},
      {layer + "self_attn.k_proj.bias", blk + "attn_k.bias", kv_bias, zeros, false, c.num_kv_heads},
      {layer + "self_attn.v_proj.bias", blk + "attn_v.bias", kv_bias, zeros},
      {layer + "self_attn.o_proj.bias", blk + "attn_output.bias", o_bias, zeros},
      {layer + "post_attention_layernorm.weight", blk + "ffn_norm.weight", {hidden}, ones},
      {layer + "mlp.gate_proj.weight", blk + "ffn_gate.weight", {c.intermediate_size, hidden}},
      {layer + "mlp.up_proj.weight", blk + "ffn_up.weight", {c.intermediate_size, hidden}},
      {layer + "mlp.down_proj.weight",
       blk + "ffn_down.weight",
       {hidden, c.intermediate_size},
       normal_residual},
  };
  return specs;
}

Value layer(Context& ctx, const Model& model, int64_t i, const Value& x) {
  const ModelConfig& config = model.config();
  auto weight = [&](Layer t) -> const Parameter& { return *model.layer(i, t); };
  Value h = ctx.rms_norm(x, weight(kInputNorm), config.norm_eps);
  auto [q, k, v] = ctx.linears<3>(h, {{weight(kQ), model.layer(i, kQBias)},
                                      {weight(kK), model.layer(i, kKBias)},
                                      {weight(kV), model.layer(i, kVBias)}});
  const RopeTable& turns = model.rope_table(ctx.batch());
  q = ctx.rope(q, turns, config.head_dim);
  k = ctx.rope(k, turns, config.head_dim);
  Value seen = ctx.attention(i, q, k, v, config.attention_shape());
  Value y = ctx.add(x, ctx.linear(seen, weight(kO), model.layer(i, kOBias)));
  h = ctx.rms_norm(y, weight(kPostNorm), config.norm_eps);
  auto [gate, up] = ctx.linears<2>(h, {{weight(kGate)}, {weight(kUp)}});
  Value inner = ctx.glu(config.activation, gate, up);
  return ctx.add(y, ctx.linear(inner, weight(kDown)));
}

Value forward(Context& ctx, const Model& model) {
  Value x = ctx.embed(*model.outer(kEmbedding), ctx.batch().tokens);
  for (int64_t i = 0; i < model.config().num_layers; ++i) {
    x = ctx.block(x, [&model, i](Context& c, const Value& h) { return layer(c, model, i, h); });
  }
  return ctx.rms_norm(x, *model.outer(kFinalNorm), model.config().norm_eps);
}

size_t head(const ModelConfig& config) {
  return config.tie_word_embeddings ? kEmbedding : kHead;
}

}  // namespace

extern const Family kLlama;
const Family kLlama = {{"llama"},  {"llama"}, read_config, write_config, read_gguf,
                       write_gguf, tensors,   forward,     head};

}  // namespace millrace
