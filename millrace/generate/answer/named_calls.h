// Calls that begin with the function's name, and go on with a JSON object or tagged parameters:
// name[ARGS]{…}, <function=name><parameter=key>value</parameter></function>, and their like.
#pragma once

#include <string>

#include "millrace/generate/answer/call_reader.h"
#include "millrace/generate/answer/json_scanner.h"

namespace millrace {

/// Reads one call. A tagged value is JSON or a string by the tool's schema (OfferedTools::value);
/// strings are passed on while they come.
class NamedCalls : public CallReader {
 public:
  /// `bare`: refuse as soon as the name can be none.
  NamedCalls(const ChatSyntax& syntax, bool bare, AnswerOutput& output)
      : syntax_(syntax), bare_(bare), output_(output) {}

  Status read(char byte) override;
  Status read(const Lexeme& marker) override;
  bool reads_text() const override { return state_ == State::arguments && scanner_.in_string(); }

 private:
  enum class State {
    name,
    call_id,    // the model's own, which is not used
    gap,        // between the name and what follows
    arguments,  // JSON
    end,        // after them
    between,    // tagged parameters
    key,
    between_key_and_value,
    value,
  };

  bool find_name();
  Status in_name(char byte);
  Status begin_arguments();
  Status in_arguments(char byte);
  Status begin_key();
  Status in_key(char byte);
  Status begin_value();
  void in_value(char byte);
  void end_value();
  Status end_parameters(Status status);

  const ChatSyntax& syntax_;
  bool bare_;
  AnswerOutput& output_;
  State state_ = State::name;
  std::string header_;  // up to the marker before the arguments
  std::string gap_;
  std::string name_;  // a known tool's, or empty
  JsonScanner scanner_;
  int parameters_ = 0;
  std::string key_;
  std::string value_;       // where it is not passed on
  bool passes_on_ = false;  // a string's value
  bool value_begun_ = false;
  bool newline_ = false;  // held back: it may belong to the closing tag
};

}  // namespace millrace
