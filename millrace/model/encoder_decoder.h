// The encoder-decoder that T5 and its kin are (Raffel et al. 2020): an encoder reads the prefix of
// a sequence, a decoder what is behind it, and what the encoder made of the prefix. Attention knows
// of places by a bias for each distance alone.
#pragma once

#include <string>

#include "millrace/model/experts.h"
#include "millrace/model/model.h"

namespace millrace {

/// How a family's files differ from the others'.
struct EncoderDecoderNames {
  std::string mlp = "DenseReluDense";  ///< the feed-forward network, in a layer's last part
  bool bias_in_every_layer = false;    ///< of scores by distance; else the first's is that of all
  ExpertNames experts = {};
};

/// A config.json with T5's names.
ModelConfig read_encoder_decoder_config(const Json& json, std::string_view source);
Json write_encoder_decoder_config(const ModelConfig& config, std::string_view architecture);

/// GGUF's architecture "t5".
ModelConfig read_encoder_decoder_gguf(const GgufFile& file);
GgufMetadata write_encoder_decoder_gguf(const ModelConfig& config);

/// The tensors that a configuration asks for: its first num_encoder_layers layers are the encoder.
TensorSpecs encoder_decoder_tensors(const ModelConfig& config, const EncoderDecoderNames& names);

/// Family::forward. Every sequence of the batch must have a prefix and be longer; the rows of the
/// prefixes hold what the encoder made of them. Throws Error for a sequence without a prefix.
Value encoder_decoder_forward(Context& context, const Model& model);

/// Family::head: the head of its own, or the embeddings where they are tied.
Head encoder_decoder_head(const Model& model);

/// Family::head_input: scaled where embeddings are tied.
Value encoder_decoder_head_input(Context& context, const Model& model, const Value& hidden);

}  // namespace millrace
