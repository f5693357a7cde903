// Pre-tokenization: text is cut into words, within which byte-pair merges stay.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/text/pattern.h"
#include "millrace/text/word_scanner.h"

namespace millrace {

/// What happens to the matches of a split's expression and to the text between them.
enum class SplitBehavior {
  kRemoved,             // matches are dropped
  kIsolated,            // each match and each text between is a word
  kMergedWithPrevious,  // a match joins the text before it
  kMergedWithNext,      // a match joins the text after it
  kContiguous,          // matches that touch each other are one word
};

/// A sequence of splits, each applied to every word that the one before it made; all that
/// byte-level tokenizers do can be said so.
class PreTokenizer {
 public:
  /// Reads tokenizer.json's "pre_tokenizer": Split, Digits, Punctuation and ByteLevel, alone or in
  /// a Sequence. Throws Error that begins with `source` for any other type or a malformed one, and
  /// where there is no ByteLevel.
  static PreTokenizer from_json(const Json& pre_tokenizer, std::string_view source);

  /// The pre-tokenizer that llama.cpp and GGUF files call "gpt-2", "llama-bpe", "qwen2",
  /// "deepseek-v3", … Throws Error that begins with `source` for an unknown name.
  static PreTokenizer named(std::string_view name, std::string_view source);

  Json to_json() const;

  /// Whether it isolates the matches of these expressions, in this order, and does nothing else.
  bool isolates(std::span<const std::string_view> expressions) const;

  /// Whether a text that does not begin with a space is to get one (RoBERTa).
  bool add_prefix_space() const { return add_prefix_space_; }

  /// Appends the words of `text` in order; none is empty, and together they hold all of it but
  /// what a split removes. The text may be any bytes: where it is not UTF-8, its words are those
  /// that it would have with U+FFFD in those places. Throws Error when an expression takes too
  /// long (see Pattern::find_all).
  void split(std::string_view text, std::vector<TextRange>& words) const;

 private:
  struct Split {
    std::string expression;
    Pattern pattern;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;  // the text between matches takes the matches' place
  };

  void append(const Json& description, std::string_view source);
  void append_split(std::string_view expression, SplitBehavior behavior, bool invert,
                    std::string_view source);
  void choose_scanner();
  void split_utf8(std::string_view text, std::vector<TextRange>& words) const;
  static void apply(const Split& split, std::string_view text, TextRange word,
                    std::vector<TextRange>& matches, std::vector<TextRange>& words);

  std::vector<Split> splits_;
  WordScanner scanner_ = nullptr;  // where there is one that does all the splits
  bool add_prefix_space_ = false;
  bool has_byte_level_ = false;
};

}  // namespace millrace
