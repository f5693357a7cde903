// T5, mT5 (Raffel et al. 2020; Xue et al. 2021) and UMT5, in which every layer has a bias of its
// own.
#include "millrace/model/encoder_decoder.h"

namespace millrace {
namespace {

Json write_config(const ModelConfig& config) {
  const std::string name = config.model_type == "t5"    ? "T5"
                           : config.model_type == "mt5" ? "MT5"
                                                        : "UMT5";
  return write_encoder_decoder_config(config, name + "ForConditionalGeneration");
}

TensorSpecs tensors(const ModelConfig& config) {
  return encoder_decoder_tensors(config, {.bias_in_every_layer = config.model_type == "umt5"});
}

}  // namespace

extern const Family kT5;
const Family kT5 = {{"t5", "mt5", "umt5"},
                    {"t5"},
                    read_encoder_decoder_config,
                    write_config,
                    read_encoder_decoder_gguf,
                    write_encoder_decoder_gguf,
                    tensors,
                    encoder_decoder_forward,
                    encoder_decoder_head,
                    encoder_decoder_head_input};

}  // namespace millrace
