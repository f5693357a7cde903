// Reads the calls behind an opening marker, a byte at a time.
#pragma once

#include <memory>
#include <string_view>

#include "millrace/generate/answer/answer_output.h"
#include "millrace/generate/answer/marker_lexer.h"
#include "millrace/generate/chat_syntax.h"

namespace millrace {

class CallReader {
 public:
  enum class Status : uint8_t {
    reading,  ///< taken, more may come
    done,     ///< taken, and the calls are complete
    after,    ///< not taken: the calls were complete before
    refused,  ///< not taken: what came since the last call is none
  };

  virtual ~CallReader() = default;
  virtual Status read(char byte) = 0;
  /// A marker of the syntax. In strings of JSON it is text (reads_text()).
  virtual Status read(const Lexeme& marker) = 0;
  /// Whether markers are part of a value, unless they are special tokens.
  virtual bool reads_text() const = 0;
};

/// A reader for calls that begin here; `first` is their first byte that is no space, which readers
/// of names leave to readers of JSON when it is a bracket. `bare`: no marker said that calls begin.
std::unique_ptr<CallReader> make_call_reader(const ChatSyntax& syntax, char first, bool bare,
                                             AnswerOutput& output);

}  // namespace millrace
