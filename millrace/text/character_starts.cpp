#include "millrace/text/character_starts.h"

#include <algorithm>
#include <string>

#include "millrace/base/thread_pool.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr int64_t kCodePoints = 0x10000;
constexpr size_t kLongest = 3;

uint8_t first_byte(const std::string& bytes) {
  return static_cast<uint8_t>(bytes.front());
}

uint8_t last_byte(const std::string& bytes) {
  return static_cast<uint8_t>(bytes.back());
}

/// A join of a token that may be a part of a character with what stands outside of it.
struct Outside {
  int32_t token;
  uint32_t rank;
  uint8_t neighbour;  // the byte beside the token, its lower six bits
};

/// Bits for the neighbours that some join of these tokens with comes at `rank` or before.
uint64_t neighbours_until(uint32_t rank, const std::vector<int32_t>& tokens,
                          const std::vector<Outside>& sorted) {
  uint64_t bits = 0;
  for (int32_t token : tokens) {
    auto from = std::partition_point(sorted.begin(), sorted.end(),
                                     [&](const Outside& one) { return one.token < token; });
    for (; from != sorted.end() && from->token == token; ++from) {
      if (from->rank <= rank) bits |= uint64_t{1} << from->neighbour;
    }
  }
  return bits;
}

}  // namespace

CharacterStarts::CharacterStarts(const TokenizerDefinition& definition, const PairMap<Join>& joins,
                                 const std::array<int32_t, 256>& byte_tokens)
    : characters_(kCodePoints) {
  std::vector<Outside> before, after;
  for (const Merge& merge : definition.merges) {
    const std::string& left = definition.tokens[static_cast<size_t>(merge.left)].bytes;
    const std::string& right = definition.tokens[static_cast<size_t>(merge.right)].bytes;
    const uint32_t rank = joins.find(merge.left, merge.right)->rank;
    uint8_t last = last_byte(left), first = first_byte(right);
    auto low = [](uint8_t byte) { return static_cast<uint8_t>(byte & 0x3f); };
    if (right.size() <= kLongest && last >= 0x80 && last < 0xc0) {
      before.push_back({merge.right, rank, low(last)});
    }
    if (left.size() <= kLongest && first >= 0xc0) after.push_back({merge.left, rank, low(first)});
  }
  for (std::vector<Outside>* all : {&before, &after}) {
    std::sort(all->begin(), all->end(),
              [](const Outside& a, const Outside& b) { return a.token < b.token; });
  }
  constexpr int64_t kGrain = 2048;
  parallel_ranges(kCodePoints, kGrain, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> parts, firsts, lasts;
    std::string bytes;
    for (int64_t c = std::max<int64_t>(begin, 0x80); c < end; ++c) {
      bytes.clear();
      append_utf8(bytes, static_cast<char32_t>(c));
      parts.clear();
      for (char byte : bytes) parts.push_back(byte_tokens[static_cast<uint8_t>(byte)]);
      firsts.assign(1, parts.front());
      lasts.assign(1, parts.back());
      uint32_t highest = 0;
      while (parts.size() > 1) {
        size_t best = 0;
        Join lowest;
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
          const Join* join = joins.find(parts[i], parts[i + 1]);
          if (join == nullptr || join->rank >= lowest.rank) continue;
          best = i;
          lowest = *join;
        }
        if (lowest.rank == Join::kNever) break;
        highest = std::max(highest, lowest.rank);
        parts[best] = lowest.result;
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
        firsts.push_back(parts.front());
        lasts.push_back(parts.back());
      }
      if (firsts.size() == 1) continue;  // it begins with its bytes anyway
      Character& character = characters_[static_cast<size_t>(c)];
      std::copy(parts.begin(), parts.end(), character.tokens.begin());
      character.unsafe_before = neighbours_until(highest, firsts, before);
      character.unsafe_after = neighbours_until(highest, lasts, after);
    }
  });
}

CharacterStarts::Start CharacterStarts::at(std::string_view word, size_t i) const {
  if (characters_.empty()) return {};
  auto byte = [&](size_t k) { return static_cast<uint8_t>(word[k]); };
  size_t length = byte(i) < 0xe0 ? 2 : 3;
  if (byte(i) < 0xc2 || byte(i) >= 0xf0 || i + length > word.size()) return {};
  uint32_t c = byte(i) & (length == 2 ? 0x1f : 0xf);
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return {};
    c = c << 6 | (byte(i + k) & 0x3f);
  }
  if (length == 3 && c < 0x800) return {};  // no character, but three bytes that look like one
  const Character& character = characters_[c];
  if (character.tokens[0] == kNoToken) return {};
  if (i > 0) {
    uint8_t before = byte(i - 1);
    if (before < 0x80 || before >= 0xc0 || (character.unsafe_before >> (before & 0x3f) & 1) != 0) {
      return {};
    }
  }
  if (i + length < word.size()) {
    uint8_t after = byte(i + length);
    if (after < 0xc0 || (character.unsafe_after >> (after & 0x3f) & 1) != 0) return {};
  }
  return {&character.tokens, length};
}

}  // namespace millrace
