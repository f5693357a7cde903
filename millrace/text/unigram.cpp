#include "millrace/text/unigram.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

/// How much less likely a character that is no piece is than the least likely piece.
constexpr double kUnknownPenalty = 10;

/// Where sums in single precision grow beyond this, they begin again from zero.
constexpr float kHighestSum = 100000;

/// What SentencePiece 0.2.3 gives its user-defined symbols, which are likelier than any piece.
double kept_score(size_t bytes) {
  return static_cast<float>(0.1 * (static_cast<double>(bytes) - 1));
}

/// A score as Hugging Face's tokenizers have it, whose JSON reader does not round once: it divides
/// the number's digits, as an integer in double precision, by a power of ten. Of segmentations that
/// are equally likely the last bits decide.
double as_tokenizers_read(double score) {
  std::array<char, 400> text;
  const char* end = std::to_chars(text.data(), text.data() + text.size(), std::abs(score),
                                  std::chars_format::fixed)
                        .ptr;
  uint64_t digits = 0;
  int decimals = -1, count = 0;
  for (const char* c = text.data(); c != end; ++c) {
    if (decimals >= 0) ++decimals;
    if (*c == '.') {
      decimals = 0;
    } else {
      digits = 10 * digits + static_cast<uint64_t>(*c - '0');
      if (digits > 0) ++count;
    }
    if (count > 19 || decimals > 22) return score;  // 10^22 is the last that doubles have
  }
  const double value = static_cast<double>(digits) / std::pow(10.0, std::max(decimals, 0));
  return std::copysign(value, score);
}

}  // namespace

Unigram::Unigram(const TokenizerDefinition& definition, std::string_view source)
    : definition_(definition), fallback_(definition), scores_(definition.tokens.size()) {
  double lowest = 0;
  bool is_first = true;
  for (size_t i = 0; i < definition.tokens.size(); ++i) {
    const Token& token = definition.tokens[i];
    require(std::isfinite(token.score), "{}: token {} has a score that is no number", source, i);
    scores_[i] = definition.as_sentencepiece ? token.score : as_tokenizers_read(token.score);
    // Hugging Face's tokenizers count the scores of special tokens too.
    if (token.in_model || !definition.as_sentencepiece) {
      lowest = is_first ? scores_[i] : std::min(lowest, scores_[i]);
      is_first = false;
    }
    if (!token.in_model) continue;
    require(!token.bytes.empty() && token.bytes.size() <= PieceTrie::kLongest,
            "{}: token {} has {} bytes; 1 to {} are allowed", source, i, token.bytes.size(),
            PieceTrie::kLongest);
    pieces_.add(token.bytes, static_cast<int32_t>(i));
  }
  for (int32_t id : definition.kept) {
    scores_[static_cast<size_t>(id)] =
        kept_score(definition.tokens[static_cast<size_t>(id)].bytes.size());
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

void Unigram::encode(std::string_view text, std::span<const TextRange> words,
                     std::vector<int32_t>& ids) const {
  std::vector<Path<float>> single;
  std::vector<Path<double>> dual;
  for (const TextRange& word : words) {
    std::string_view bytes = text.substr(word.begin, word.end - word.begin);
    require(bytes.size() < UINT32_MAX, "a word of {} bytes is too long to encode", bytes.size());
    if (definition_.as_sentencepiece) {
      find_paths(bytes, single);
      append_path(bytes, single, ids);
    } else {
      find_paths(bytes, dual);
      append_path(bytes, dual, ids);
    }
  }
}

template <typename Sum>
void Unigram::find_paths(std::string_view word, std::vector<Path<Sum>>& paths) const {
  paths.assign(word.size() + 1, {});
  size_t furthest = 0;
  // Of equally likely segmentations the one whose last token is the longest stays, so that the
  // precision of the sums decides: it is that of the reference.
  auto offer = [&](size_t begin, size_t end, int32_t token, double score) {
    const Sum candidate = static_cast<Sum>(score) + paths[begin].score;
    Path<Sum>& path = paths[end];
    if (path.last != kNoToken && !(candidate > path.score)) return;
    path = {candidate, static_cast<uint32_t>(begin), token};
    furthest = std::max(furthest, end);
  };
  for (size_t begin = 0, length = 0; begin < word.size(); begin += length) {
    if (std::is_same_v<Sum, float> && std::abs(paths[begin].score) > kHighestSum) {
      const Sum sum = paths[begin].score;
      for (size_t end = begin; end <= furthest; ++end) {
        if (paths[end].last != kNoToken) paths[end].score -= sum;
      }
    }
    std::string_view rest = word.substr(begin);
    length = std::max<size_t>(1, utf8_length(rest));
    bool has_character = false;
    pieces_.for_each_prefix(rest, [&](size_t size, int32_t id) {
      offer(begin, begin + size, id, scores_[static_cast<size_t>(id)]);
      if (size == length) has_character = true;
    });
    if (!has_character) offer(begin, begin + length, kUnknown, unknown_score_);
  }
}

/// Appends the tokens of the best path, which is found from its end.
template <typename Sum>
void Unigram::append_path(std::string_view word, const std::vector<Path<Sum>>& paths,
                          std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  for (size_t end = word.size(), begin = 0; end > 0; end = begin) {
    begin = paths[end].begin;
    if (paths[end].last != kUnknown) {
      ids.push_back(paths[end].last);
      continue;
    }
    while (begin > 0 && paths[begin].last == kUnknown) begin = paths[begin].begin;
    std::string_view bytes = word.substr(begin, end - begin);
    if (fallback_.covers(bytes)) {
      for (size_t i = bytes.size(); i-- > 0;) ids.push_back(fallback_.token(bytes[i]));
    } else if (definition_.unknown != kNoToken) {
      ids.push_back(definition_.unknown);
    }
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

}  // namespace millrace
