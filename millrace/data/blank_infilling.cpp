#include "millrace/data/blank_infilling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

namespace millrace {
namespace {

constexpr size_t kLongestSpan = 39;

/// Poisson, of 1 … kLongestSpan tokens.
size_t span_length(double mean, Random& random) {
  std::array<double, kLongestSpan> weights;
  double weight = 1, sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    weight *= mean / static_cast<double>(i + 1);
    sum += weights[i] = weight;
  }
  double place = random.uniform() * sum;
  size_t length = 1;
  while (length < kLongestSpan && place >= weights[length - 1]) place -= weights[length++ - 1];
  return length;
}

bool ends_sentence(std::string_view token) {
  for (std::string_view mark : {".", "?", "!", ";", ":", "\n", "。", "？", "！", "；", "："}) {
    if (token.find(mark) != std::string_view::npos) return true;
  }
  return false;
}

std::vector<TokenSpan> sentences_of(std::span<const int32_t> text, const Tokenizer& tokenizer) {
  std::vector<TokenSpan> sentences;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i + 1 < text.size() && !ends_sentence(tokenizer.token_bytes(text[i]))) continue;
    sentences.push_back({begin, i + 1});
    begin = i + 1;
  }
  return sentences;
}

void sort(std::vector<TokenSpan>& spans) {
  std::ranges::sort(spans, {}, &TokenSpan::begin);
}

}  // namespace

size_t count_blank_tokens(size_t length, double rate) {
  return std::max<size_t>(static_cast<size_t>(rate * static_cast<double>(length)), 1);
}

std::vector<TokenSpan> blank_spans(size_t length, double rate, double mean_length, Random& random) {
  const size_t wanted = count_blank_tokens(length, rate);
  std::vector<size_t> lengths;
  size_t hidden = 0;
  // A token at least stays between two spans.
  while (hidden < wanted && hidden + lengths.size() < length) {
    lengths.push_back(std::min(span_length(mean_length, random), length - hidden - lengths.size()));
    hidden += lengths.back();
  }
  if (lengths.empty()) return {};
  const size_t free = length - hidden - (lengths.size() - 1);
  std::vector<size_t> places;
  for (size_t i = 0; i < lengths.size(); ++i) places.push_back(random.below(free + 1));
  std::ranges::sort(places);
  std::vector<TokenSpan> spans;
  size_t before = 0;  // spans and what is between them
  for (size_t i = 0; i < lengths.size(); ++i) {
    spans.push_back({before + places[i], before + places[i] + lengths[i]});
    before += lengths[i] + 1;
  }
  return spans;
}

std::vector<TokenSpan> blank_sentences(std::span<const int32_t> text, const Tokenizer& tokenizer,
                                       double rate, Random& random) {
  std::vector<TokenSpan> sentences = sentences_of(text, tokenizer);
  shuffle(sentences, random);
  const size_t wanted = count_blank_tokens(text.size(), rate);
  size_t hidden = 0, count = 0;
  while (count < sentences.size() && hidden < wanted) hidden += sentences[count++].length();
  sentences.resize(count);
  sort(sentences);
  return sentences;
}

TokenSpan blank_document(size_t length, Random& random) {
  const size_t least = (length + 1) / 2;
  const size_t hidden = least + random.below(length - least + 1);
  const bool last = random.below(2) == 0;
  const size_t begin = last ? length - hidden : random.below(length - hidden + 1);
  return {begin, begin + hidden};
}

Example filled_blanks(const FramedText& text, std::span<const TokenSpan> spans, int32_t mask,
                      const BlankTokens& tokens, Random& random) {
  const std::vector<int32_t> marks(spans.size(), mask);
  Example example;
  example.inputs = with_spans_marked(text, spans, marks);
  example.prefix = static_cast<int64_t>(example.inputs.size());
  example.targets.assign(example.inputs.size(), -1);
  example.block_positions.assign(example.inputs.size(), 0);
  example.text_positions.resize(example.inputs.size());
  std::iota(example.text_positions.begin(), example.text_positions.end(), 0);

  std::vector<size_t> mask_positions;
  size_t shorter = 0;  // by how much spans before are
  for (const TokenSpan& span : spans) {
    mask_positions.push_back(text.begin.size() + span.begin - shorter);
    shorter += span.length() - 1;
  }
  std::vector<size_t> order(spans.size());
  std::iota(order.begin(), order.end(), size_t{0});
  shuffle(order, random);
  for (size_t i : order) {
    const auto span = text.body.subspan(spans[i].begin, spans[i].length());
    example.inputs.push_back(tokens.start);
    example.inputs.insert(example.inputs.end(), span.begin(), span.end());
    example.targets.insert(example.targets.end(), span.begin(), span.end());
    example.targets.push_back(tokens.end);
    for (size_t j = 0; j <= span.size(); ++j) {
      example.text_positions.push_back(static_cast<int32_t>(mask_positions[i]));
      example.block_positions.push_back(static_cast<int32_t>(j) + 1);
    }
  }
  return example;
}

}  // namespace millrace
