// What a byte-level BPE tokenizer is made of, as plain data: readers fill it, writers read it, and
// Tokenizer runs it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

struct Token {
  std::string bytes;
  TokenType type = TokenType::kUnused;
  /// Whether merges can lead to it: `bytes` is then what it stands for in words.
  bool in_model = false;
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
  /// By id. An id that nobody has is an unused token without bytes.
  std::vector<Token> tokens;
  std::vector<Merge> merges;
  /// Words that are tokens are not merged from parts.
  bool ignore_merges = false;
  /// Stands for a byte that is no token; such bytes are dropped where there is none.
  int32_t unknown_byte = kNoToken;
  /// One such token for neighbouring bytes.
  bool fuse_unknown = false;

  Normalizer normalizer = Normalizer::kNone;
  PreTokenizer pre_tokenizer;
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
