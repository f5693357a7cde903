#include "millrace/generate/rerank.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// Shortens the longer of two, then both, until they have `most` together.
void cut_longest_first(std::vector<int32_t>& a, std::vector<int32_t>& b, size_t most) {
  if (a.size() + b.size() <= most) return;
  const bool swapped = a.size() > b.size();
  std::vector<int32_t>&less = swapped ? b : a, &more = swapped ? a : b;
  const size_t half = most / 2;
  const size_t kept = std::min(less.size(), half);
  less.resize(kept);
  more.resize(std::min(more.size(), most - kept));
}

std::vector<float> cosines(const LanguageModel& model, std::string_view query,
                           std::span<const std::string> documents,
                           const std::function<void(int64_t)>& on_done) {
  std::vector<std::vector<int32_t>> texts = {embedding_ids(model, "", query)};
  for (const std::string& document : documents) {
    texts.push_back(embedding_ids(model, "", document));
  }
  const auto vectors = embed_all(model, texts, on_done);
  std::vector<float> scores;
  for (size_t i = 1; i < vectors.size(); ++i) scores.push_back(cosine(vectors[0], vectors[i]));
  return scores;
}

}  // namespace

bool is_cross_encoder(const LanguageModel& model) {
  return model.model->config().labels.size() == 1;
}

TextPair encode_pair(const LanguageModel& model, std::string_view query,
                     std::string_view document) {
  const std::vector<int32_t>&begin = model.tokenizer.definition().prefix,
        &end = model.tokenizer.definition().suffix;
  auto encode = [&](std::string_view text) {
    return model.tokenizer.encode(text, {.add_special = false});
  };
  std::vector<int32_t> first = encode(query), second = encode(document);
  // Types tell the two apart; without, as in RoBERTa, a second end does.
  const bool typed = model.model->config().num_token_types > 1;
  const size_t around = begin.size() + (typed ? 2 : 3) * end.size();
  const auto most = static_cast<size_t>(most_tokens(model));
  require(most > around, "the model reads {} tokens at once, which is too few for two texts", most);
  cut_longest_first(first, second, most - around);
  TextPair pair{begin, {}};
  auto append = [&](const std::vector<int32_t>& ids) {
    pair.ids.insert(pair.ids.end(), ids.begin(), ids.end());
  };
  append(first);
  append(end);
  pair.types.resize(pair.ids.size(), 0);
  if (!typed) append(end);
  append(second);
  append(end);
  pair.types.resize(pair.ids.size(), typed ? 1 : 0);
  return pair;
}

std::vector<float> score_pairs(const LanguageModel& model, std::span<const TextPair> pairs,
                               Workspace& workspace) {
  require(is_cross_encoder(model), "the model is no classifier of one label");
  RaggedBatch batch;
  for (const TextPair& pair : pairs) batch.add_sequence(pair.ids, 0, pair.types);
  EvaluatingContext context(batch, model.model->cache_dtype(), workspace);
  context.set_adapter(model.adapter_map());
  const std::span<const int64_t> begins(batch.sequence_begin);
  const Value all = logits(context, *model.model, begins.first(pairs.size()));
  std::vector<float> scores(all.data.f32().begin(), all.data.f32().end());
  for (float& score : scores) {
    require(std::isfinite(score), "the model's logits are not finite numbers");
    if (!model.embedding.sigmoid_scores) continue;
    score = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(score))));
  }
  return scores;
}

std::vector<float> rerank(const LanguageModel& model, std::string_view query,
                          std::span<const std::string> documents,
                          const std::function<void(int64_t)>& on_done) {
  if (!is_cross_encoder(model)) return cosines(model, query, documents, on_done);
  std::vector<TextPair> pairs;
  std::vector<std::vector<int32_t>> lengths;
  for (const std::string& document : documents) {
    pairs.push_back(encode_pair(model, query, document));
    lengths.push_back(pairs.back().ids);
  }
  std::vector<float> scores(documents.size());
  Workspace workspace;
  int64_t done = 0;
  for_each_batch(lengths, [&](std::span<const size_t> places) {
    std::vector<TextPair> some;
    for (size_t i : places) some.push_back(pairs[i]);
    const std::vector<float> part = score_pairs(model, some, workspace);
    for (size_t i = 0; i < places.size(); ++i) scores[places[i]] = part[i];
    done += static_cast<int64_t>(places.size());
    if (on_done) on_done(done);
  });
  return scores;
}

std::vector<size_t> ranking(std::span<const float> scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

}  // namespace millrace
