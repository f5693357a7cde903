#include "millrace/model/delta_net.h"

#include <array>
#include <cmath>

namespace millrace {
namespace {

/// Places behind the first. No model has biases of its products.
enum : size_t {
  kQ,
  kQBias,
  kK,
  kKBias,
  kV,
  kVBias,
  kGate,
  kGateBias,
  kBeta,
  kBetaBias,
  kDecay,
  kDecayBias,
  kGateDown,  // to what Kimi Linear's gates and decays are projections of
  kGateDownBias,
  kDecayDown,
  kDecayDownBias,
  kQTaps,  // of the convolutions
  kKTaps,
  kVTaps,
  kLogRate,
  kTimeBias,
  kNorm,
  kO,
  kOBias,
  kPlaces
};

/// Of the lengths of queries and keys, whatever that of norms is.
constexpr float kLengthEps = 1e-6f;

/// Where in a layer's states are those of its heads, and inputs of the convolutions.
struct StateBegins {
  int64_t heads, q, k, v;

  explicit StateBegins(const DeltaNetConfig& net) {
    const int64_t rows = net.kernel - 1, keys = rows * net.shape().key_width();
    heads = 0;
    q = net.shape().state_size();
    k = q + keys;
    v = k + keys;
  }
};

/// The projections of h as Qwen3-Next packs them: of each key head its query, its key, the values
/// of its value heads and as many gates; of these heads the betas, then the decays.
void pack_by_key_head(const DeltaNetConfig& net, size_t first, SpecTable& table) {
  const int64_t heads = net.key_heads, values = net.value_heads / heads;
  const int64_t width = values * net.value_dim, rows = 2 * net.key_dim + 2 * width;
  const std::string in = "linear_attn.in_proj_qkvz", small = "linear_attn.in_proj_ba";
  table.pack(first + kQ, in, {heads, 0, rows}, "", {});
  table.pack(first + kK, in, {heads, net.key_dim, rows}, "", {});
  table.pack(first + kV, in, {heads, 2 * net.key_dim, rows}, "", {});
  table.pack(first + kGate, in, {heads, 2 * net.key_dim + width, rows}, "", {});
  const RowPart betas = {heads, 0, 2 * values}, decays = {heads, values, 2 * values};
  table.pack(first + kBeta, small, betas, "ssm_ba", betas);
  table.pack(first + kDecay, small, decays, "ssm_ba", decays);
}

/// And as Qwen3.5 does, and GGUF.
void pack_by_kind(const DeltaShape& shape, const std::string& in, size_t first, SpecTable& table) {
  const int64_t keys = shape.key_width(), rows = 2 * keys + shape.value_width();
  for (const auto& [place, begin] : {std::pair(size_t{kQ}, int64_t{0}), std::pair(size_t{kK}, keys),
                                     std::pair(size_t{kV}, 2 * keys)}) {
    table.pack(first + place, in, {1, begin, rows}, "attn_qkv", {1, begin, rows});
  }
}

/// Value heads are in another order in GGUF's files of Qwen3.5, and in a model of such a file.
void turn_heads(const DeltaNetConfig& net, size_t first, SpecTable& table) {
  const int64_t each = net.value_heads / net.key_heads;
  if (each == 1) return;
  for (size_t place : {kV, kGate, kBeta, kDecay, kVTaps, kLogRate, kTimeBias, kO}) {
    TensorSpec& spec = table.specs[first + place];
    const bool columns = place == kO;
    if (net.turns) {
      spec.published_turn = {each, net.key_heads, columns};
    } else {
      spec.gguf_turn = {net.key_heads, each, columns};
    }
  }
}

/// Kimi Linear's, whose gates and decays are projections of projections.
void add_apart(const ModelConfig& config, size_t first, SpecTable& table) {
  const DeltaShape shape = config.delta_net.shape();
  const int64_t hidden = config.hidden_size, width = shape.value_width(), narrow = shape.value_dim;
  for (const auto& [place, name, rows, columns] :
       {std::tuple(size_t{kQ}, "q_proj", shape.key_width(), hidden),
        std::tuple(size_t{kK}, "k_proj", shape.key_width(), hidden),
        std::tuple(size_t{kV}, "v_proj", width, hidden),
        std::tuple(size_t{kBeta}, "b_proj", shape.value_heads, hidden),
        std::tuple(size_t{kGateDown}, "g_a_proj", narrow, hidden),
        std::tuple(size_t{kGate}, "g_b_proj", width, narrow),
        std::tuple(size_t{kDecayDown}, "f_a_proj", narrow, hidden),
        std::tuple(size_t{kDecay}, "f_b_proj", shape.decay_width(), narrow)}) {
    table.linear(first + place, std::string("self_attn.") + name, "", {rows, columns}, false);
  }
  table.linear(first + kO, "self_attn.o_proj", "", {hidden, width}, false,
               Initialization::normal_residual);
}

void add_projections(const ModelConfig& config, size_t first, SpecTable& table) {
  const DeltaShape shape = config.delta_net.shape();
  const int64_t hidden = config.hidden_size, keys = shape.key_width(), values = shape.value_width();
  const std::string in = "linear_attn.in_proj_";
  for (const auto& [place, name, gguf_name, rows] :
       {std::tuple(size_t{kQ}, "q", "", keys), std::tuple(size_t{kK}, "k", "", keys),
        std::tuple(size_t{kV}, "v", "", values),
        std::tuple(size_t{kGate}, "z", "attn_gate", values),
        std::tuple(size_t{kBeta}, "b", "ssm_beta", shape.value_heads),
        std::tuple(size_t{kDecay}, "a", "ssm_alpha", shape.decay_width())}) {
    table.linear(first + place, in + name, gguf_name, {rows, hidden}, false);
  }
  table.linear(first + kO, "linear_attn.out_proj", "ssm_out", {hidden, values}, false,
               Initialization::normal_residual);
}

/// The convolutions of queries, keys and values, which most files hold as one.
void add_convolutions(const DeltaNetConfig& net, DeltaNetFiles files, size_t first,
                      SpecTable& table) {
  const int64_t keys = net.shape().key_width(), values = net.shape().value_width();
  const bool apart = files == DeltaNetFiles::apart;
  for (const auto& [place, letter, begin, rows] :
       {std::tuple(size_t{kQTaps}, "q", int64_t{0}, keys),
        std::tuple(size_t{kKTaps}, "k", keys, keys),
        std::tuple(size_t{kVTaps}, "v", 2 * keys, values)}) {
    const std::string name = apart ? fmt::format("self_attn.{}_conv1d", letter)
                                   : std::string("linear_attn.conv1d.") + letter;
    TensorSpec& taps = table.add(first + place, true, name, apart ? "" : "ssm_conv1d",
                                 {rows, net.kernel}, Initialization::normal);
    taps.is_table = true;
    taps.std_dev = static_cast<float>(1 / std::sqrt(static_cast<double>(net.kernel)));
    taps.published_shape = {rows, 1, net.kernel};
    if (apart) continue;
    const int64_t all = 2 * keys + values;
    taps.published_shape = {all, 1, net.kernel};
    taps.packed_in = table.prefix + "linear_attn.conv1d.weight";
    taps.packed_rows = taps.gguf_rows = {1, begin, all};
  }
}

void add_decays(const DeltaNetConfig& net, DeltaNetFiles files, size_t first, SpecTable& table) {
  const bool apart = files == DeltaNetFiles::apart;
  const std::string in = apart ? "self_attn." : "linear_attn.";
  for (const auto& [place, name, gguf_name, width] :
       {std::tuple(size_t{kLogRate}, "A_log", "ssm_a", net.value_heads),
        std::tuple(size_t{kTimeBias}, "dt_bias", "ssm_dt.bias", net.shape().decay_width())}) {
    TensorSpec& spec =
        table.add(first + place, true, in + name, "", {width}, Initialization::zeros);
    spec.name = table.prefix + in + name;
    if (!apart) spec.gguf_name = table.gguf_prefix + gguf_name;
  }
  TensorSpec& rate = table.specs[first + kLogRate];
  rate.gguf_negative_exp = true;
  if (apart) rate.published_shape = {1, 1, net.value_heads, 1};
}

/// What becomes gates, betas and decays.
std::array<Value, 3> gates(Context& ctx, const LayerWeights& weights, size_t first,
                           const Value& h) {
  if (weights.find(first + kGateDown) == nullptr) {
    return ctx.linears<3>(h, {weights.linear(first + kGate), weights.linear(first + kBeta),
                              weights.linear(first + kDecay)});
  }
  auto [gate, beta, decay] =
      ctx.linears<3>(h, {weights.linear(first + kGateDown), weights.linear(first + kBeta),
                         weights.linear(first + kDecayDown)});
  return {ctx.linear(gate, weights.at(first + kGate)), beta,
          ctx.linear(decay, weights.at(first + kDecay))};
}

}  // namespace

Value delta_net(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  const ModelConfig& config = weights.model.config();
  const DeltaNetConfig& net = config.delta_net;
  const int64_t layer = config.attention_index(weights.index);
  const StateBegins begin(net);
  auto [q, k, v] = ctx.linears<3>(
      h, {weights.linear(first + kQ), weights.linear(first + kK), weights.linear(first + kV)});
  auto [gate, beta, decay] = gates(ctx, weights, first, h);
  auto mixed = [&](const Value& x, size_t place, int64_t at) {
    const Value y = ctx.causal_convolution({layer, at}, x, weights.at(first + place));
    return ctx.activate(y, config.activation);
  };
  const auto length = static_cast<float>(1 / std::sqrt(static_cast<double>(net.key_dim)));
  q = ctx.l2_norm(mixed(q, kQTaps, begin.q), net.key_dim, kLengthEps, length);
  k = ctx.l2_norm(mixed(k, kKTaps, begin.k), net.key_dim, kLengthEps, 1);
  v = mixed(v, kVTaps, begin.v);
  decay = ctx.decay(decay, weights.at(first + kLogRate), weights.at(first + kTimeBias));
  beta = ctx.activate(beta, Activation::sigmoid);
  Value seen = ctx.delta_rule({layer, begin.heads}, {q, k, v, decay, beta}, net.shape());
  seen = ctx.rms_norm(seen, weights.at(first + kNorm), config.norm_eps);
  const Activation of_gate = net.channel_decay ? Activation::sigmoid : Activation::silu;
  return ctx.linear(ctx.glu(of_gate, gate, seen), weights.at(first + kO));
}

void add_delta_net(const ModelConfig& config, DeltaNetFiles files, size_t first, SpecTable table) {
  if (delta_net_places(config) == 0) return;
  const DeltaNetConfig& net = config.delta_net;
  const bool apart = files == DeltaNetFiles::apart, by_kind = files == DeltaNetFiles::by_kind;
  table.layers = config.linear_layers;
  table.norm_offset = 0;
  if (apart) {
    add_apart(config, first, table);
  } else {
    add_projections(config, first, table);
    pack_by_kind(net.shape(), by_kind ? "linear_attn.in_proj_qkv" : "", first, table);
  }
  if (files == DeltaNetFiles::by_key_head) pack_by_key_head(net, first, table);
  add_convolutions(net, files, first, table);
  add_decays(net, files, first, table);
  table.norm(first + kNorm, apart ? "self_attn.o_norm" : "linear_attn.norm",
             apart ? "" : "ssm_norm", net.value_dim, false);
  if (by_kind) turn_heads(net, first, table);
}

size_t delta_net_places(const ModelConfig& config) {
  return config.delta_net.key_heads > 0 ? size_t{kPlaces} : size_t{0};
}

}  // namespace millrace
