#include "millrace/generate/embedding.h"

#include <cmath>

#include "millrace/base/error.h"

namespace millrace {
namespace {

void normalise(std::vector<float>& vector) {
  double sum = 0;
  for (float x : vector) sum += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::sqrt(sum);
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

}  // namespace

std::vector<std::vector<float>> embed(const Model& model,
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
    result.push_back(mean(numbers.subspan(begin, texts[i].size() * hidden), hidden));
    normalise(result.back());
  }
  return result;
}

void shorten(std::vector<float>& embedding, size_t dimensions) {
  if (dimensions >= embedding.size()) return;
  embedding.resize(dimensions);
  normalise(embedding);
}

float cosine(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<float>(sum);
}

}  // namespace millrace
