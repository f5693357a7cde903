// BERT (Devlin et al. 2019): an encoder.
#include "millrace/model/encoder.h"

namespace millrace {
namespace {

Json write_config(const ModelConfig& config) {
  return write_encoder_config(config, "Bert");
}

TensorSpecs tensors(const ModelConfig& config) {
  return encoder_tensors(config, encoder_names(config, "bert"));
}

}  // namespace

extern const Family kBert;
const Family kBert = {
    {"bert"},           {"bert"}, read_encoder_config, write_config, read_encoder_gguf,
    write_encoder_gguf, tensors,  decoder_forward,     decoder_head, decoder_head_input};

}  // namespace millrace
