#include "millrace/text/bpe_train.h"

#include <algorithm>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/pair_map.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/special_tokens.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr int32_t kBytes = 256;

/// What a token is made of, which decides what it may be joined with.
struct Shape {
  enum Kind { kWhole, kBeginning, kMiddle, kOther };
  Kind kind = kOther;
  int32_t chars = 0;  // of whole characters
};

bool is_continuation(char byte) {
  return (static_cast<uint8_t>(byte) & 0xc0) == 0x80;
}

Shape shape_of(std::string_view bytes) {
  auto continuations = std::count_if(bytes.begin(), bytes.end(), is_continuation);
  auto chars = static_cast<int32_t>(bytes.size()) - static_cast<int32_t>(continuations);
  if (is_utf8(bytes)) return {Shape::kWhole, chars};
  if (chars == 0 && bytes.size() < 4) return {Shape::kMiddle, 0};
  if (utf8_incomplete_length(bytes) == bytes.size()) return {Shape::kBeginning, 0};
  return {Shape::kOther, chars};
}

class Trainer {
 public:
  Trainer(const WordCounts& words, const BpeTrainOptions& options) : options_(options) {
    for (int32_t byte = 0; byte < kBytes; ++byte)
      add_token(std::string(1, static_cast<char>(byte)));
    read_words(words);
    for (uint32_t i = 0; i < pairs_.size(); ++i) push(i);
  }

  void run(int64_t tokens_wanted, const TrainProgress& progress) {
    int64_t total = tokens_wanted - kBytes;
    while (static_cast<int64_t>(tokens_.size()) < tokens_wanted && merge_best()) {
      if (progress) progress(static_cast<int64_t>(tokens_.size()) - kBytes, total);
    }
  }

  std::vector<Token> tokens() const {
    std::vector<Token> result;
    for (const std::string& bytes : tokens_) result.push_back({bytes, TokenType::kNormal, true});
    return result;
  }

  std::vector<Merge> merges() && { return std::move(merges_); }

 private:
  /// A word as the tokens that it has become, symbols_[begin, begin + length).
  struct Word {
    size_t begin;
    uint32_t length;
    int64_t count;
  };

  struct PairState {
    int32_t left;
    int32_t right;
    int64_t count = 0;
    std::vector<uint32_t> words = {};  // that have or had it; some more than once
    bool is_merged = false;
  };

  /// A pair with the count that it had when it was pushed; it may have become less since.
  struct Candidate {
    int64_t count;
    uint32_t pair;
  };

  int32_t add_token(std::string bytes) {
    auto id = static_cast<int32_t>(tokens_.size());
    shapes_.push_back(shape_of(bytes));
    ids_.emplace(bytes, id);
    tokens_.push_back(std::move(bytes));
    return id;
  }

  const std::string& bytes(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }

  void read_words(const WordCounts& words) {
    words.for_each([&](std::string_view word, int64_t count) {
      require(word.size() <= UINT32_MAX, "a word of {} bytes is too long to train on", word.size());
      words_.push_back({symbols_.size(), static_cast<uint32_t>(word.size()), count});
      for (char byte : word) symbols_.push_back(static_cast<uint8_t>(byte));
    });
    require(words_.size() < UINT32_MAX, "a corpus of {} different words is too large to train on",
            words_.size());
    for (uint32_t i = 0; i < words_.size(); ++i) {
      const int32_t* symbol = symbols_.data() + words_[i].begin;
      for (uint32_t k = 0; k + 1 < words_[i].length; ++k) change(symbol[k], symbol[k + 1], i, true);
    }
    touched_.clear();
  }

  bool may_join(int32_t left, int32_t right) const {
    const Shape& a = shapes_[static_cast<size_t>(left)];
    const Shape& b = shapes_[static_cast<size_t>(right)];
    bool fits = options_.max_token_chars == 0 || a.chars + b.chars <= options_.max_token_chars;
    if (!options_.whole_characters || (a.kind == Shape::kWhole && b.kind == Shape::kWhole)) {
      return fits;
    }
    // The rest of a character follows what begins it or is in its middle.
    if (b.kind != Shape::kMiddle || a.kind == Shape::kWhole) return false;
    return shape_of(bytes(left) + bytes(right)).kind != Shape::kOther;
  }

  /// A word has a pair once more, or once less.
  void change(int32_t left, int32_t right, uint32_t word, bool more) {
    constexpr uint32_t kNew = UINT32_MAX;
    constexpr uint32_t kForbidden = kNew - 1;
    uint32_t& index = pair_index_.at(left, right, kNew);
    if (index == kNew) {
      bool joins = may_join(left, right);
      index = joins ? static_cast<uint32_t>(pairs_.size()) : kForbidden;
      if (joins) pairs_.push_back({left, right});
    }
    if (index == kForbidden) return;
    PairState& pair = pairs_[index];
    pair.count += more ? words_[word].count : -words_[word].count;
    if (!more) return;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    touched_.push_back(index);
  }

  bool is_behind(const Candidate& a, const Candidate& b) const {
    if (a.count != b.count) return a.count < b.count;
    const PairState& x = pairs_[a.pair];
    const PairState& y = pairs_[b.pair];
    if (x.left != y.left) return bytes(x.left) > bytes(y.left);
    return bytes(x.right) > bytes(y.right);
  }

  void push(uint32_t index) {
    if (pairs_[index].count < std::max<int64_t>(1, options_.min_frequency)) return;
    queue_.push_back({pairs_[index].count, index});
    std::push_heap(queue_.begin(), queue_.end(),
                   [this](const Candidate& a, const Candidate& b) { return is_behind(a, b); });
  }

  Candidate pop() {
    std::pop_heap(queue_.begin(), queue_.end(),
                  [this](const Candidate& a, const Candidate& b) { return is_behind(a, b); });
    Candidate best = queue_.back();
    queue_.pop_back();
    return best;
  }

  /// False when no pair is left.
  bool merge_best() {
    while (!queue_.empty()) {
      Candidate best = pop();
      int64_t count = pairs_[best.pair].count;
      if (best.count == count) {
        merge(best.pair);
        return true;
      }
      // A count that rose was pushed again when it did.
      if (best.count > count) push(best.pair);
    }
    return false;
  }

  void merge(uint32_t index) {
    int32_t left = pairs_[index].left;
    int32_t right = pairs_[index].right;
    std::string joined = bytes(left) + bytes(right);
    auto known = ids_.find(joined);
    int32_t result = known != ids_.end() ? known->second : add_token(std::move(joined));
    // A pair comes back where its left or right token is made in another way than before.
    if (!std::exchange(pairs_[index].is_merged, true)) merges_.push_back({left, right, result});
    std::vector<uint32_t> words = std::move(pairs_[index].words);
    for (uint32_t word : words) replace(word, left, right, result);
    pairs_[index].count = 0;
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (uint32_t pair : touched_) push(pair);
    touched_.clear();
  }

  /// Joins the pair wherever a word has it, from left to right.
  void replace(uint32_t word_index, int32_t left, int32_t right, int32_t result) {
    Word& word = words_[word_index];
    int32_t* symbol = symbols_.data() + word.begin;
    uint32_t out = 0;
    for (uint32_t i = 0; i < word.length; ++i) {
      if (i + 1 == word.length || symbol[i] != left || symbol[i + 1] != right) {
        symbol[out++] = symbol[i];
        continue;
      }
      if (out > 0) {
        change(symbol[out - 1], left, word_index, false);
        change(symbol[out - 1], result, word_index, true);
      }
      if (i + 2 < word.length) {
        change(right, symbol[i + 2], word_index, false);
        change(result, symbol[i + 2], word_index, true);
      }
      symbol[out++] = result;
      ++i;
    }
    word.length = out;
  }

  const BpeTrainOptions& options_;
  std::vector<std::string> tokens_;
  std::vector<Shape> shapes_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Merge> merges_;
  std::vector<int32_t> symbols_;
  std::vector<Word> words_;
  PairMap<uint32_t> pair_index_;
  std::vector<PairState> pairs_;
  std::vector<Candidate> queue_;   // a heap
  std::vector<uint32_t> touched_;  // pairs that became more by the merge at hand
};

void check(const BpeTrainOptions& options) {
  check_special_tokens(options.special_tokens, {options.eos, options.eot, options.pad});
  auto least = kBytes + static_cast<int64_t>(options.special_tokens.size());
  require(options.vocab_size >= least,
          "vocab_size is {}, but 256 bytes and the special tokens need {}", options.vocab_size,
          least);
  require(options.max_token_chars >= 0, "max_token_chars is {}; it cannot be negative",
          options.max_token_chars);
}

}  // namespace

Tokenizer train_bpe(const WordCounts& words, const BpeTrainOptions& options,
                    const TrainProgress& progress) {
  constexpr const char* kSource = "tokenizer training";
  check(options);
  TokenizerDefinition definition;
  definition.pre_tokenizer = PreTokenizer::named(options.pre_tokenizer, kSource);
  definition.ignore_merges = find_named_pre_tokenizer(options.pre_tokenizer)->ignore_merges;
  Trainer trainer(words, options);
  trainer.run(options.vocab_size - static_cast<int64_t>(options.special_tokens.size()), progress);
  definition.tokens = trainer.tokens();
  definition.merges = std::move(trainer).merges();
  auto id_of = [&, first = definition.tokens.size()](const std::string& token) {
    const std::vector<std::string>& all = options.special_tokens;
    auto found = std::find(all.begin(), all.end(), token);
    if (found == all.end()) return kNoToken;
    return static_cast<int32_t>(first + static_cast<size_t>(found - all.begin()));
  };
  definition.eos = id_of(options.eos);
  definition.eot = id_of(options.eot);
  definition.pad = id_of(options.pad);
  for (const std::string& token : options.special_tokens) {
    AddedToken added;
    added.id = static_cast<int32_t>(definition.tokens.size());
    added.content = token;
    added.special = true;
    definition.tokens.push_back({token, TokenType::kControl, false});
    definition.added_tokens.push_back(std::move(added));
  }
  return Tokenizer(std::move(definition), kSource);
}

Tokenizer train_bpe(std::span<const std::string_view> texts, const BpeTrainOptions& options,
                    const TrainProgress& progress) {
  WordCounts words;
  words.add(texts, PreTokenizer::named(options.pre_tokenizer, "tokenizer training"));
  return train_bpe(words, options, progress);
}

}  // namespace millrace
