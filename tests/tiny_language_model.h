// A language model of random weights that talks in bytes.
#pragma once

#include <string>
#include <utility>

#include "millrace/generate/language_model.h"
#include "millrace/model/load.h"
#include "tests/byte_tokenizer.h"

namespace millrace {

/// One layer of 32 values, for at most `positions` tokens, in f32.
inline ModelConfig tiny_language_config(const Tokenizer& tokenizer, int64_t positions) {
  ModelConfig config;
  config.model_type = "llama";
  config.vocab_size = tokenizer.vocab_size();
  config.hidden_size = 32;
  config.num_layers = 1;
  config.num_heads = config.num_kv_heads = 2;
  config.head_dim = config.rope.rotary_dim = 16;
  config.intermediate_size = 64;
  config.max_position_embeddings = positions;
  config.eos_token_ids = {tokenizer.eos()};
  return config;
}

inline LanguageModel tiny_language_model(
    Tokenizer tokenizer = byte_tokenizer(),
    std::string chat_template = std::string(built_in_template("chatml")), int64_t positions = 128) {
  ModelConfig config = tiny_language_config(tokenizer, positions);
  return make_language_model(initialized_model(std::move(config), 1), std::move(tokenizer),
                             std::move(chat_template), "test");
}

}  // namespace millrace
