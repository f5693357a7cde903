// Template source to tokens: text outside of tags, names, literals and symbols within them.
// White-space control happens here, with trim_blocks and lstrip_blocks set as transformers sets
// them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::jinja {

/// Python's int, as far as a chat needs it: all of int64 and uint64 fits, overflow is an error.
__extension__ typedef __int128 Integer;

enum class TokenKind {
  kText,           ///< outside of tags
  kVariableBegin,  ///< {{
  kVariableEnd,    ///< }}
  kBlockBegin,     ///< {%
  kBlockEnd,       ///< %}
  kName,
  kString,
  kInteger,
  kFloat,
  kSymbol,  ///< an operator or a bracket
  kEnd,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;     ///< of text, names, symbols; of strings: their value
  Integer integer = 0;  ///< of integers
  double number = 0;    ///< of floats
};

/// Throws Error "<name>, line N: …" when the source is not a template. The last token is kEnd.
std::vector<Token> tokenize(std::string_view source, std::string_view name);

}  // namespace millrace::jinja
