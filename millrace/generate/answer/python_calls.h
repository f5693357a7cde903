// Calls as Python writes them: [f(a=1, b='two'), g()].
#pragma once

#include <string>

#include "millrace/generate/answer/call_reader.h"
#include "millrace/generate/answer/python_literal.h"

namespace millrace {

/// Arguments have names, as in every model's training data; calls with others are none.
class PythonCalls : public CallReader {
 public:
  PythonCalls(bool has_close, AnswerOutput& output) : has_close_(has_close), output_(output) {}

  Status read(char byte) override;
  Status read(const Lexeme& marker) override;
  bool reads_text() const override { return state_ == State::value && value_end_.in_string(); }

 private:
  enum class State { start, name, key, value, between, end };

  Status in_name(char byte);
  Status in_key(char byte);
  Status in_value(char byte);
  Status end_call();

  bool has_close_;
  AnswerOutput& output_;
  State state_ = State::start;
  bool list_ = false;
  std::string name_;
  std::string text_;  // of a key or a value
  std::string key_;
  int arguments_ = 0;
  PythonLiteralEnd value_end_;
};

}  // namespace millrace
