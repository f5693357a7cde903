// What a tokenizer is made of, as plain data: readers fill it, writers read it, and
// Tokenizer runs it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/text/decoder.h"
#include "millrace/text/normalizer.h"
#include "millrace/text/pre_tokenizer.h"

namespace millrace {

/// The id of no token.
inline constexpr int32_t kNoToken = -1;

/// What a token is for. The numbers are GGUF's.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,      // stands for what has no token; treated as kControl
  kControl = 3,      // marks structure (end of text, a speaker's turn) and is no text
  kUserDefined = 4,  // found in text before anything else
  kUnused = 5,       // never the result of encoding
  kByte = 6,
};

/// What finds the tokens of a word.
enum class ModelKind {
  kByteLevelBpe,  // merges of bytes
  kBpe,           // merges of characters
  kUnigram,       // the likeliest segmentation
  kWordPiece      // the longest piece, again and again
};

struct Token {
  /// Byte-level: what it stands for. Otherwise the piece that the model sees ("▁the", "##ing").
  std::string bytes;
  TokenType type = TokenType::kUnused;
  /// Whether the model can find it: `bytes` is then what it is in words.
  bool in_model = false;
  /// Unigram: the logarithm of its probability. BPE of SentencePiece: which merges come first.
  double score = 0;
};

/// A pair of tokens that becomes one. Ranks are positions in TokenizerDefinition::merges.
struct Merge {
  int32_t left = kNoToken;
  int32_t right = kNoToken;
  int32_t result = kNoToken;
};

/// A token that is found in text by its content, not by merges. The flags are those of Hugging
/// Face's tokenizers.
struct AddedToken {
  int32_t id = kNoToken;
  std::string content;
  bool single_word = false;  // only where no letter or digit stands beside it
  bool lstrip = false;       // takes the spaces before it
  bool rstrip = false;       // takes the spaces after it
  bool normalized = false;   // looked for in the normalised text
  bool special = false;      // no text: left out of decoded text, not found in text of users
};

struct TokenizerDefinition {
  ModelKind kind = ModelKind::kByteLevelBpe;
  /// By id. An id that nobody has is an unused token without bytes.
  std::vector<Token> tokens;
  std::vector<Merge> merges;
  /// The ranks of merges, where they are not their positions: of equal ones the leftmost goes
  /// first.
  std::vector<uint32_t> merge_ranks;
  /// Words that are tokens are not merged from parts.
  bool ignore_merges = false;
  /// Stands for a byte or a character that is no token, or (WordPiece) for a word; those are
  /// dropped where there is none.
  int32_t unknown = kNoToken;
  /// One such token for neighbours.
  bool fuse_unknown = false;
  /// A character that is no token becomes the tokens of its bytes (TokenType::kByte), if all are
  /// there.
  bool byte_fallback = false;
  /// Tokens that are found in a word before others: BPE never merges them, unigram takes them for
  /// the likeliest (SentencePiece's user-defined symbols).
  std::vector<int32_t> kept;
  /// BPE: what the last character of a word gets ("</w>").
  std::string end_of_word;
  /// WordPiece: what the pieces within a word begin with, and the most characters of a word that is
  /// not unknown.
  std::string continuing_prefix = "##";
  int64_t max_word_chars = 100;
  /// Unigram: sums in single precision, as SentencePiece does. Otherwise in double, as Hugging
  /// Face's tokenizers do, whose scores of user-defined tokens are as they are written.
  bool as_sentencepiece = false;

  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  /// Not for byte-level tokenizers, whose tokens are text as they are.
  Decoder decoder;
  std::vector<AddedToken> added_tokens;

  /// Put before and after a text that is encoded with its special tokens.
  std::vector<int32_t> prefix, suffix;
  int32_t bos = kNoToken;
  int32_t eos = kNoToken;
  int32_t eot = kNoToken;
  int32_t unk = kNoToken;
  int32_t pad = kNoToken;
  /// Tokens besides eos and eot that end a generation.
  std::vector<int32_t> other_ends;
};

}  // namespace millrace
