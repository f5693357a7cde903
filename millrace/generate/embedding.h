// Texts as vectors: what a model makes of them, for search and comparison.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/language_model.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"

namespace millrace {

/// Tokens of a text that the model reads, those around it included.
int64_t most_tokens(const LanguageModel& model);

/// The token ids of a text behind `prompt`, cut to most_tokens.
std::vector<int32_t> embedding_ids(const LanguageModel& model, std::string_view prompt,
                                   std::string_view text);

/// For each text the final hidden states of its tokens, pooled and normalised as the settings say:
/// [hidden_size]. All run as one batch, and none depends on the others. Texts must not be empty.
/// `adapter` may be null.
std::vector<std::vector<float>> embed(const Model& model, const EmbeddingSettings& settings,
                                      std::span<const std::vector<int32_t>> texts,
                                      const LowRankMap* adapter, Workspace& workspace);

/// The same of any number of texts, those of like length in batches of some thousand tokens.
/// `on_done` hears how many are done. Throws Error that says which text has no tokens.
std::vector<std::vector<float>> embed_all(const LanguageModel& model,
                                          std::span<const std::vector<int32_t>> texts,
                                          const std::function<void(int64_t done)>& on_done = {});

/// Texts in the order of their lengths, in batches of at most some thousand tokens or one text:
/// calls run(their places) for each.
void for_each_batch(std::span<const std::vector<int32_t>> texts,
                    const std::function<void(std::span<const size_t> places)>& run);

/// The first `dimensions` numbers, brought to length 1 (Kusupati et al. 2022).
void shorten(std::vector<float>& embedding, size_t dimensions);

/// The cosine of the angle between two embeddings, 0 where one is 0.
float cosine(std::span<const float> a, std::span<const float> b);

}  // namespace millrace
