// What a model's configuration says, in one form for every family.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/graph/context.h"
#include "millrace/kernels/rope.h"
#include "millrace/tensor/dtype.h"

namespace millrace {

/// The shared configuration. A family reads it from config.json or GGUF metadata; fields that a
/// family has no use for keep their defaults.
struct ModelConfig {
  std::string model_type;  ///< Hugging Face's name: "llama", "gpt2"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;
  float norm_eps = 1e-5f;
  Activation activation = Activation::silu;
  RopeParameters rope;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  DType dtype = DType::bf16;  ///< of the matrices in files and in arithmetic: f32, bf16 or f16
  float initializer_range = 0.02f;
  int32_t bos_token_id = -1;
  std::vector<int32_t> eos_token_ids;

  AttentionShape attention_shape() const;
};

/// Throws Error, naming `source` and the field, unless sizes are positive, below sane limits, and
/// divide as they must, and rope's parameters give frequencies.
void validate(const ModelConfig& config, std::string_view source);

}  // namespace millrace
