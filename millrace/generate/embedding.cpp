#include "millrace/generate/embedding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// Enough to fill the products, few enough that activations stay small.
constexpr size_t kTokensPerBatch = 4096;

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

void normalise(std::vector<float>& vector) {
  const double length = std::sqrt(dot(vector, vector));
  require(std::isfinite(length), "the model's hidden states are not finite numbers");
  if (length == 0) return;
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
}

/// `rows` are rows of [hidden] one after another.
std::vector<float> mean(std::span<const float> rows, size_t hidden) {
  std::vector<double> sum(hidden);
  for (size_t i = 0; i < rows.size(); ++i) sum[i % hidden] += static_cast<double>(rows[i]);
  const auto count = static_cast<double>(rows.size() / hidden);
  std::vector<float> result;
  for (double x : sum) result.push_back(static_cast<float>(x / count));
  return result;
}

std::vector<float> pooled(Pooling pooling, std::span<const float> rows, size_t hidden) {
  if (pooling == Pooling::mean) return mean(rows, hidden);
  const auto row = pooling == Pooling::last_token ? rows.last(hidden) : rows.first(hidden);
  std::vector<float> result(row.begin(), row.end());
  if (pooling != Pooling::max) return result;
  for (size_t i = hidden; i < rows.size(); ++i) {
    result[i % hidden] = std::max(result[i % hidden], rows[i]);
  }
  return result;
}

}  // namespace

int64_t most_tokens(const LanguageModel& model) {
  const int64_t context = model.model->config().max_position_embeddings;
  return model.embedding.max_tokens > 0 ? std::min(model.embedding.max_tokens, context) : context;
}

std::vector<int32_t> embedding_ids(const LanguageModel& model, std::string_view prompt,
                                   std::string_view text) {
  std::vector<int32_t> ids = model.tokenizer.encode(std::string(prompt) + std::string(text));
  const std::vector<int32_t>& end = model.tokenizer.definition().suffix;
  const auto most = static_cast<size_t>(most_tokens(model));
  if (ids.size() <= most || most <= end.size()) return ids;
  ids.resize(most - end.size());
  ids.insert(ids.end(), end.begin(), end.end());
  return ids;
}

std::vector<std::vector<float>> embed(const Model& model, const EmbeddingSettings& settings,
                                      std::span<const std::vector<int32_t>> texts,
                                      const LowRankMap* adapter, Workspace& workspace) {
  RaggedBatch batch;
  for (const std::vector<int32_t>& text : texts) {
    require(!text.empty(), "a text to embed has no tokens");
    batch.add_sequence(text);
  }
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  context.set_adapter(adapter);
  const Value states = model.family().forward(context, model);
  const auto hidden = static_cast<size_t>(states.width());
  const std::span<const float> numbers = states.data.f32();
  std::vector<std::vector<float>> result;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto begin = static_cast<size_t>(batch.sequence_begin[i]) * hidden;
    result.push_back(
        pooled(settings.pooling, numbers.subspan(begin, texts[i].size() * hidden), hidden));
    if (settings.normalise) normalise(result.back());
  }
  return result;
}

void for_each_batch(std::span<const std::vector<int32_t>> texts,
                    const std::function<void(std::span<const size_t> places)>& run) {
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return texts[a].size() < texts[b].size(); });
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    size_t tokens = 0;
    while (end < order.size() &&
           (end == begin || tokens + texts[order[end]].size() <= kTokensPerBatch)) {
      tokens += texts[order[end++]].size();
    }
    run(std::span(order).subspan(begin, end - begin));
  }
}

std::vector<std::vector<float>> embed_all(const LanguageModel& model,
                                          std::span<const std::vector<int32_t>> texts,
                                          const std::function<void(int64_t done)>& on_done) {
  for (size_t i = 0; i < texts.size(); ++i) {
    require(!texts[i].empty(), "text {} of {} has no tokens", i + 1, texts.size());
  }
  std::vector<std::vector<float>> result(texts.size());
  Workspace workspace;
  int64_t done = 0;
  for_each_batch(texts, [&](std::span<const size_t> places) {
    std::vector<std::vector<int32_t>> some;
    for (size_t i : places) some.push_back(texts[i]);
    auto vectors = embed(*model.model, model.embedding, some, model.adapter_map(), workspace);
    for (size_t i = 0; i < places.size(); ++i) result[places[i]] = std::move(vectors[i]);
    done += static_cast<int64_t>(places.size());
    if (on_done) on_done(done);
  });
  return result;
}

void shorten(std::vector<float>& embedding, size_t dimensions) {
  if (dimensions >= embedding.size()) return;
  embedding.resize(dimensions);
  normalise(embedding);
}

float cosine(std::span<const float> a, std::span<const float> b) {
  const double lengths = std::sqrt(dot(a, a)) * std::sqrt(dot(b, b));
  return lengths > 0 ? static_cast<float>(dot(a, b) / lengths) : 0;
}

}  // namespace millrace
