#include "millrace/model/indexer.h"

namespace millrace {
namespace {

/// Places behind the first.
enum : size_t {
  kQ,
  kQBias,
  kQNorm,
  kK,
  kKBias,
  kKNorm,
  kKNormBias,
  kWeights,
  kWeightsBias,  // no model has biases but those of norms
  kPlaces
};

/// Queries or keys of an indexer, turned by position.
Value turned(Context& ctx, const LayerWeights& weights, const Value& x) {
  const ModelConfig& config = weights.model.config();
  const IndexerConfig& indexer = config.indexer;
  Rotation how = weights.model.rotation(ctx.batch(), weights.index);
  how.head_dim = indexer.selector.head_dim;
  how.pairing = indexer.rope_pairing;
  how.first = indexer.rope_last ? how.head_dim - config.rope.rotary_dim : 0;
  return ctx.rope(x, how);
}

KeySelection choose(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
                    const Value& from) {
  const ModelConfig& config = weights.model.config();
  const IndexerConfig& indexer = config.indexer;
  const int64_t slot = config.indexer_index(weights.index);
  Value q = ctx.linear(from, weights.at(first + kQ)), k = ctx.linear(h, weights.at(first + kK));
  if (indexer.selector.heads_choose) {
    q = ctx.rms_norm(q, weights.at(first + kQNorm), indexer.norm_eps);
    k = ctx.rms_norm(k, weights.at(first + kKNorm), indexer.norm_eps);
  } else {
    k = ctx.layer_norm(k, weights.at(first + kKNorm), weights.find(first + kKNormBias),
                       indexer.norm_eps);
  }
  q = turned(ctx, weights, q);
  k = turned(ctx, weights, k);
  if (indexer.selector.heads_choose) return ctx.select_keys(slot, indexer.selector, q, k, nullptr);
  const Value of_heads = ctx.linear(h, weights.at(first + kWeights));
  return ctx.select_keys(slot, indexer.selector, q, k, &of_heads);
}

}  // namespace

KeySelection chosen_keys(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
                         const Value& from) {
  const ModelConfig& config = weights.model.config();
  switch (config.indexer_of(weights.index)) {
    case IndexerKind::none:
      return {};
    case IndexerKind::own:
      return choose(ctx, weights, first, h, from);
    case IndexerKind::shared:
      return ctx.selected_keys(config.indexer_index(weights.index));
  }
  return {};
}

void add_indexer(const ModelConfig& config, int64_t from, size_t first, SpecTable table) {
  const KeySelector& selector = config.indexer.selector;
  if (selector.num_heads == 0) return;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    table.layers.push_back(config.indexer_of(i) == IndexerKind::own);
  }
  const int64_t hidden = config.hidden_size, dim = selector.head_dim;
  const int64_t q_rows = selector.num_heads * dim;
  if (selector.heads_choose) {
    table.linear(first + kQ, "self_attn.index_q_proj", "", {q_rows, from}, false);
    table.linear(first + kK, "self_attn.index_k_proj", "", {dim, hidden}, false);
    table.norm(first + kQNorm, "self_attn.index_q_norm", "", dim, false);
    table.norm(first + kKNorm, "self_attn.index_k_norm", "", dim, false);
    return;
  }
  const std::string name = "self_attn.indexer.", gguf_name = "indexer.";
  table.linear(first + kQ, name + "wq_b", gguf_name + "attn_q_b", {q_rows, from}, false);
  table.linear(first + kK, name + "wk", gguf_name + "attn_k", {dim, hidden}, false);
  table.norm(first + kKNorm, name + "k_norm", gguf_name + "k_norm", dim, true);
  table.linear(first + kWeights, name + "weights_proj", gguf_name + "proj",
               {selector.num_heads, hidden}, false);
}

size_t indexer_places(const ModelConfig& config) {
  return config.indexer.selector.num_heads == 0 ? size_t{0} : size_t{kPlaces};
}

}  // namespace millrace
