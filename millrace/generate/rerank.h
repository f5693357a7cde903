// How well documents answer a query: by a cross-encoder, which reads both at once, or by the
// cosine of embeddings.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/embedding.h"

namespace millrace {

/// Whether the model is a cross-encoder: a classifier of texts with one label.
bool is_cross_encoder(const LanguageModel& model);

/// A query and a document side by side: ids, and which of the two each is of. Both are cut, the
/// longer one first, to most_tokens.
struct TextPair {
  std::vector<int32_t> ids, types;
};
TextPair encode_pair(const LanguageModel& model, std::string_view query, std::string_view document);

/// A cross-encoder's score of each pair: the logit of its one label, or the probability that it
/// makes. All run as one batch, and none depends on the others.
std::vector<float> score_pairs(const LanguageModel& model, std::span<const TextPair> pairs,
                               Workspace& workspace);

/// The score of each document. `on_done` hears how many are done.
std::vector<float> rerank(const LanguageModel& model, std::string_view query,
                          std::span<const std::string> documents,
                          const std::function<void(int64_t done)>& on_done = {});

/// Places of scores, the highest first, in their order where they are equal.
std::vector<size_t> ranking(std::span<const float> scores);

}  // namespace millrace
