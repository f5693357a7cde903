#include "millrace/data/span_corruption.h"

#include <algorithm>
#include <cmath>

#include "millrace/base/error.h"

namespace millrace {
namespace {

size_t rounded(double x) {
  return static_cast<size_t>(std::nearbyint(x));
}

/// Tokens to hide: some, and not all.
size_t count_noise_tokens(size_t length, double rate) {
  return std::clamp<size_t>(rounded(static_cast<double>(length) * rate), 1,
                            std::max<size_t>(length, 2) - 1);
}

/// Cuts `items` into `parts` that are not empty, each way with the same probability: of the places
/// between items, those are chosen where a part begins (Knuth's algorithm S).
std::vector<size_t> random_parts(size_t items, size_t parts, Random& random) {
  std::vector<size_t> lengths;
  size_t begin = 0;
  for (size_t place = 1; place < items; ++place) {
    const size_t missing = parts - 1 - lengths.size();
    if (random.below(items - place) >= missing) continue;
    lengths.push_back(place - begin);
    begin = place;
  }
  lengths.push_back(items - begin);
  return lengths;
}

}  // namespace

size_t count_noise_spans(size_t length, double rate, double mean_length) {
  if (length < 2) return length;
  const size_t noise = count_noise_tokens(length, rate);
  const size_t least = std::min(noise, length - noise);
  return std::clamp<size_t>(rounded(static_cast<double>(least) / mean_length), 1, least);
}

std::vector<TokenSpan> noise_spans(size_t length, double rate, double mean_length, Random& random) {
  if (length == 0) return {};
  if (length == 1) return {{0, 1}};
  const size_t noise = count_noise_tokens(length, rate);
  const size_t count = count_noise_spans(length, rate, mean_length);
  const std::vector<size_t> hidden = random_parts(noise, count, random);
  const std::vector<size_t> kept = random_parts(length - noise, count, random);
  std::vector<TokenSpan> spans;
  size_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = end + kept[i];
    end = begin + hidden[i];
    spans.push_back({begin, end});
  }
  return spans;
}

Example corrupted_spans(const FramedText& text, std::span<const TokenSpan> spans,
                        const SpanCorruptionTokens& tokens) {
  require(spans.size() <= tokens.sentinels.size(), "{} spans need more than {} sentinels",
          spans.size(), tokens.sentinels.size());
  // The end is there whether or not the text ends here.
  std::vector<int32_t> source =
      with_spans_marked({text.begin, text.body, {}}, spans, tokens.sentinels);
  std::vector<int32_t> target;
  for (size_t i = 0; i < spans.size(); ++i) {
    target.push_back(tokens.sentinels[i]);
    const auto span = text.body.subspan(spans[i].begin, spans[i].length());
    target.insert(target.end(), span.begin(), span.end());
  }
  if (tokens.end >= 0) {
    source.push_back(tokens.end);
    target.push_back(tokens.end);
  }
  return source_and_target(source, target, tokens.start);
}

}  // namespace millrace
