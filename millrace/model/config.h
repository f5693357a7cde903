// What a model's configuration says, in one form for every family.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/graph/context.h"
#include "millrace/kernels/key_selection.h"
#include "millrace/kernels/rope.h"
#include "millrace/tensor/dtype.h"

namespace millrace {

/// How hidden states are normalised: by their root mean square, or by mean and variance.
enum class NormKind : uint8_t { rms, layer };

/// The experts that some layers have in the place of an MLP (model/experts.h).
struct ExpertsConfig {
  Routing routing;                       ///< num_experts 0: there are none
  int64_t intermediate_size = 0;         ///< of each
  int64_t shared_intermediate_size = 0;  ///< of one beside them that every row goes to; 0: none
  bool shared_gate = false;              ///< its output is weighed by a sigmoid
  std::vector<bool> layers = {};         ///< which have experts; empty: all of them
  bool beside_mlp = false;               ///< their layers have an MLP too; both are added
  float balance_loss = 0;                ///< how much of the balance loss training adds
};

/// Multi-head latent attention (DeepSeek-AI 2024): keys and values are projections of one short
/// vector a token (model/latent_attention.h).
struct LatentConfig {
  int64_t kv_rank = 0;    ///< of that vector; 0: attention is another
  int64_t q_rank = 0;     ///< of what queries are projections of; 0: of the hidden state itself
  int64_t key_dim = 0;    ///< of a head's query and key, but for
  int64_t rope_dim = 0;   ///< the part that has a position; the heads' keys share it
  int64_t value_dim = 0;  ///< of a head's value
  bool gated = false;     ///< what heads give is weighed by sigmoids of a projection
  bool sinks = false;     ///< AttentionShape::sinks
};

/// Which indexer chooses the keys that a layer sees: none, its own, or that of the last layer which
/// has one.
enum class IndexerKind : uint8_t { none, own, shared };

/// What chooses keys for attention (model/indexer.h).
struct IndexerConfig {
  KeySelector selector;                  ///< num_heads 0: nothing does
  std::vector<IndexerKind> layers = {};  ///< empty: all have their own
  RopePairing rope_pairing = RopePairing::half_split;
  bool rope_last = false;  ///< rope turns the last values of a head, not the first
  float norm_eps = 1e-6f;
};

/// Inputs that a layer has of each token beside the state: its part of a row of a table, and of a
/// projection of the token's embedding (model/per_layer_inputs.h).
struct PerLayerConfig {
  int64_t size = 0;        ///< of each layer's; 0: there are none
  int64_t vocab_size = 0;  ///< tokens that the table has; others read the first's row
};

/// Alternating updates (Baykal et al. 2023): the state is several streams, one of which a layer
/// computes with while the others are predicted and corrected (model/altup.h).
struct AltUpConfig {
  int64_t streams = 0;      ///< 0: the state is one
  int64_t active = 0;       ///< which of them
  bool scaled = false;      ///< the active one is, for the per-layer input
  float clip = 0;           ///< the greatest coefficient that training leaves; not done
  int64_t laurel_rank = 0;  ///< of a learned addition to the residual
};

/// A residual of several streams (model/hyper_connections.h).
struct StreamsConfig {
  int64_t count = 0;    ///< 0: the residual is one
  float magnitude = 2;  ///< of what is added to a stream
  float epsilon = 1e-6f;
};

/// Gated delta nets (Yang et al. 2024), which some layers have in the place of attention
/// (model/delta_net.h).
struct DeltaNetConfig {
  int64_t key_heads = 0;  ///< 0: layers have no delta nets
  int64_t value_heads = 0;
  int64_t key_dim = 0, value_dim = 0;  ///< of a head
  int64_t kernel = 0;                  ///< of the convolution of queries, keys and values
  bool channel_decay = false;          ///< Kimi Delta Attention's, by the channels of keys
  bool turns = false;                  ///< DeltaShape's: value heads are in GGUF's order

  DeltaShape shape() const {
    return {key_heads, value_heads, key_dim, value_dim, channel_decay, turns};
  }
  /// Numbers that a layer keeps of a sequence: those of its heads, then inputs of the convolution.
  int64_t state_size() const {
    return shape().state_size() + (kernel - 1) * (2 * shape().key_width() + shape().value_width());
  }
};

/// What attention or an MLP gives is added to the residual, each times a factor.
struct ResidualFactors {
  float residual = 1, output = 1;
};

/// What layers may have different numbers of.
struct LayerSizes {
  int64_t num_heads = 0, num_kv_heads = 0, head_dim = 0, intermediate_size = 0;

  bool operator==(const LayerSizes&) const = default;
};

/// What a model's head has logits of: tokens, or labels of a whole text, which it reads from the
/// text's first token. A model may have no head.
enum class HeadKind : uint8_t { tokens, labels, none };

/// The shared configuration. A family reads it from config.json or GGUF metadata; fields that a
/// family has no use for keep their defaults.
struct ModelConfig {
  std::string model_type;  ///< Hugging Face's name: "llama", "gpt2"
  std::string part_of;     ///< that of the model of images or sound whose text part this is
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t embedding_size = 0;  ///< of tokens, where projections go to hidden_size and back; 0: that
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  std::vector<LayerSizes> layer_sizes = {};  ///< of each layer; empty: those above, of all
  int64_t max_position_embeddings = 0;
  NormKind norm = NormKind::rms;
  float norm_eps = 1e-5f;
  Activation activation = Activation::silu;
  std::optional<ClampedGlu> clamped_glu;  ///< of gates, in its place
  /// Its limits in each layer's experts, and in its MLP or shared expert, where 0 stands for a
  /// plain gate; empty: its own.
  std::vector<float> expert_limits = {}, mlp_limits = {};
  bool tie_word_embeddings = false;
  bool attention_bias = false;         ///< of queries, keys and values
  bool attention_output_bias = false;  ///< of the projection behind them
  bool mlp_bias = false;

  ExpertsConfig experts;
  LatentConfig latent;
  IndexerConfig indexer;
  PerLayerConfig per_layer;
  AltUpConfig altup;
  StreamsConfig streams;

  /// Which layers have linear attention: a delta net or, where there are none, lightning attention.
  /// Empty: none.
  std::vector<bool> linear_layers = {};
  DeltaNetConfig delta_net;

  RopeParameters rope;
  std::optional<RopeParameters> windowed_rope;  ///< of windowed layers, where it is another
  RopePairing rope_pairing = RopePairing::half_split;

  int64_t sliding_window = 0;        ///< positions that a windowed layer sees; 0: all
  std::vector<bool> windowed = {};   ///< which layers are; empty: all of them
  float attention_scale = 0;         ///< of the scores; 0: 1 / sqrt(head_dim)
  float attention_softcap = 0;       ///< of the scores; 0: none
  int64_t num_kv_shared_layers = 0;  ///< the last ones, which read the keys and values of the last
                                     ///< layer before them that has a window as they do, or none
  bool values_are_keys = false;      ///< as projected, in layers without a window
  bool unit_values = false;          ///< heads of values are normed
  /// The part of each layer's gates that an MLP leaves out, as if they were normally distributed;
  /// empty: none.
  std::vector<double> sparsity = {};
  float alibi_max_bias = 0;  ///< ALiBi's steepest slope is 2^-(this / heads); 0: none
  QueryGrowth query_growth;
  float embedding_scale = 1;
  float logit_softcap = 0;             ///< 0: none
  bool gated_attention = false;        ///< its output is weighed by sigmoids of a projection
  bool head_norms = false;             ///< of queries and keys, in families that may lack them
  bool head_norms_after_rope = false;  ///< norms of queries and keys, where the family has them
  bool parallel_residual = false;      ///< attention and MLP read the same state and are both added
  bool norm_behind_residual =
      false;                     ///< attention and MLP read states as they are; sums are normed
  bool normed_residual = false;  ///< the residual is the state that was normed for what is added
  ResidualFactors attention_residual, linear_residual, mlp_residual;
  bool fills_blanks = false;  ///< a token has a position in the text and one in a blank of it (GLM)
  bool prefix_lm = false;     ///< a decoder that learned texts whose beginning is seen both ways
  bool causal = true;         ///< a token sees none behind it; those of an encoder see them all
  int64_t num_encoder_layers = 0;  ///< the first of the layers, of an encoder-decoder
  bool gated_mlp = false;          ///< of an encoder-decoder; others tell by their tensors
  DistanceBuckets encoder_buckets, decoder_buckets;  ///< of its biases of scores; no count: none
  float head_input_scale = 1;                        ///< of final hidden states, before the head
  int32_t decoder_start_token_id = -1;               ///< what a decoder's text begins with
  int64_t position_offset = 0;  ///< rows of the table of positions before that of position 0
  int64_t num_token_types = 0;
  int64_t num_task_types = 0;
  bool query_layer = false;  ///< the last layer's queries are of the next position (PanGu-α)
  HeadKind head = HeadKind::tokens;
  bool unit_head = false;           ///< the head's rows are used at length 1 (Baichuan 2)
  std::vector<std::string> labels;  ///< of a classifier, in the order of its logits
  int64_t num_extra_layers = 0;     ///< that files have behind the last, to predict further ahead
  DType dtype = DType::bf16;  ///< of the matrices in files and in arithmetic: f32, bf16 or f16
  float initializer_range = 0.02f;
  int32_t bos_token_id = -1;
  std::vector<int32_t> eos_token_ids;

  LayerSizes own_sizes() const { return {num_heads, num_kv_heads, head_dim, intermediate_size}; }
  LayerSizes sizes(int64_t layer) const;
  /// The configuration of a model all of whose layers have this one's sizes.
  ModelConfig with_sizes_of(int64_t layer) const;

  /// How layers of the model's own sizes attend but for their windows.
  AttentionShape attention_shape() const { return shape_of(own_sizes()); }
  /// How much of a cache a layer takes, and how it attends.
  AttentionShape attention_shape(int64_t layer) const;
  bool is_windowed(int64_t layer) const;
  const RopeParameters& rope_of(int64_t layer) const;
  bool has_experts(int64_t layer) const;
  /// What gates of a layer's experts, or of its MLP or shared expert, become in the activation's
  /// place.
  std::optional<ClampedGlu> glu_of(int64_t layer, bool of_expert) const;
  bool is_linear(int64_t layer) const;
  LinearAttentionShape lightning_shape(int64_t layer) const;
  int64_t num_linear_layers() const;
  /// Numbers that one of them keeps of a sequence.
  int64_t linear_state_size() const;
  /// The layer whose keys and values this one reads: as a rule itself.
  int64_t kv_layer(int64_t layer) const;
  bool shares_kv(int64_t layer) const { return kv_layer(layer) != layer; }
  /// Whether others read this layer's.
  bool lends_kv(int64_t layer) const;
  /// How many layers below this one have attention of its kind: its place in a cache.
  int64_t attention_index(int64_t layer) const;
  IndexerKind indexer_of(int64_t layer) const;
  int64_t num_indexers() const;
  /// Where a cache holds the keys of the indexer that chooses for a layer: behind all layers.
  int64_t indexer_index(int64_t layer) const;
  /// How many standard deviations above their mean gates must be (Context::outliers); none: all
  /// are let pass.
  std::optional<float> gate_deviations(int64_t layer) const;

  /// rope_length of a sequence.
  int64_t rope_length(int64_t tokens) const { return millrace::rope_length(rope, tokens); }

  bool has_encoder() const { return num_encoder_layers > 0; }
  /// Whether a cache holds the layer's keys and values.
  bool is_cached(int64_t layer) const {
    return layer >= num_encoder_layers && !is_linear(layer) && !shares_kv(layer);
  }

 private:
  AttentionShape shape_of(const LayerSizes& sizes) const;
};

/// How likely a normally distributed number is to lie below its mean and so many standard
/// deviations, and the inverse.
double normal_probability(double deviations);
double normal_quantile(double probability);

/// Throws Error unless the model continues texts: an encoder does not.
void require_causal(const ModelConfig& config);

/// Throws Error, naming `source` and the field, unless sizes are positive, below sane limits, and
/// divide as they must, and rope's parameters give frequencies.
void validate(const ModelConfig& config, std::string_view source);

}  // namespace millrace
