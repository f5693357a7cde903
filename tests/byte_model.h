// The smallest model that talks, in bytes: one layer of 32 values.
#pragma once

#include "millrace/model/config.h"
#include "tests/byte_tokenizer.h"

namespace millrace {

inline ModelConfig byte_model_config() {
  ModelConfig config;
  config.model_type = "llama";
  config.vocab_size = byte_tokenizer().vocab_size();
  config.hidden_size = 32;
  config.num_layers = 1;
  config.num_heads = config.num_kv_heads = 2;
  config.head_dim = config.rope.rotary_dim = 16;
  config.intermediate_size = 64;
  config.max_position_embeddings = 4096;
  return config;
}

}  // namespace millrace
