// Small models of random weights, of any type.
#pragma once

#include <memory>
#include <string>

#include "millrace/kernels/matmul.h"
#include "millrace/model/load.h"
#include "millrace/model/model.h"
#include "millrace/tensor/quantize.h"

namespace millrace {

inline constexpr int64_t kTinyVocabulary = 300;

/// A model of two layers whose matrices, the embedding with them, are of type `dtype`. K-quants
/// need a `width` of 256. "llama-dynamic" is one that was trained on texts of 70 tokens, the layers
/// of "llama-uneven" have different sizes.
inline std::unique_ptr<Model> tiny_model(DType dtype, int64_t width = 64,
                                         const std::string& family = "llama",
                                         int64_t max_positions = 512) {
  ModelConfig config;
  config.model_type = family.starts_with("llama-") ? "llama" : family;
  config.vocab_size = kTinyVocabulary;
  config.hidden_size = width;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = family == "gpt2" ? 4 : 2;
  config.head_dim = width / 4;
  config.intermediate_size = width;
  config.max_position_embeddings = max_positions;
  config.rope.rotary_dim = family == "gpt2" ? 0 : config.head_dim;
  if (family == "llama-dynamic") {
    config.rope.scaling = RopeScaling::dynamic;
    config.rope.factor = 8;
    config.rope.max_position_embeddings = 70;
  }
  if (family == "llama-uneven") {
    config.layer_sizes = {{4, 2, width / 4, width}, {6, 1, width / 2, 2 * width}};
  }
  if (family == "minimax") {
    config.linear_layers = {true, false};
    config.normed_residual = true;
    config.experts = {.routing = {.num_experts = 3, .top_k = 2, .normalized = true},
                      .intermediate_size = width};
  }
  if (family == "minimax_m3_vl_text") {
    config.indexer.selector = {.num_heads = 2,
                               .head_dim = config.head_dim,
                               .count = 3,
                               .block_size = 8,
                               .local_blocks = 1,
                               .heads_choose = true};
    config.indexer.layers = {IndexerKind::own, IndexerKind::none};
  }
  if (family == "qwen3_5_text") {
    config.linear_layers = {true, false};
    config.delta_net = {.key_heads = 2,
                        .value_heads = 4,
                        .key_dim = width / 8,
                        .value_dim = width / 4,
                        .kernel = 4};
    config.gated_attention = true;
  }
  config.tie_word_embeddings = true;
  config.dtype = is_quantized(dtype) ? DType::bf16 : dtype;
  config.initializer_range = 0.1f;
  auto model = initialized_model(config, 5);
  for (Parameter& parameter : model->parameters()) {
    if (!parameter.is_matrix()) continue;
    parameter.packed = pack(quantized(parameter.value, dtype));
    parameter.value = {};
  }
  return model;
}

}  // namespace millrace
