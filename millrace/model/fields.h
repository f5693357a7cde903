// The configuration fields that most families share, read and written in one place.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/model/config.h"

namespace millrace {

/// What config.json calls the shared fields, and what holds when they are missing. A name that is
/// empty stands for no field.
struct FieldNames {
  const char* hidden_size = "hidden_size";
  const char* num_layers = "num_hidden_layers";
  const char* num_heads = "num_attention_heads";
  const char* head_dim = "head_dim";
  const char* intermediate_size = "intermediate_size";
  const char* max_positions = "max_position_embeddings";
  const char* activation = "hidden_act";
  const char* norm_eps = "rms_norm_eps";
  const char* initializer_range = "initializer_range";
  std::string_view default_activation = "silu";
  int64_t default_intermediate_factor = 0;  ///< of the hidden size; 0: the field must be there
  bool default_tied = false;
  float default_norm_eps = 1e-6f;
  NormKind norm = NormKind::rms;
  bool rope = true;
  int64_t default_head_dim = 0;  ///< 0: hidden_size / num_heads
  double default_rope_theta = 10000;
  double default_rotary_factor = 1;   ///< the part of a head that rope turns ("rotary_dim" of it)
  int64_t default_max_positions = 0;  ///< 0: the field must be there
};

/// Sizes, rope, activation, dtype and special tokens from config.json, checked for sense.
ModelConfig read_common_fields(const Json& json, std::string_view source,
                               const FieldNames& names = {});

/// The same fields as config.json, `architecture` being the class that transformers opens it with.
Json write_common_fields(const ModelConfig& config, std::string_view architecture,
                         const FieldNames& names = {});

/// Which layers have a window, and of how many positions: "sliding_window" with "layer_types", or
/// with "use_sliding_window" and "max_window_layers" as the Qwens had them before.
void read_window_fields(const Json& json, std::string_view source, ModelConfig& config);
void write_window_fields(const ModelConfig& config, Json& json);

/// The configuration with the rope of one kind of layers for all: transformers 5 has an object for
/// each kind, before it the windowed layers had a base of their own and no scaling.
Json with_rope_of(const Json& json, bool windowed, std::string_view source);
/// The object for each kind.
void write_ropes(const ModelConfig& config, std::string_view architecture, const FieldNames& names,
                 Json& json);

/// How Gemmas shape scores and logits: soft caps (null: none), and the number whose root divides
/// the scores.
struct ScoreDefaults {
  float attention_softcap, logit_softcap;
  double query_scalar;
};
void read_score_fields(const Json& json, std::string_view source, const ScoreDefaults& defaults,
                       ModelConfig& config);
void write_score_fields(const ModelConfig& config, Json& json);

/// Every layer has the window but each `period`-th.
void window_all_but_every(int64_t period, ModelConfig& config);

/// What Hugging Face calls an activation.
std::string_view activation_field(Activation activation);

/// Only tied embeddings, dtype, initializer range and special token ids.
void write_token_fields(const ModelConfig& config, Json& json);

/// The same from GGUF's `<architecture>.*` keys; the architecture means an activation.
ModelConfig read_common_keys(const GgufFile& file, const std::string& architecture,
                             Activation activation = Activation::silu);

/// The same as GGUF's `<architecture>.*` keys. Throws Error for a model of another activation than
/// the architecture means.
GgufMetadata write_common_keys(const ModelConfig& config, const std::string& architecture,
                               Activation activation = Activation::silu);

/// GGUF's tensors of LongRoPE's factors, and whether a model's rope is said by them; by one of
/// divisors ("rope_freqs") where its factors do not depend on the length.
constexpr const char* kShortFactors = "rope_factors_short.weight";
constexpr const char* kLongFactors = "rope_factors_long.weight";
bool has_factor_tensors(const RopeParameters& rope);

}  // namespace millrace
