// What BERT and its kin share: a decoder's blocks whose tokens see each other both ways, with the
// head that the file's class says.
#pragma once

#include <string>
#include <string_view>

#include "millrace/model/decoder.h"

namespace millrace {

/// A config.json with BERT's names. Its "architectures" say which head there is: masked language
/// modelling, sequence classification, or none.
ModelConfig read_encoder_config(const Json& json, std::string_view source);

/// The same, for transformers' classes whose names begin with `prefix`: "Bert".
Json write_encoder_config(const ModelConfig& config, const std::string& prefix);

/// GGUF's architecture "bert", which has no masked language model.
ModelConfig read_encoder_gguf(const GgufFile& file);
GgufMetadata write_encoder_gguf(const ModelConfig& config);

/// BERT's names of tensors, `model` being their first part, with the names of its heads.
DecoderNames encoder_names(const ModelConfig& config, const std::string& model);

/// decoder_tensors, and what files have beside them: poolers that no head reads, tied heads.
TensorSpecs encoder_tensors(const ModelConfig& config, const DecoderNames& names);

}  // namespace millrace
