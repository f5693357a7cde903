// Hyper-connections (Zhu et al. 2025) as Hy4 has them (Tencent 2026): the residual is several
// streams. What reads it reads their weighted sum, and adds to each a part of what it gives.
#pragma once

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// How many tensors read them.
inline constexpr size_t kStreamPlaces = 3;

/// What was read of streams [tokens, n · hidden], and how much each of them takes of what comes of
/// it, [tokens, n], but for the configuration's magnitude and epsilon.
struct StreamsRead {
  Value sum, takes;
};

/// The tensors are those from place `first` on.
StreamsRead read_streams(Context& ctx, const LayerWeights& weights, size_t first,
                         const Value& streams);
/// The streams with the output [tokens, hidden] added to each.
Value add_to_streams(Context& ctx, const ModelConfig& config, const Value& streams,
                     const Value& takes, const Value& output);
/// What the model's head reads of them, by the tensors outside of layers from place `first` on.
Value last_of_streams(Context& ctx, const Model& model, size_t first, const Value& streams);

/// Adds the tensors of one reader to the table, from place `first` on, `gates` of them for each
/// stream. Their names are `name` with _fn, _base and _scale.
void add_streams(const ModelConfig& config, const std::string& name, int64_t gates, size_t first,
                 SpecTable& table);

}  // namespace millrace
