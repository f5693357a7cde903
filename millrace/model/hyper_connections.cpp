#include "millrace/model/hyper_connections.h"

namespace millrace {
namespace {

/// Places behind the first.
enum : size_t { kMatrix, kBase, kScale };

/// A reader's tensors.
struct Reader {
  const Parameter &matrix, &base, &scale;
};

/// Gates [tokens, as many as the matrix has rows] of the streams, between 0 and 1.
Value gates(Context& ctx, const ModelConfig& config, const Reader& reader, const Value& streams) {
  const Value normed = ctx.unit_norm(streams, streams.width(), config.norm_eps);
  const Value mixed = ctx.linear(normed, reader.matrix);
  return ctx.activate(ctx.scale_and_shift(mixed, reader.scale, reader.base), Activation::sigmoid);
}

/// x's runs times weights + epsilon.
Value weighed(Context& ctx, const Value& x, const Value& weights, float epsilon) {
  return ctx.add(ctx.weigh_runs(x, weights), ctx.scale(x, epsilon));
}

}  // namespace

StreamsRead read_streams(Context& ctx, const LayerWeights& weights, size_t first,
                         const Value& streams) {
  const ModelConfig& config = weights.model.config();
  const int64_t n = config.streams.count;
  const Value all =
      gates(ctx, config,
            {weights.at(first + kMatrix), weights.at(first + kBase), weights.at(first + kScale)},
            streams);
  const Value read = weighed(ctx, streams, ctx.columns(all, 0, n), config.streams.epsilon);
  return {ctx.sum_runs(read, n), ctx.columns(all, n, 2 * n)};
}

Value add_to_streams(Context& ctx, const ModelConfig& config, const Value& streams,
                     const Value& takes, const Value& output) {
  const Value each = ctx.repeat_runs(output, config.streams.count);
  return ctx.add(streams, weighed(ctx, each, ctx.scale(takes, config.streams.magnitude),
                                  config.streams.epsilon));
}

Value last_of_streams(Context& ctx, const Model& model, size_t first, const Value& streams) {
  const ModelConfig& config = model.config();
  const Value all = gates(
      ctx, config,
      {*model.outer(first + kMatrix), *model.outer(first + kBase), *model.outer(first + kScale)},
      streams);
  return ctx.sum_runs(weighed(ctx, streams, all, config.streams.epsilon), config.streams.count);
}

void add_streams(const ModelConfig& config, const std::string& name, int64_t gates, size_t first,
                 SpecTable& table) {
  const int64_t n = config.streams.count;
  if (n == 0) return;
  auto add = [&](size_t place, const char* end, Shape shape, Initialization initialization) {
    TensorSpec& spec = table.add(first + place, true, name + end, "", shape, initialization);
    spec.name = table.prefix + name + end;
    spec.in_f32 = true;
    spec.offset = 0;
  };
  add(kMatrix, "_fn", {gates * n, n * config.hidden_size}, Initialization::normal);
  add(kBase, "_base", {gates * n}, Initialization::zeros);
  add(kScale, "_scale", {gates}, Initialization::ones);
}

}  // namespace millrace
