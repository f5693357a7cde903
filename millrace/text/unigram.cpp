#include "millrace/text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

/// How much less likely a character that is no piece is than the least likely piece.
constexpr double kUnknownPenalty = 10;

/// Bounds the time of encoding.
constexpr size_t kLongestPiece = 512;

}  // namespace

Unigram::Unigram(const TokenizerDefinition& definition, std::string_view source)
    : definition_(definition), is_kept_(definition.tokens.size()), byte_tokens_(256, kNoToken) {
  double lowest = std::numeric_limits<double>::infinity();
  double highest = -lowest;
  for (int32_t id : definition.kept) is_kept_[static_cast<size_t>(id)] = true;
  for (size_t i = 0; i < definition.tokens.size(); ++i) {
    const Token& token = definition.tokens[i];
    auto id = static_cast<int32_t>(i);
    if (token.type == TokenType::kByte) {
      int byte = byte_of_token(token.bytes);
      if (byte >= 0) byte_tokens_[static_cast<size_t>(byte)] = id;
    }
    if (!token.in_model) continue;
    require(std::isfinite(token.score), "{}: token {} has a score that is no number", source, id);
    require(!token.bytes.empty() && token.bytes.size() <= kLongestPiece,
            "{}: token {} has {} bytes; 1 to {} are allowed", source, id, token.bytes.size(),
            kLongestPiece);
    pieces_.add(token.bytes, id);
    if (is_kept_[i]) continue;
    lowest = std::min(lowest, token.score);
    highest = std::max(highest, token.score);
  }
  if (highest < lowest) lowest = highest = 0;
  highest_score_ = static_cast<float>(highest);
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
      encode_word(bytes, single, ids);
    } else {
      encode_word(bytes, dual, ids);
    }
  }
}

template <typename Sum>
void Unigram::encode_word(std::string_view word, std::vector<Path<Sum>>& paths,
                          std::vector<int32_t>& ids) const {
  paths.assign(word.size() + 1, {});
  // Of equally likely segmentations the one whose last token is the longest stays, so that the
  // precision of the sums decides: it is that of the reference.
  auto offer = [&](size_t begin, size_t end, int32_t token, Sum score) {
    Sum candidate = score + paths[begin].score;
    Path<Sum>& path = paths[end];
    if (path.last != kNoToken && !(candidate > path.score)) return;
    path = {candidate, static_cast<uint32_t>(begin), token};
  };
  for (size_t begin = 0, length = 0; begin < word.size(); begin += length) {
    std::string_view rest = word.substr(begin);
    length = std::max<size_t>(1, utf8_length(rest));
    bool has_character = false;
    pieces_.for_each_prefix(rest, [&](size_t size, int32_t id) {
      auto index = static_cast<size_t>(id);
      double score = definition_.tokens[index].score;
      if (is_kept_[index]) {
        constexpr double kBelow = 0.1;
        score = static_cast<float>(size) * highest_score_ - kBelow;
      }
      offer(begin, begin + size, id, static_cast<Sum>(score));
      if (size == length) has_character = true;
    });
    if (!has_character) {
      offer(begin, begin + length, kUnknown, static_cast<Sum>(unknown_score_));
    }
  }
  // The path is found from its end.
  size_t first = ids.size();
  std::vector<int32_t> tokens;
  for (size_t end = word.size(); end > 0;) {
    size_t begin = paths[end].begin;
    if (paths[end].last != kUnknown) {
      ids.push_back(paths[end].last);
    } else {
      while (begin > 0 && paths[begin].last == kUnknown) begin = paths[begin].begin;
      tokens.clear();
      append_unknown(word.substr(begin, end - begin), tokens);
      ids.insert(ids.end(), tokens.rbegin(), tokens.rend());
    }
    end = begin;
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
}

/// Neighbouring characters that no piece has.
void Unigram::append_unknown(std::string_view bytes, std::vector<int32_t>& ids) const {
  auto token_of = [&](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; };
  if (definition_.byte_fallback &&
      std::all_of(bytes.begin(), bytes.end(), [&](char b) { return token_of(b) != kNoToken; })) {
    for (char byte : bytes) ids.push_back(token_of(byte));
  } else if (definition_.unknown != kNoToken) {
    ids.push_back(definition_.unknown);
  }
}

}  // namespace millrace
