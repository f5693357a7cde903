#include "millrace/model/experts.h"

#include <cmath>

namespace millrace {
namespace {

/// Places behind the first.
enum : size_t {
  kRouter,
  kRouterBias,
  kSelectionBias,
  kRouterNorm,
  kExpertScale,
  kSharedGate,
  kSharedGateBias,  // no model has one
  kShared,
  kExpert = kShared + feed_forward_place::kCount
};

/// A sigmoid is a router over one expert.
constexpr Routing kSigmoid = {.num_experts = 1, .score = RouterScore::sigmoid};

std::string with_index(std::string name, int64_t index) {
  return name.replace(name.find("{}"), 2, std::to_string(index));
}

/// Where an expert's tensors lie in files that stack those of all.
struct Stack {
  SpecTable& table;
  int64_t expert, num_experts;

  RowPart slice() const {
    RowPart part;
    part.slice = expert;
    part.slices = num_experts;
    return part;
  }
  void in_gguf(size_t first) const {
    for (size_t place = first; place < first + feed_forward_place::kCount; ++place) {
      table.specs[place].gguf_rows = slice();
      table.specs[place].of_expert = true;
    }
  }
  /// A matrix, turned, and its bias.
  void in_hugging_face(size_t place, const std::string& name, const RowPart& part) const {
    table.specs[place].packed_in = table.prefix + name;
    table.specs[place].transposed = true;
    table.specs[place + 1].packed_in = table.prefix + name + "_bias";
    table.specs[place].packed_rows = table.specs[place + 1].packed_rows = part;
  }
  void in_hugging_face(size_t first, const std::string& prefix,
                       const FeedForwardNames& parts) const {
    for (size_t i = 0; i < parts.size(); ++i) {
      table.pack(first + 2 * i, prefix + parts[i], slice(), "", {});
    }
  }
  /// Rows [begin, begin + inner) of `rows`, in stacks of the same form in both layouts.
  void as_used(size_t place, const std::string& name, const std::string& gguf_name, int64_t begin,
               int64_t rows) const {
    TensorSpec& spec = table.specs[place];
    spec.packed_in = table.prefix + name;
    spec.gguf_name = table.gguf_prefix + gguf_name + ".weight";
    spec.packed_rows = slice();
    spec.packed_rows.begin = begin;
    spec.packed_rows.group_rows = rows;
    spec.gguf_rows = spec.packed_rows;
  }
  void as_used(size_t first, const ExpertNames& names, int64_t inner, int64_t hidden) const {
    using namespace feed_forward_place;
    as_used(first + kGate, names.stacked_gate_up, "ffn_gate_up_exps", 0, 2 * inner);
    as_used(first + kUp, names.stacked_gate_up, "ffn_gate_up_exps", inner, 2 * inner);
    as_used(first + kDown, names.stacked_down, "ffn_down_exps", 0, hidden);
  }
  void in_hugging_face(size_t first, const ExpertNames& names, int64_t inner) const {
    RowPart part = slice();
    in_hugging_face(first + feed_forward_place::kDown, names.stacked_down, part);
    part.groups = inner;
    part.group_rows = 2;
    in_hugging_face(first + feed_forward_place::kGate, names.stacked_gate_up, part);
    part.begin = 1;
    in_hugging_face(first + feed_forward_place::kUp, names.stacked_gate_up, part);
  }
};

}  // namespace

Value experts(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
              const Value& routed_by) {
  const ModelConfig& model = weights.model.config();
  const ExpertsConfig& config = model.experts;
  const Routing& how = config.routing;
  Value read = routed_by;
  if (const Parameter* norm = weights.find(first + kRouterNorm)) {
    read = ctx.scale(ctx.rms_norm(read, *norm, model.norm_eps),
                     1 / std::sqrt(static_cast<float>(model.hidden_size)));
  }
  Value logits = ctx.linear(read, weights.at(first + kRouter), weights.find(first + kRouterBias));
  Routed routed = ctx.route(logits, how, weights.find(first + kSelectionBias));
  if (const Parameter* scales = weights.find(first + kExpertScale)) {
    routed = ctx.scale_choices(routed, *scales);
  }
  Value sum = ctx.zeros(h.rows(), h.width());
  for (int64_t e = 0; e < how.num_experts; ++e) {
    const std::span<const int64_t> rows = routed.dispatch.rows_of(e);
    if (rows.empty()) continue;
    const size_t expert = first + kExpert + static_cast<size_t>(e) * feed_forward_place::kCount;
    ctx.set_rows(rows);
    Value y = feed_forward(ctx, weights, expert, ctx.gather_rows(h, rows), true);
    sum = ctx.add_expert(sum, y, routed, e);
  }
  ctx.set_rows({});
  if (config.shared_intermediate_size == 0) return sum;
  Value shared = feed_forward(ctx, weights, first + kShared, h);
  if (!config.shared_gate) return ctx.add(sum, shared);
  logits = ctx.linear(h, weights.at(first + kSharedGate));
  return ctx.add_expert(sum, shared, ctx.route(logits, kSigmoid), 0);
}

void add_experts(const ModelConfig& config, const ExpertNames& names, size_t first,
                 SpecTable table) {
  const ExpertsConfig& c = config.experts;
  const int64_t count = c.routing.num_experts, hidden = config.hidden_size;
  if (count == 0) return;
  table.layers = c.layers;
  table.linear(first + kRouter, names.router, "ffn_gate_inp", {count, hidden}, names.router_bias);
  table.specs[first + kRouter].in_f32 = true;
  for (const auto& [place, name, gguf_name, width] :
       {std::tuple(size_t{kRouterNorm}, &names.router_norm, "ffn_gate_inp.scale", hidden),
        std::tuple(size_t{kExpertScale}, &names.expert_scale, "ffn_down_exps.scale", count)}) {
    TensorSpec& spec = table.add(first + place, true, *name, "", {width}, Initialization::ones);
    if (spec.shape.rank() == 0) continue;
    spec.name = table.prefix + *name;
    spec.gguf_name = table.gguf_prefix + gguf_name;
    spec.offset = 0;
  }
  TensorSpec& bias = table.add(first + kSelectionBias, true, names.selection_bias, "exp_probs_b",
                               {count}, Initialization::zeros);
  if (bias.shape.rank() > 0) bias.name = table.prefix + names.selection_bias;
  if (names.stacked_selection_bias) bias.packed_rows.slices = 1;
  auto parts_behind = [&](const std::string& prefix, FeedForwardNames parts) {
    for (std::string& part : parts) {
      if (!part.empty()) part = prefix + part;
    }
    return parts;
  };
  if (c.shared_intermediate_size > 0) {
    table.add(first + kSharedGate, c.shared_gate, names.shared_gate, "ffn_gate_inp_shexp",
              {1, hidden}, Initialization::normal);
    add_feed_forward(config, parts_behind(names.shared, names.shared_parts), "ffn_{}_shexp",
                     c.shared_intermediate_size, config.mlp_bias, first + kShared, table);
  }
  const bool stacked = names.expert.find("{}") == std::string::npos;
  const std::string expert = stacked ? names.expert + "{}." : names.expert;
  for (int64_t e = 0; e < count; ++e) {
    const size_t place = first + kExpert + static_cast<size_t>(e) * feed_forward_place::kCount;
    add_feed_forward(config, parts_behind(with_index(expert, e), names.parts), "ffn_{}_exps",
                     c.intermediate_size, config.mlp_bias, place, table);
    const Stack stack{table, e, count};
    stack.in_gguf(place);
    if (stacked) stack.in_hugging_face(place, names.expert, names.parts);
    if (names.stacks_as_used) {
      stack.as_used(place, names, c.intermediate_size, hidden);
    } else if (!names.stacked_down.empty()) {
      stack.in_hugging_face(place, names, c.intermediate_size);
    }
  }
}

}  // namespace millrace
