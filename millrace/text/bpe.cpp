#include "millrace/text/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "millrace/base/error.h"
#include "millrace/base/indexed_map.h"
#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

/// Up to so many bytes, looking through all pairs for the lowest rank beats a priority queue.
constexpr size_t kShortWord = 96;
constexpr uint32_t kNoRank = PairMap::kNone;

size_t slots_for(size_t entries) {
  return std::bit_ceil(2 * entries + 2);
}

}  // namespace

Bpe::Bpe(const TokenizerDefinition& definition, std::string_view source)
    : definition_(definition), ranks_(definition.merges.size()) {
  index_tokens();
  index_merges(source);
  is_word_.resize(definition.tokens.size());
  constexpr int64_t kGrain = 4096;
  parallel_ranges(static_cast<int64_t>(is_word_.size()), kGrain, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> ids;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const Token& token = definition_.tokens[i];
      if (!token.in_model || token.bytes.empty()) continue;
      ids.clear();
      if (!definition_.ignore_merges) merge(token.bytes, ids);
      is_word_[i] =
          definition_.ignore_merges || (ids.size() == 1 && static_cast<size_t>(ids[0]) == i);
    }
  });
}

void Bpe::index_tokens() {
  byte_tokens_.fill(definition_.unknown_byte);
  token_slots_.assign(slots_for(definition_.tokens.size()), kNoToken);
  size_t mask = token_slots_.size() - 1;
  for (size_t i = 0; i < definition_.tokens.size(); ++i) {
    const Token& token = definition_.tokens[i];
    if (!token.in_model || token.bytes.empty() || find(token.bytes) != kNoToken) continue;
    auto id = static_cast<int32_t>(i);
    if (token.bytes.size() == 1) byte_tokens_[static_cast<uint8_t>(token.bytes[0])] = id;
    size_t slot = seeded_hash(token.bytes) & mask;
    while (token_slots_[slot] != kNoToken) slot = (slot + 1) & mask;
    token_slots_[slot] = id;
  }
}

void Bpe::index_merges(std::string_view source) {
  for (size_t i = 0; i < definition_.merges.size(); ++i) {
    const Merge& entry = definition_.merges[i];
    for (int32_t id : {entry.left, entry.right, entry.result}) {
      require(id >= 0 && static_cast<size_t>(id) < definition_.tokens.size(),
              "{}: merge {} names token {}, which is not there", source, i, id);
    }
    // Of merges of one pair the last one counts, as in Hugging Face's tokenizers.
    ranks_.at(entry.left, entry.right) = static_cast<uint32_t>(i);
  }
}

int32_t Bpe::find(std::string_view bytes) const {
  size_t mask = token_slots_.size() - 1;
  for (size_t slot = seeded_hash(bytes) & mask;; slot = (slot + 1) & mask) {
    int32_t id = token_slots_[slot];
    if (id == kNoToken || definition_.tokens[static_cast<size_t>(id)].bytes == bytes) return id;
  }
}

void Bpe::encode(std::string_view word, std::vector<int32_t>& ids) const {
  int32_t whole = find(word);
  if (whole != kNoToken && is_word_[static_cast<size_t>(whole)] != 0) {
    ids.push_back(whole);
  } else {
    merge(word, ids);
  }
}

void Bpe::merge(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.size() <= kShortWord) {
    merge_short(word, ids);
  } else {
    merge_long(word, ids);
  }
}

/// Writes the tokens of the word's bytes, at most one a byte; returns how many.
size_t Bpe::symbols(std::string_view word, int32_t* out) const {
  size_t count = 0;
  bool after_unknown = false;
  for (char c : word) {
    int32_t id = byte_tokens_[static_cast<uint8_t>(c)];
    bool is_unknown = id == definition_.unknown_byte;
    if (id != kNoToken && !(is_unknown && after_unknown && definition_.fuse_unknown)) {
      out[count++] = id;
    }
    after_unknown = is_unknown;
  }
  return count;
}

void Bpe::merge_short(std::string_view word, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShortWord> token;
  std::array<uint32_t, kShortWord> rank;  // of the pair that begins here
  size_t count = symbols(word, token.data());
  auto rank_pair = [&](size_t i) {
    rank[i] = i + 1 < count ? ranks_.find(token[i], token[i + 1]) : kNoRank;
  };
  for (size_t i = 0; i < count; ++i) rank_pair(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (rank[i] < rank[best]) best = i;
    }
    if (rank[best] == kNoRank) break;
    token[best] = definition_.merges[rank[best]].result;
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      token[i] = token[i + 1];
      rank[i] = rank[i + 1];
    }
    rank_pair(best);
    if (best > 0) rank_pair(best - 1);
  }
  ids.insert(ids.end(), token.begin(), token.begin() + static_cast<std::ptrdiff_t>(count));
}

void Bpe::merge_long(std::string_view word, std::vector<int32_t>& ids) const {
  require(word.size() < kNoRank, "a word of {} bytes is too long to encode", word.size());
  struct Symbol {
    int32_t token;
    uint32_t rank;  // of the pair with the next one
    uint32_t previous;
    uint32_t next;
  };
  constexpr uint32_t kNoPosition = UINT32_MAX;
  std::vector<int32_t> tokens(word.size());
  auto count = static_cast<uint32_t>(symbols(word, tokens.data()));
  std::vector<Symbol> list(count);
  // By rank, then by position. An entry is out of date when the rank at its position is another.
  using Entry = std::pair<uint32_t, uint32_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  auto rank_pair = [&](uint32_t i) {
    Symbol& symbol = list[i];
    symbol.rank =
        symbol.next < count ? ranks_.find(symbol.token, list[symbol.next].token) : kNoRank;
    if (symbol.rank != kNoRank) queue.push({symbol.rank, i});
  };
  for (uint32_t i = 0; i < count; ++i) {
    list[i] = {tokens[i], kNoRank, i > 0 ? i - 1 : kNoPosition, i + 1};
  }
  for (uint32_t i = 0; i < count; ++i) rank_pair(i);
  while (!queue.empty()) {
    auto [rank, position] = queue.top();
    queue.pop();
    Symbol& symbol = list[position];
    if (symbol.rank != rank) continue;
    symbol.token = definition_.merges[rank].result;
    Symbol& absorbed = list[symbol.next];
    absorbed.rank = kNoRank;
    symbol.next = absorbed.next;
    if (symbol.next < count) list[symbol.next].previous = position;
    rank_pair(position);
    if (symbol.previous != kNoPosition) rank_pair(symbol.previous);
  }
  for (uint32_t i = 0; i < count; i = list[i].next) ids.push_back(list[i].token);
}

}  // namespace millrace
