#include "millrace/text/unigram_train.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/text/piece_trie.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/special_tokens.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr const char* kSource = "tokenizer training";
constexpr int32_t kBytes = 256;
constexpr size_t kShards = 64;  // of words, for threads; sums are put together in their order
constexpr size_t kMaxWordChars = 1024;
constexpr double kNever = -std::numeric_limits<double>::infinity();

struct Word {
  std::string text;
  double count = 0;
};

struct Piece {
  std::string text;
  double score = 0;
};

/// A piece in a word.
struct Edge {
  size_t begin, end;
  int32_t piece;
};

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

/// The derivative of the logarithm of the gamma function (Bernardo 1976, algorithm AS 103).
double digamma(double x) {
  double result = 0;
  for (; x < 7; ++x) result -= 1 / x;
  x -= 0.5;
  const double square = 1 / (x * x);
  return result + std::log(x) +
         square *
             (1.0 / 24 - square * (7.0 / 960 - square * (31.0 / 8064 - square * 127.0 / 30720)));
}

std::vector<size_t> character_starts(std::string_view text) {
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); at += utf8_length(text.substr(at))) starts.push_back(at);
  return starts;
}

/// Words as the tokenizer will see them, sorted so that sums do not depend on a hash table; what
/// is not UTF-8 is left out, and long words are cut.
std::vector<Word> read_words(const WordCounts& counts) {
  std::vector<Word> words;
  counts.for_each([&](std::string_view word, int64_t count) {
    if (!is_utf8(word)) return;
    std::string text;
    size_t chars = 0;
    for (size_t at = 0; at < word.size();) {
      std::string_view character = first_character(word.substr(at));
      text += character == " " ? kSpaceSymbol : character;
      at += character.size();
      if (++chars % kMaxWordChars == 0 || at == word.size()) {
        words.push_back({std::exchange(text, {}), static_cast<double>(count)});
      }
    }
  });
  std::sort(words.begin(), words.end(),
            [](const Word& a, const Word& b) { return a.text < b.text; });
  return words;
}

class Trainer {
 public:
  Trainer(std::vector<Word> words, const UnigramTrainOptions& options)
      : options_(options), words_(std::move(words)) {
    for (const Word& word : words_) total_ += word.count;
    count_characters();
    seed();
  }

  std::vector<Piece> run(size_t wanted, const TrainProgress& progress) {
    // Some more than wanted, since the last step chooses by probability.
    const auto enough = static_cast<size_t>(static_cast<double>(wanted) * 1.1);
    const auto first_size = static_cast<int64_t>(pieces_.size());
    while (true) {
      for (int32_t i = 0; i < options_.iterations; ++i) estimate();
      const auto left = static_cast<int64_t>(pieces_.size());
      if (progress) progress(first_size - left, first_size - static_cast<int64_t>(enough));
      if (pieces_.size() <= enough) break;
      size_t before = pieces_.size();
      prune(enough);
      if (pieces_.size() == before) break;
    }
    return best(wanted);
  }

 private:
  void count_characters() {
    std::unordered_map<std::string_view, double> counts;
    double all = 0;
    for (const Word& word : words_) {
      for (size_t at = 0; at < word.text.size();) {
        std::string_view c = first_character(std::string_view(word.text).substr(at));
        counts[c] += word.count;
        all += word.count;
        at += c.size();
      }
    }
    for (const auto& [c, count] : counts) characters_.push_back({std::string(c), count});
    sort_by_score(characters_);
    double covered = 0;
    size_t required = 0;
    while (required < characters_.size() && covered < options_.character_coverage * all) {
      covered += characters_[required++].score;
    }
    required_ = required;
  }

  static void sort_by_score(std::vector<Piece>& pieces) {
    std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    });
  }

  /// All characters and the substrings that cover most of the text. One can occur twice only if
  /// what is shorter by a character does.
  void seed() {
    std::vector<std::vector<size_t>> starts;
    std::vector<std::vector<bool>> is_frequent;  // whether a substring of this length begins here
    for (const Word& word : words_) {
      starts.push_back(character_starts(word.text));
      is_frequent.emplace_back(starts.back().size(), true);
      starts.back().push_back(word.text.size());
    }
    std::vector<Piece> seeds;
    for (size_t length = 2; length <= static_cast<size_t>(options_.max_piece_chars); ++length) {
      std::unordered_map<std::string_view, double> counts;
      auto for_each = [&](auto visit) {
        for (size_t w = 0; w < words_.size(); ++w) {
          for (size_t i = 0; i + length < starts[w].size(); ++i) {
            if (!is_frequent[w][i] || !is_frequent[w][i + 1]) continue;
            visit(w, i,
                  std::string_view(words_[w].text)
                      .substr(starts[w][i], starts[w][i + length] - starts[w][i]));
          }
        }
      };
      for_each([&](size_t w, size_t, std::string_view text) { counts[text] += words_[w].count; });
      std::vector<std::vector<bool>> still_frequent(words_.size());
      for (size_t w = 0; w < words_.size(); ++w) still_frequent[w].resize(is_frequent[w].size());
      for_each([&](size_t w, size_t i, std::string_view text) {
        still_frequent[w][i] = counts[text] >= 2;
      });
      is_frequent.swap(still_frequent);
      size_t before = seeds.size();
      for (const auto& [text, count] : counts) {
        if (count >= 2 && is_piece(text)) {
          seeds.push_back({std::string(text), count * static_cast<double>(length)});
        }
      }
      if (seeds.size() == before && counts.empty()) break;
    }
    sort_by_score(seeds);
    if (seeds.size() > static_cast<size_t>(options_.seed_size)) {
      seeds.resize(static_cast<size_t>(options_.seed_size));
    }
    pieces_ = characters_;
    pieces_.insert(pieces_.end(), seeds.begin(), seeds.end());
    double sum = 0;
    for (const Piece& piece : pieces_) sum += piece.score;
    for (Piece& piece : pieces_) piece.score = std::log(piece.score / sum);
    index();
  }

  /// A space stands only at the beginning of a piece, or the piece is spaces.
  static bool is_piece(std::string_view text) {
    while (text.starts_with(kSpaceSymbol)) text.remove_prefix(kSpaceSymbol.size());
    return text.find(kSpaceSymbol) == std::string_view::npos;
  }

  void index() {
    trie_ = PieceTrie();
    for (size_t i = 0; i < pieces_.size(); ++i) {
      trie_.add(pieces_[i].text, static_cast<int32_t>(i));
    }
  }

  double score(int32_t piece) const { return pieces_[static_cast<size_t>(piece)].score; }

  /// The pieces in a word, by where they begin.
  void find_edges(std::string_view word, std::vector<Edge>& edges) const {
    edges.clear();
    for (size_t at = 0; at < word.size(); at += utf8_length(word.substr(at))) {
      trie_.for_each_prefix(word.substr(at), [&](size_t length, int32_t piece) {
        edges.push_back({at, at + length, piece});
      });
    }
  }

  /// Calls `visit(shard, word)` for all words, on all threads.
  template <typename Visit>
  void for_each_word(Visit visit) const {
    parallel_for(static_cast<int64_t>(kShards), [&](int64_t shard) {
      const auto s = static_cast<size_t>(shard);
      for (size_t i = s; i < words_.size(); i += kShards) visit(s, words_[i]);
    });
  }

  static std::vector<double> add_up(const std::vector<std::vector<double>>& shards) {
    std::vector<double> sum = shards[0];
    for (size_t s = 1; s < shards.size(); ++s) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += shards[s][i];
    }
    return sum;
  }

  /// One step of expectation maximisation, with a prior for few pieces (Liang et al. 2007): how
  /// often each piece is expected to be used, and the probabilities that follow.
  void estimate() {
    std::vector<std::vector<double>> expected(kShards, std::vector<double>(pieces_.size()));
    for_each_word([&](size_t shard, const Word& word) { expect(word, expected[shard]); });
    const std::vector<double> uses = add_up(expected);
    std::vector<Piece> kept;
    double sum = 0;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      constexpr double kTooFew = 0.5;
      if (uses[i] < kTooFew) continue;
      kept.push_back({std::move(pieces_[i].text), uses[i]});
      sum += uses[i];
    }
    const double log_sum = digamma(sum);
    for (Piece& piece : kept) piece.score = digamma(piece.score) - log_sum;
    pieces_ = std::move(kept);
    index();
  }

  /// Forward and backward over the segmentations of a word.
  void expect(const Word& word, std::vector<double>& expected) const {
    thread_local std::vector<Edge> edges;
    thread_local std::vector<double> forward, backward;
    find_edges(word.text, edges);
    forward.assign(word.text.size() + 1, kNever);
    backward.assign(word.text.size() + 1, kNever);
    forward[0] = 0;
    backward.back() = 0;
    for (const Edge& e : edges) {
      forward[e.end] = log_add(forward[e.end], forward[e.begin] + score(e.piece));
    }
    for (size_t i = edges.size(); i-- > 0;) {
      const Edge& e = edges[i];
      backward[e.begin] = log_add(backward[e.begin], backward[e.end] + score(e.piece));
    }
    const double all = forward.back();
    if (all == kNever) return;  // a character that is no piece any more
    for (const Edge& e : edges) {
      expected[static_cast<size_t>(e.piece)] +=
          word.count * std::exp(forward[e.begin] + score(e.piece) + backward[e.end] - all);
    }
  }

  /// The likeliest pieces of a text other than `without`; empty where there are none.
  std::vector<int32_t> segment(std::string_view text, int32_t without, double& best_score) const {
    thread_local std::vector<Edge> edges;
    thread_local std::vector<std::pair<double, size_t>> paths;  // with the edge that they end with
    find_edges(text, edges);
    paths.assign(text.size() + 1, {kNever, edges.size()});
    paths[0].first = 0;
    for (size_t i = 0; i < edges.size(); ++i) {
      const Edge& e = edges[i];
      if (e.piece == without) continue;
      double candidate = paths[e.begin].first + score(e.piece);
      if (candidate > paths[e.end].first) paths[e.end] = {candidate, i};
    }
    best_score = paths.back().first;
    std::vector<int32_t> pieces;
    if (best_score == kNever) return pieces;
    for (size_t end = text.size(); end > 0; end = edges[paths[end].second].begin) {
      pieces.push_back(edges[paths[end].second].piece);
    }
    return pieces;
  }

  /// Takes away the pieces whose loss costs the text the least likelihood, but not more than the
  /// shrinking factor says. What becomes of a text without a piece is estimated from what becomes
  /// of the piece.
  void prune(size_t enough) {
    const size_t size = pieces_.size();
    std::vector<std::vector<int32_t>> alternatives(size);
    std::vector<uint8_t> is_used(size, 1);
    constexpr int64_t kGrain = 256;
    parallel_ranges(static_cast<int64_t>(size), kGrain, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        double other = kNever;
        alternatives[i] = segment(pieces_[i].text, static_cast<int32_t>(i), other);
        is_used[i] = pieces_[i].score >= other;
      }
    });
    std::vector<std::vector<double>> used(kShards, std::vector<double>(size));
    for_each_word([&](size_t shard, const Word& word) {
      double ignored = 0;
      for (int32_t piece : segment(word.text, kNoToken, ignored)) {
        used[shard][static_cast<size_t>(piece)] += word.count;
      }
    });
    const std::vector<double> uses = add_up(used);
    double sum = 0;
    for (double count : uses) sum += count;
    std::vector<Piece> kept;
    std::vector<std::pair<double, size_t>> losses;
    for (size_t i = 0; i < size; ++i) {
      if (alternatives[i].empty()) {
        kept.push_back(pieces_[i]);
      } else if (uses[i] > 0 && is_used[i] != 0) {
        losses.emplace_back(loss(uses, sum, i, alternatives[i]), i);
      }
    }
    std::sort(losses.begin(), losses.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    const size_t wanted = std::max(
        enough, static_cast<size_t>(options_.shrinking_factor * static_cast<double>(size)));
    for (const auto& [value, i] : losses) {
      if (kept.size() >= wanted) break;
      kept.push_back(pieces_[i]);
    }
    pieces_ = std::move(kept);
    index();
  }

  double loss(const std::vector<double>& uses, double sum, size_t piece,
              const std::vector<int32_t>& alternatives) const {
    const double count = uses[piece];
    const double log_sum = std::log(sum + count * (static_cast<double>(alternatives.size()) - 1));
    double without = 0;
    for (int32_t other : alternatives) {
      without += std::log(uses[static_cast<size_t>(other)] + count) - log_sum;
    }
    return count / total_ * (std::log(count) - std::log(sum) - without);
  }

  /// The required characters and the likeliest pieces.
  std::vector<Piece> best(size_t wanted) {
    sort_by_score(pieces_);
    std::unordered_map<std::string_view, double> scores;
    double lowest = 0;
    for (const Piece& piece : pieces_) {
      scores.emplace(piece.text, piece.score);
      lowest = std::min(lowest, piece.score);
    }
    std::vector<Piece> result;
    std::unordered_set<std::string_view> taken;
    for (size_t i = 0; i < required_ && result.size() < wanted; ++i) {
      auto found = scores.find(characters_[i].text);
      constexpr double kApart = 1e-4;  // so that the more frequent ones are likelier
      double value = found != scores.end() ? found->second : lowest -= kApart;
      result.push_back({characters_[i].text, value});
      taken.insert(characters_[i].text);
    }
    for (const Piece& piece : pieces_) {
      if (result.size() >= wanted) break;
      if (taken.count(piece.text) == 0) result.push_back(piece);
    }
    sort_by_score(result);
    return result;
  }

  const UnigramTrainOptions& options_;
  std::vector<Word> words_;
  double total_ = 0;
  std::vector<Piece> characters_;  // by how often they occur
  size_t required_ = 0;            // how many of them
  std::vector<Piece> pieces_;
  PieceTrie trie_;
};

void check(const UnigramTrainOptions& options) {
  check_special_tokens(options.special_tokens, {options.eos, options.eot, options.pad});
  auto least = kBytes + 2 + static_cast<int64_t>(options.special_tokens.size());
  require(options.vocab_size >= least,
          "vocab_size is {}, but <unk>, a piece, 256 bytes and the special tokens need {}",
          options.vocab_size, least);
  require(options.max_piece_chars >= 1 && options.max_piece_chars <= 64,
          "max_piece_chars is {}; 1 to 64 are allowed", options.max_piece_chars);
  require(options.shrinking_factor > 0 && options.shrinking_factor < 1,
          "shrinking_factor is {}; it must be between 0 and 1", options.shrinking_factor);
  require(options.iterations >= 1 && options.seed_size >= 1,
          "iterations and seed_size must be 1 at least");
}

void add_special(const std::string& content, TokenType type, TokenizerDefinition& definition) {
  AddedToken added;
  added.id = static_cast<int32_t>(definition.tokens.size());
  added.content = content;
  added.special = true;
  definition.tokens.push_back({content, type, false});
  definition.added_tokens.push_back(std::move(added));
}

}  // namespace

PreTokenizer unigram_training_words() {
  return PreTokenizer::from_json({{"type", "Split"},
                                  {"pattern", {{"Regex", " ?[^ \\r\\n]+"}}},
                                  {"behavior", "Removed"},
                                  {"invert", true}},
                                 kSource);
}

Tokenizer train_unigram(const WordCounts& words, const UnigramTrainOptions& options,
                        const TrainProgress& progress) {
  check(options);
  TokenizerDefinition definition;
  definition.kind = ModelKind::kUnigram;
  definition.fuse_unknown = definition.byte_fallback = true;
  SentencePieceNormalizer normalizer;
  definition.normalizer.steps.push_back(normalizer);
  definition.decoder = sentencepiece_decoder(true, false, true);
  add_special("<unk>", TokenType::kUnknown, definition);
  definition.unknown = definition.unk = 0;
  for (const std::string& token : options.special_tokens) {
    add_special(token, TokenType::kControl, definition);
  }
  for (int32_t byte = 0; byte < kBytes; ++byte) {
    definition.tokens.push_back({fmt::format("<0x{:02X}>", byte), TokenType::kByte, false});
  }
  Trainer trainer(read_words(words), options);
  const size_t room = static_cast<size_t>(options.vocab_size) - definition.tokens.size();
  for (Piece& piece : trainer.run(room, progress)) {
    definition.tokens.push_back({std::move(piece.text), TokenType::kNormal, true, piece.score});
  }
  // Hugging Face's tokenizers look for "<0x0A>" in text too: it must never be the likeliest.
  double lowest = 0;
  for (const Token& token : definition.tokens) lowest = std::min(lowest, token.score);
  for (Token& token : definition.tokens) {
    if (token.type != TokenType::kByte) continue;
    token.in_model = true;
    token.score = 10 * lowest;
  }
  auto id_of = [&](const std::string& token) {
    for (const AddedToken& added : definition.added_tokens) {
      if (!token.empty() && added.content == token) return added.id;
    }
    return kNoToken;
  };
  definition.eos = id_of(options.eos);
  definition.eot = id_of(options.eot);
  definition.pad = id_of(options.pad);
  return Tokenizer(std::move(definition), kSource);
}

}  // namespace millrace
