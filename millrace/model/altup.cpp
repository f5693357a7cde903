#include "millrace/model/altup.h"

#include <cmath>
#include <functional>

namespace millrace {
namespace {

/// Places behind the first, in a layer. None has a bias.
enum : size_t {
  kPredict,
  kPredictBias,
  kCorrect,
  kCorrectBias,
  kRouter,
  kRouterBias,
  kRouterNorm,
  kScale,
  kLaurelDown,
  kLaurelDownBias,
  kLaurelUp,
  kLaurelUpBias,
  kLaurelNorm,
  kPlaces
};

/// The least magnitude that a projection is divided by.
const float kLeast = std::sqrt(1e-5f);

/// Places behind the first, outside of layers: projections of each stream but the first, at the
/// beginning, then those at the end.
size_t spreading(int64_t stream) {
  return static_cast<size_t>(stream) - 1;
}
size_t merging(const ModelConfig& config, int64_t stream) {
  return static_cast<size_t>(config.altup.streams + stream) - 2;
}

/// How a stream directs the mixing: numbers between -1 and 1 [tokens, streams].
Value modalities(Context& ctx, const LayerWeights& weights, size_t first, const Value& x) {
  const ModelConfig& config = weights.model.config();
  const Value normal = ctx.rms_norm(x, weights.at(first + kRouterNorm), config.norm_eps);
  const Value scaled = ctx.scale(normal, 1 / static_cast<float>(config.hidden_size));
  return ctx.activate(ctx.linear(scaled, weights.at(first + kRouter)), Activation::tanh);
}

}  // namespace

Value altup_stream(Context& ctx, const ModelConfig& config, const Value& streams, int64_t i) {
  return ctx.columns(streams, i * config.hidden_size, (i + 1) * config.hidden_size);
}

Value altup_spread(Context& ctx, const Model& model, size_t first, const Value& embeddings) {
  const ModelConfig& config = model.config();
  const int64_t hidden = config.hidden_size, count = config.altup.streams;
  Value streams = ctx.zeros(embeddings.rows(), count * hidden);
  streams = ctx.with_columns(streams, 0, embeddings);
  for (int64_t i = 1; i < count; ++i) {
    const Value projected = ctx.linear(embeddings, *model.outer(first + spreading(i)));
    streams =
        ctx.with_columns(streams, i * hidden, ctx.with_magnitude(projected, embeddings, kLeast));
  }
  return streams;
}

Value altup_merge(Context& ctx, const Model& model, size_t first, const Value& streams) {
  const ModelConfig& config = model.config();
  const Value own = altup_stream(ctx, config, streams, 0);
  Value sum = own;
  for (int64_t i = 1; i < config.altup.streams; ++i) {
    const Value projected =
        ctx.linear(altup_stream(ctx, config, streams, i), *model.outer(first + merging(config, i)));
    sum = ctx.add(sum, ctx.with_magnitude(projected, own, kLeast));
  }
  return ctx.scale(sum, 1 / static_cast<float>(config.altup.streams));
}

Value altup_predict(Context& ctx, const LayerWeights& weights, size_t first, const Value& streams) {
  const ModelConfig& config = weights.model.config();
  const Value active = altup_stream(ctx, config, streams, config.altup.active);
  const Value coefficients =
      ctx.linear(modalities(ctx, weights, first, active), weights.at(first + kPredict));
  return ctx.add(ctx.mix(streams, config.hidden_size, coefficients, 0), streams);
}

Value altup_correct(Context& ctx, const LayerWeights& weights, size_t first,
                    const Value& predictions, const Value& y) {
  const ModelConfig& config = weights.model.config();
  const Value predicted = altup_stream(ctx, config, predictions, config.altup.active);
  const Value innovation = ctx.add(y, ctx.scale(predicted, -1));
  const Value coefficients =
      ctx.linear(modalities(ctx, weights, first, y), weights.at(first + kCorrect));
  return ctx.add(ctx.mix(innovation, config.hidden_size, coefficients, 1), predictions);
}

Value altup_scaled(Context& ctx, const LayerWeights& weights, size_t first, const Value& streams) {
  const ModelConfig& config = weights.model.config();
  const Value active = altup_stream(ctx, config, streams, config.altup.active);
  return config.altup.scaled ? ctx.scale_columns(active, weights.at(first + kScale)) : active;
}

Value altup_add(Context& ctx, const ModelConfig& config, const Value& streams,
                const Value& addition) {
  Value all = ctx.zeros(streams.rows(), streams.width());
  for (int64_t i = 1; i < config.altup.streams; ++i) {
    all = ctx.with_columns(all, i * config.hidden_size, addition);
  }
  return ctx.add(streams, all);
}

Value laurel(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  const Value low = ctx.linear(h, weights.at(first + kLaurelDown));
  const Value y = ctx.linear(low, weights.at(first + kLaurelUp));
  return ctx.add(h,
                 ctx.rms_norm(y, weights.at(first + kLaurelNorm), weights.model.config().norm_eps));
}

void add_altup(const ModelConfig& config, size_t first_outer, SpecTable outer, size_t first,
               SpecTable layer) {
  const AltUpConfig& c = config.altup;
  const int64_t hidden = config.hidden_size, count = c.streams;
  if (count == 0) return;
  using enum Initialization;
  outer.prefix = "model.";
  for (int64_t i = 1; i < count; ++i) {
    for (const auto& [place, name, gguf_name] :
         {std::tuple(spreading(i), "altup_projections.{}", "altup_proj"),
          std::tuple(merging(config, i), "altup_unembed_projections.{}", "altup_unembd_proj")}) {
      TensorSpec& spec =
          outer.add(first_outer + place, true, fmt::format(fmt::runtime(name), i - 1), gguf_name,
                    {hidden, hidden}, normal);
      spec.gguf_rows.slice = i - 1;
      spec.gguf_rows.slices = count - 1;
    }
  }
  layer.linear(first + kPredict, "altup.prediction_coefs", "altup_predict_coef",
               {count * count, count}, false);
  layer.linear(first + kCorrect, "altup.correction_coefs", "altup_correct_coef", {count, count},
               false);
  layer.linear(first + kRouter, "altup.modality_router", "altup_router", {count, hidden}, false);
  for (size_t place : {kPredict, kCorrect, kRouter}) layer.specs[first + place].in_f32 = true;
  layer.norm(first + kRouterNorm, "altup.router_norm", "altup_router_norm", hidden, false);
  layer.norm(first + kScale, "altup.correct_output_scale", "altup_correct_scale", hidden, false);
  layer.specs[first + kScale].name = layer.prefix + "altup.correct_output_scale";
  layer.linear(first + kLaurelDown, "laurel.linear_left", "laurel_l", {c.laurel_rank, hidden},
               false);
  layer.linear(first + kLaurelUp, "laurel.linear_right", "laurel_r", {hidden, c.laurel_rank},
               false);
  layer.norm(first + kLaurelNorm, "laurel.post_laurel_norm", "laurel_post_norm", hidden, false);
}

size_t altup_places(const ModelConfig& config) {
  return config.altup.streams == 0 ? size_t{0} : size_t{kPlaces};
}

}  // namespace millrace
