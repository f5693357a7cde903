// An encoder of random weights that reads bytes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/tiny_language_model.h"

namespace millrace {

/// A BERT that reads bytes between <|im_start|> and <|im_end|>; with labels it is a classifier.
inline LanguageModel tiny_encoder(std::vector<std::string> labels = {}, int64_t token_types = 2) {
  TokenizerDefinition definition = byte_tokenizer().definition();
  definition.prefix = {definition.bos = kImStart};
  definition.suffix = {definition.eos = kImEnd};
  Tokenizer tokenizer(std::move(definition), "test");
  ModelConfig config = tiny_language_config(tokenizer, 128);
  config.model_type = "bert";
  config.rope.rotary_dim = 0;
  config.causal = false;
  config.norm_behind_residual = true;
  config.norm = NormKind::layer;
  config.activation = Activation::gelu;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.tie_word_embeddings = true;
  config.num_token_types = token_types;
  config.head = labels.empty() ? HeadKind::none : HeadKind::labels;
  config.labels = std::move(labels);
  config.initializer_range = 0.3f;
  config.dtype = DType::f32;
  auto model = initialized_model(std::move(config), 1);
  for (Parameter& parameter : model->parameters()) {
    if (parameter.is_matrix()) parameter.packed = pack(parameter.value);
  }
  return make_language_model(std::move(model), std::move(tokenizer), "", "test");
}

}  // namespace millrace
