// The decoder that most families are: embeddings, layers of attention and an MLP, a final norm and
// a head. How families differ is said by ModelConfig, by which tensors they have, and by names.
#pragma once

#include <cstddef>
#include <string>

#include "millrace/model/delta_net.h"
#include "millrace/model/experts.h"
#include "millrace/model/hyper_connections.h"
#include "millrace/model/model.h"

namespace millrace {

/// A decoder's tensors in the order of its TensorSpecs. One that a family lacks has rank 0, and
/// what it would do is not done.
namespace decoder {
enum Outer : size_t {
  kEmbedding,
  kPositions,
  kEmbeddingNorm,
  kEmbeddingNormBias,
  kFinalNorm,
  kFinalNormBias,
  kHead,
  kHeadBias,
  kHeadDense,
  kHeadDenseBias,
  kHeadNorm,
  kHeadNormBias,
  kTokenTypes,
  kTaskTypes,
  kProjectIn,
  kProjectOut,
  kHeadStreams,                             // three, of what the head reads of streams
  kQueries = kHeadStreams + kStreamPlaces,  // of the query layer, by position
  kBlockPositions,
  kOuterOwn  // and on: those of per-layer inputs, then those of AltUp
};
enum Layer : size_t {
  kInputNorm,
  kInputNormBias,
  kQ,
  kQBias,
  kK,
  kKBias,
  kV,
  kVBias,
  kQNorm,  // of every head, or of all of them as one row
  kKNorm,
  kSinks,     // Context::attention's
  kHeadGate,  // of attention's output, head by head
  kAttentionGate,
  kAttentionGateBias,
  kO,
  kOBias,
  kAttentionNorm,  // of attention's output, before it is added to the residual
  kMlpNorm,
  kMlpNormBias,
  kGate,
  kGateBias,
  kUp,
  kUpBias,
  kDown,
  kDownBias,
  kOutputNorm,  // of the MLP's output, before it is added to the residual
  kMlpOwnNorm,  // of the MLP's output, before that of experts is added to it
  kExpertsNorm,
  kExpertsOutputNorm,
  kLayerScale,        // one number, of all that the layer gives; it is not trained
  kAttentionStreams,  // three, of what attention reads of streams and adds to them
  kMlpStreams = kAttentionStreams + kStreamPlaces,
  /// And on: those of latent or linear attention, of per-layer inputs, AltUp and experts.
  kOwn = kMlpStreams + kStreamPlaces
};
}  // namespace decoder

/// What Hugging Face's files call a decoder's tensors, before ".weight" and ".bias". Where a name
/// is empty the family has no such tensor. In a layer, names follow `layer`.
struct DecoderNames {
  std::string embedding = "model.embed_tokens";
  std::string project_in = "", project_out = "";  ///< of embeddings of another width
  std::string positions = "", block_positions = "";
  std::string embedding_norm = "";
  std::string final_norm = "model.norm";
  std::string head = "lm_head";
  std::string head_bias = "";
  std::string token_types = "", task_types = "";
  std::string queries = "";
  std::string head_dense = "", head_norm = "";  ///< what the head reads hidden states through

  std::string head_streams = "model.hc_pre.hc_head.hc_head";  ///< add_streams'
  std::string attention_streams = "hc_pre.hc_attn_layer.hc", mlp_streams = "hc_pre.hc_mlp_layer.hc";

  std::string layer = "model.layers.{}.";
  std::string input_norm = "input_layernorm";
  std::string q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj";
  std::string o = "self_attn.o_proj";
  std::string q_norm = "", k_norm = "";
  bool norms_all_heads = false;  ///< as one row
  std::string sinks = "";        ///< the whole name
  std::string head_gate = "";
  std::string attention_norm = "";
  std::string mlp_norm = "post_attention_layernorm";
  std::string gate = "mlp.gate_proj", up = "mlp.up_proj", down = "mlp.down_proj";
  std::string output_norm = "";
  std::string mlp_own_norm = "", experts_norm = "", experts_output_norm = "";
  std::string layer_scale = "";  ///< the whole name
  ExpertNames experts = {};
  DeltaNetFiles delta_net = DeltaNetFiles::by_key_head;

  std::string qkv = "";           ///< the file's tensor that packs queries, keys and values
  bool qkv_by_head = false;       ///< in it, the queries of each key-value head, its keys, values
  std::string gate_up = "";       ///< the file's tensor that packs gates and up projections
  bool gguf_packs_qkv = false;    ///< GGUF has attn_qkv: all queries, all keys, all values
  bool gguf_packs_gates = false;  ///< GGUF's ffn_up holds the gates, then the up projections
  bool gguf_interleaves = false;  ///< GGUF orders heads for interleaved rope
  bool gguf_latents_as_published = false;  ///< add_latent_attention's
  std::string gguf_input_norm = "attn_norm", gguf_mlp_norm = "ffn_norm";
  std::string gguf_head = "output", gguf_head_dense = "";
  float norm_offset = 0;    ///< what Hugging Face's files leave off the norms' weights
  bool transposed = false;  ///< Hugging Face's files hold the layers' matrices as [in, out]
};

/// The tensors that a configuration asks for.
TensorSpecs decoder_tensors(const ModelConfig& config, const DecoderNames& names);

/// Family::forward of every family whose tensors are decoder_tensors.
Value decoder_forward(Context& context, const Model& model);

/// Family::head of the same: the head of its own, or the embeddings where they are tied.
Head decoder_head(const Model& model);

/// Family::head_input of those that have a kHeadDense: a product, an activation and a norm; of
/// those that project states to the width of embeddings, or scale them before the head.
Value decoder_head_input(Context& context, const Model& model, const Value& hidden);

}  // namespace millrace
