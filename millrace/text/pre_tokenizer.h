// Pre-tokenization: text is cut into words, within which tokens stay.
#pragma once

#include <optional>
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

/// A sequence of splits, each applied to every word that the one before it made. One step, at most,
/// changes the words: spaces become a symbol, which may also begin each of them (Metaspace).
class PreTokenizer {
 public:
  /// Reads tokenizer.json's "pre_tokenizer" (or null): Split, Digits, Punctuation, Whitespace,
  /// WhitespaceSplit, CharDelimiterSplit, BertPreTokenizer, Metaspace and ByteLevel, alone or in a
  /// Sequence. Throws Error that begins with `source` for any other type or a malformed one.
  static PreTokenizer from_json(const Json& pre_tokenizer, std::string_view source);

  /// The pre-tokenizer that llama.cpp and GGUF files call "gpt-2", "llama-bpe", "qwen2",
  /// "deepseek-v3", … Throws Error that begins with `source` for an unknown name.
  static PreTokenizer named(std::string_view name, std::string_view source);

  /// With `byte_level_words`, a ByteLevel comes last.
  Json to_json(bool byte_level_words) const;

  /// Whether it isolates the matches of these expressions, in this order, and does nothing else.
  bool isolates(std::span<const std::string_view> expressions) const;

  /// Whether a text that does not begin with a space is to get one (RoBERTa).
  bool add_prefix_space() const { return add_prefix_space_; }
  /// Whether words are bytes (ByteLevel).
  bool has_byte_level() const { return has_byte_level_; }
  bool has_metaspace() const { return metaspace_.has_value(); }
  /// What Metaspace puts before words: "always", "first" (only before a text) or "never".
  std::string_view prepend_scheme() const;
  bool empty() const { return splits_.empty() && !metaspace_; }

  /// Appends the words of `text` in order; none is empty, and together they hold all of it but
  /// what a split removes. The text may be any bytes: where it is not UTF-8, its words are those
  /// that it would have with U+FFFD in those places. Throws Error when an expression takes too
  /// long (see Pattern::find_all).
  void split(std::string_view text, std::vector<TextRange>& words) const;

  /// As split(), with what changes the text: returns the text that the words lie in, which is
  /// `changed` or the one given. `is_first` says that the text is not what follows an added token.
  std::string_view change_and_split(std::string_view text, bool is_first, std::string& changed,
                                    std::vector<TextRange>& words) const;

 private:
  enum class Prepend { kAlways, kFirst, kNever };
  struct Metaspace {
    std::string symbol;
    Prepend prepend = Prepend::kAlways;
    bool splits = true;   // words begin at the symbol
    size_t position = 0;  // how many of splits_ come before it
  };
  struct Split {
    std::string expression;
    Pattern pattern;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;  // the text between matches takes the matches' place
  };

  void append(const Json& description, std::string_view source, int depth);
  void append_split(std::string_view expression, SplitBehavior behavior, bool invert,
                    std::string_view source);
  void append_metaspace(const Json& description, std::string_view source);
  void choose_scanner();
  static void add_changed(const Metaspace& metaspace, std::string_view word, bool is_first,
                          std::string& changed);
  void run(size_t first, size_t end, std::string_view text, std::vector<TextRange>& words) const;
  void run_utf8(size_t first, size_t end, std::string_view text,
                std::vector<TextRange>& words) const;
  static void apply(const Split& split, std::string_view text, TextRange word,
                    std::vector<TextRange>& matches, std::vector<TextRange>& words);

  std::vector<Split> splits_;
  WordScanner scanner_ = nullptr;  // where there is one that does all the splits
  std::optional<Metaspace> metaspace_;
  bool add_prefix_space_ = false;
  bool has_byte_level_ = false;
};

}  // namespace millrace
