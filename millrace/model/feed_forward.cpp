#include "millrace/model/feed_forward.h"

namespace millrace {

using namespace feed_forward_place;

Value feed_forward(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
                   bool of_expert) {
  const ModelConfig& config = weights.model.config();
  Value inner;
  if (weights.find(first + kGate)) {
    auto [gate, up] =
        ctx.linears<2>(h, {weights.linear(first + kGate), weights.linear(first + kUp)});
    if (const auto deviations = config.gate_deviations(weights.index)) {
      gate = ctx.outliers(gate, *deviations);
    }
    const std::optional<ClampedGlu> clamped = config.glu_of(weights.index, of_expert);
    inner = clamped ? ctx.clamped_glu(*clamped, gate, up) : ctx.glu(config.activation, gate, up);
  } else {
    const auto [up, bias] = weights.linear(first + kUp);
    inner = ctx.activate(ctx.linear(h, up, bias), config.activation);
  }
  return ctx.linear(inner, weights.at(first + kDown), weights.find(first + kDownBias));
}

void add_feed_forward(const ModelConfig& config, const FeedForwardNames& names,
                      std::string_view gguf_name, int64_t inner, bool biased, size_t first,
                      SpecTable& table) {
  const int64_t hidden = config.hidden_size;
  auto in_gguf = [&](const char* part) { return fmt::format(fmt::runtime(gguf_name), part); };
  const auto& [gate, up, down] = names;
  table.linear(first + kGate, gate, in_gguf("gate"), {inner, hidden}, biased && !gate.empty());
  table.linear(first + kUp, up, in_gguf("up"), {inner, hidden}, biased);
  table.linear(first + kDown, down, in_gguf("down"), {hidden, inner}, biased,
               Initialization::normal_residual);
}

}  // namespace millrace
