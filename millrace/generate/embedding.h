// Texts as vectors: what a model makes of them, for search and comparison.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"

namespace millrace {

/// For each text the mean of its tokens' final hidden states, brought to length 1: [hidden_size].
/// All run as one batch, and none depends on the others. Texts must not be empty. `adapter` may be
/// null.
std::vector<std::vector<float>> embed(const Model& model,
                                      std::span<const std::vector<int32_t>> texts,
                                      const LowRankMap* adapter, Workspace& workspace);

/// The first `dimensions` numbers, brought to length 1 again (Kusupati et al. 2022).
void shorten(std::vector<float>& embedding, size_t dimensions);

/// Of two embeddings of length 1.
float cosine(std::span<const float> a, std::span<const float> b);

}  // namespace millrace
