#include "millrace/text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/text/sentencepiece_normalizer.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

size_t slots_for(size_t entries) {
  return std::bit_ceil(2 * entries + 2);
}

template <typename T>
uint64_t load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

}  // namespace

Bpe::Bpe(const TokenizerDefinition& definition, std::string_view source)
    : definition_(definition), fallback_(definition), joins_(definition.merges.size()) {
  index_tokens();
  index_merges(source);
  if (definition_.kind == ModelKind::kBpe) {
    index_kept();
    index_spaces();
  } else {
    index_characters();
  }
  index_words();
}

void Bpe::index_tokens() {
  byte_tokens_.fill(definition_.unknown);
  token_slots_.assign(slots_for(definition_.tokens.size()), kNoToken);
  size_t mask = token_slots_.size() - 1;
  for (size_t i = 0; i < definition_.tokens.size(); ++i) {
    const Token& token = definition_.tokens[i];
    auto id = static_cast<int32_t>(i);
    if (!token.in_model || token.bytes.empty() || find(token.bytes) != kNoToken) continue;
    if (token.bytes.size() == 1) byte_tokens_[static_cast<uint8_t>(token.bytes[0])] = id;
    size_t slot = seeded_hash(token.bytes) & mask;
    while (token_slots_[slot] != kNoToken) slot = (slot + 1) & mask;
    token_slots_[slot] = id;
  }
}

void Bpe::index_merges(std::string_view source) {
  const std::vector<uint32_t>& ranks = definition_.merge_ranks;
  require(ranks.empty() || ranks.size() == definition_.merges.size(), "{}: {} ranks for {} merges",
          source, ranks.size(), definition_.merges.size());
  for (size_t i = 0; i < definition_.merges.size(); ++i) {
    const Merge& entry = definition_.merges[i];
    for (int32_t id : {entry.left, entry.right, entry.result}) {
      require(id >= 0 && static_cast<size_t>(id) < definition_.tokens.size(),
              "{}: merge {} names token {}, which is not there", source, i, id);
    }
    // Of merges of one pair the last one counts, as in Hugging Face's tokenizers.
    uint32_t rank = ranks.empty() ? static_cast<uint32_t>(i) : ranks[i];
    joins_.at(entry.left, entry.right, {}) = {rank, entry.result};
  }
  byte_joins_.resize(byte_tokens_.size() * byte_tokens_.size());
  for (size_t i = 0; i < byte_joins_.size(); ++i) {
    byte_joins_[i] =
        join_of(byte_tokens_[i / byte_tokens_.size()], byte_tokens_[i % byte_tokens_.size()]);
  }
}

void Bpe::index_characters() {
  for (int32_t token : byte_tokens_) {
    if (token == definition_.unknown) return;
  }
  // Files may say that a merge gives any token.
  for (const Merge& merge : definition_.merges) {
    std::string_view left = bytes(merge.left), right = bytes(merge.right);
    std::string_view result = bytes(merge.result);
    if (left.empty() || right.empty() || !result.starts_with(left)) return;
    if (result.substr(left.size()) != right) return;
  }
  characters_ = CharacterStarts(definition_, joins_, byte_tokens_);
}

void Bpe::index_kept() {
  for (int32_t id : definition_.kept) kept_.add(bytes(id), id);
}

/// Merging texts one by one gives the same as merging them together, where no token spans both.
void Bpe::index_spaces() {
  if (!definition_.end_of_word.empty() || find(kSpaceSymbol) == kNoToken) return;
  for (const Token& token : definition_.tokens) {
    if (!token.in_model) continue;
    std::string_view bytes = token.bytes;
    while (bytes.starts_with(kSpaceSymbol)) bytes.remove_prefix(kSpaceSymbol.size());
    if (bytes.find(kSpaceSymbol) != std::string_view::npos) return;
  }
  ends_before_spaces_ = true;
}

void Bpe::index_words() {
  const std::vector<Token>& tokens = definition_.tokens;
  std::vector<uint8_t> is_word(tokens.size());
  constexpr int64_t kGrain = 4096;
  parallel_ranges(static_cast<int64_t>(tokens.size()), kGrain, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> ids;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      if (!tokens[i].in_model || tokens[i].bytes.empty()) continue;
      ids.clear();
      if (!definition_.ignore_merges) merge(tokens[i].bytes, ids);
      is_word[i] =
          definition_.ignore_merges || (ids.size() == 1 && static_cast<size_t>(ids[0]) == i);
    }
  });
  word_slots_.resize(slots_for(tokens.size()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (is_word[i] == 0) continue;
    Word word = word_key(tokens[i].bytes);
    Word& slot = word_slots_[word_slot(word, word_hash(word))];
    if (slot.high != 0) continue;  // of tokens with the same bytes, the first
    slot = word;
    slot.id = static_cast<int32_t>(i);
  }
}

std::string_view Bpe::bytes(int32_t id) const {
  return definition_.tokens[static_cast<size_t>(id)].bytes;
}

int32_t Bpe::find(std::string_view bytes) const {
  size_t mask = token_slots_.size() - 1;
  for (size_t slot = seeded_hash(bytes) & mask;; slot = (slot + 1) & mask) {
    int32_t id = token_slots_[slot];
    if (id == kNoToken || this->bytes(id) == bytes) return id;
  }
}

/// Reads nothing beside the bytes, of which there is one at least.
Bpe::Word Bpe::word_key(std::string_view bytes) {
  const char* at = bytes.data();
  size_t size = bytes.size();
  Word word;
  if (size > kMaxWhole) {
    word.low = load<uint64_t>(at);
    word.high = seeded_hash(bytes) | uint64_t{0xff} << 56;
    return word;
  }
  if (size > 8) {
    word.low = load<uint64_t>(at);
    word.high = load<uint64_t>(at + size - 8) >> (8 * (16 - size));
  } else if (size >= 4) {
    word.low = load<uint32_t>(at) | load<uint32_t>(at + size - 4) << (8 * (size - 4));
  } else {
    word.low = load<uint8_t>(at) | load<uint8_t>(at + size / 2) << (8 * (size / 2)) |
               load<uint8_t>(at + size - 1) << (8 * (size - 1));
  }
  word.high |= uint64_t{size} << 56;
  return word;
}

size_t Bpe::word_hash(const Word& key) const {
  // The fold of a product of 128 bits (wyhash, Wang Yi); the seed is the process's own.
  auto product = static_cast<unsigned __int128>(key.low ^ seed_) * (key.high ^ ~seed_);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/// Where the word is in word_slots_, or where it would be.
size_t Bpe::word_slot(const Word& key, size_t hash) const {
  size_t mask = word_slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Word& slot = word_slots_[i];
    if ((slot.low == key.low && slot.high == key.high) || slot.high == 0) return i;
  }
}

void Bpe::encode(std::string_view text, std::span<const TextRange> words,
                 std::vector<int32_t>& ids) const {
  if (!ends_before_spaces_) return encode_words(text, words, ids);
  std::vector<TextRange> parts;
  cut_at_spaces(text, words, parts);
  encode_words(text, parts, ids);
}

/// Ends words where kSpaceSymbol follows another character.
void Bpe::cut_at_spaces(std::string_view text, std::span<const TextRange> words,
                        std::vector<TextRange>& parts) const {
  for (const TextRange& word : words) {
    std::string_view bytes = text.substr(0, word.end);
    size_t begin = word.begin;
    size_t after_spaces = word.begin;  // where a run of kSpaceSymbol ended
    for (size_t at; (at = bytes.find(kSpaceSymbol, after_spaces)) != std::string_view::npos;) {
      if (at > begin && at > after_spaces) {
        parts.push_back({begin, at});
        begin = at;
      }
      after_spaces = at + kSpaceSymbol.size();
    }
    parts.push_back({begin, word.end});
  }
}

void Bpe::encode_words(std::string_view text, std::span<const TextRange> words,
                       std::vector<int32_t>& ids) const {
  // The table is larger than caches near the processor: slots are fetched some words ahead.
  constexpr size_t kAhead = 8;
  struct Search {
    Word key;
    size_t hash;
  };
  std::array<Search, kAhead> searches;
  auto bytes_of = [&](size_t i) {
    return text.substr(words[i].begin, words[i].end - words[i].begin);
  };
  auto begin_search = [&](size_t i) {
    Search& search = searches[i % kAhead];
    search.key = word_key(bytes_of(i));
    search.hash = word_hash(search.key);
    __builtin_prefetch(&word_slots_[search.hash & (word_slots_.size() - 1)]);
  };
  for (size_t i = 0; i < std::min(kAhead, words.size()); ++i) begin_search(i);
  for (size_t i = 0; i < words.size(); ++i) {
    const Search& search = searches[i % kAhead];
    int32_t id = word_slots_[word_slot(search.key, search.hash)].id;
    if (i + kAhead < words.size()) begin_search(i + kAhead);
    std::string_view word = bytes_of(i);
    if (id != kNoToken && (word.size() <= kMaxWhole || bytes(id) == word)) {
      ids.push_back(id);
    } else {
      merge(word, ids);
    }
  }
}

void Bpe::merge(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.size() <= kShortWord) {
    merge_short(word, ids);
  } else {
    merge_long(word, ids);
  }
}

Join Bpe::join_of(int32_t left, int32_t right) const {
  const Join* join = joins_.find(left, right);
  return join != nullptr ? *join : Join();
}

Join Bpe::join_of(const Symbol& left, const Symbol& right) const {
  if (left.byte >= 0 && right.byte >= 0) {
    return byte_joins_[static_cast<size_t>(left.byte * 256 + right.byte)];
  }
  return join_of(left.token, right.token);
}

/// Writes what merging begins with, at most one symbol a byte; returns how many.
size_t Bpe::symbols(std::string_view word, Symbol* out) const {
  return definition_.kind == ModelKind::kBpe ? character_symbols(word, out)
                                             : byte_symbols(word, out);
}

int32_t Bpe::character_token(std::string_view character, bool is_last) const {
  if (is_last && !definition_.end_of_word.empty()) {
    return find(std::string(character) + definition_.end_of_word);
  }
  return find(character);
}

size_t Bpe::character_symbols(std::string_view word, Symbol* out) const {
  size_t count = 0;
  bool after_unknown = false;
  for (size_t at = 0, length = 0; at < word.size(); at += length) {
    std::string_view rest = word.substr(at);
    PieceTrie::Match kept = kept_.longest(rest);
    length = kept.length > 0 ? kept.length : std::max<size_t>(1, utf8_length(rest));
    std::string_view bytes = rest.substr(0, length);
    int32_t id = kept.length > 0 ? kept.value : character_token(bytes, length == rest.size());
    bool is_unknown = false;
    if (id != kNoToken) {
      out[count++] = {id, -1};
    } else if (fallback_.covers(bytes)) {
      for (char byte : bytes) out[count++] = {fallback_.token(byte), -1};
    } else if (definition_.unknown != kNoToken) {
      is_unknown = true;
      if (!after_unknown || !definition_.fuse_unknown) out[count++] = {definition_.unknown, -1};
    }
    after_unknown = is_unknown;
  }
  return count;
}

size_t Bpe::byte_symbols(std::string_view word, Symbol* out) const {
  size_t count = 0;
  bool after_unknown = false;
  for (size_t i = 0; i < word.size(); ++i) {
    auto byte = static_cast<uint8_t>(word[i]);
    if (byte >= 0xc0) {
      CharacterStarts::Start start = characters_.at(word, i);
      if (start.tokens != nullptr) {
        for (int32_t id : *start.tokens) {
          if (id != kNoToken) out[count++] = {id, -1};
        }
        i += start.length - 1;
        continue;
      }
    }
    int32_t id = byte_tokens_[byte];
    bool is_unknown = id == definition_.unknown;
    if (id != kNoToken && !(is_unknown && after_unknown && definition_.fuse_unknown)) {
      out[count++] = {id, byte};
    }
    after_unknown = is_unknown;
  }
  return count;
}

void Bpe::merge_short(std::string_view word, std::vector<int32_t>& ids) const {
  std::array<Symbol, kShortWord> symbol;
  std::array<uint32_t, kShortWord> rank;  // of the pair that begins here
  std::array<int32_t, kShortWord> result;
  // Neighbours; symbols that were joined to the one before them stay where they are, without rank.
  std::array<uint8_t, kShortWord> next, previous;
  size_t count = symbols(word, symbol.data());
  auto set = [&](size_t i, Join join) {
    rank[i] = join.rank;
    result[i] = join.result;
  };
  for (size_t i = 0; i < count; ++i) {
    set(i, i + 1 < count ? join_of(symbol[i], symbol[i + 1]) : Join());
    next[i] = static_cast<uint8_t>(i + 1);
    previous[i] = static_cast<uint8_t>(i - 1);
  }
  while (true) {
    size_t best = 0;
    uint32_t lowest = Join::kNever;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (rank[i] < lowest) {
        lowest = rank[i];
        best = i;
      }
    }
    if (lowest == Join::kNever) break;
    symbol[best].token = result[best];
    size_t joined = next[best];
    size_t after = next[joined];
    rank[joined] = Join::kNever;
    next[best] = static_cast<uint8_t>(after);
    if (after < count) {
      previous[after] = static_cast<uint8_t>(best);
      set(best, join_of(symbol[best].token, symbol[after].token));
    } else {
      rank[best] = Join::kNever;
    }
    if (best > 0) set(previous[best], join_of(symbol[previous[best]].token, symbol[best].token));
  }
  for (size_t i = 0; i < count; i = next[i]) ids.push_back(symbol[i].token);
}

void Bpe::merge_long(std::string_view word, std::vector<int32_t>& ids) const {
  require(word.size() < UINT32_MAX, "a word of {} bytes is too long to encode", word.size());
  struct Link {
    int32_t token;
    Join join;  // of the pair with the next one
    uint32_t previous;
    uint32_t next;
  };
  constexpr uint32_t kNoPosition = UINT32_MAX;
  std::vector<Symbol> first(word.size());
  auto count = static_cast<uint32_t>(symbols(word, first.data()));
  std::vector<Link> list(count);
  // By rank, then by position. An entry is out of date when the rank at its position is another.
  using Entry = std::pair<uint32_t, uint32_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  auto set = [&](uint32_t i, Join join) {
    list[i].join = join;
    if (join.rank != Join::kNever) queue.push({join.rank, i});
  };
  for (uint32_t i = 0; i < count; ++i) {
    list[i] = {first[i].token, {}, i > 0 ? i - 1 : kNoPosition, i + 1};
    if (i + 1 < count) set(i, join_of(first[i], first[i + 1]));
  }
  auto set_pair = [&](uint32_t i) {
    bool is_last = list[i].next >= count;
    set(i, is_last ? Join() : join_of(list[i].token, list[list[i].next].token));
  };
  while (!queue.empty()) {
    auto [rank, position] = queue.top();
    queue.pop();
    Link& link = list[position];
    if (link.join.rank != rank) continue;
    link.token = link.join.result;
    Link& absorbed = list[link.next];
    absorbed.join = {};
    link.next = absorbed.next;
    if (link.next < count) list[link.next].previous = position;
    set_pair(position);
    if (link.previous != kNoPosition) set_pair(link.previous);
  }
  for (uint32_t i = 0; i < count; i = list[i].next) ids.push_back(list[i].token);
}

}  // namespace millrace
