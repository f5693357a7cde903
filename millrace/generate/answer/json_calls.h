// Calls as JSON objects: {"name": "f", "arguments": {…}}, one or several, or an array of them; and
// [{"f": {…}}].
#pragma once

#include <string>

#include "millrace/generate/answer/call_reader.h"
#include "millrace/generate/answer/json_scanner.h"

namespace millrace {

/// The name's key may be name, tool_name or function, the arguments' arguments or parameters, in
/// any order and among other keys; arguments may be an object, its text in a string, or null; and
/// the two may stand in an object of their own at "function".
class JsonCalls : public CallReader {
 public:
  /// `keyed`: the name is the key. `bare`: refuse at the first key that no call has.
  JsonCalls(bool keyed, bool bare, bool has_close, AnswerOutput& output)
      : keyed_(keyed), bare_(bare), has_close_(has_close), output_(output) {}

  Status read(char byte) override;
  Status read(const Lexeme& marker) override;
  bool reads_text() const override;

 private:
  enum class State {
    start,      // before the first object
    between,    // after an object
    end,        // after the array
    first_key,  // before a key or the end
    next_key,   // before a key
    colon,
    value,  // before a value
    comma,  // after a value
    key,    // inside, as are the following
    name,
    arguments,  // an object
    quoted,     // arguments in a string
    other,      // any other value
  };

  Status outside(char byte);
  Status before_key(char byte);
  Status begin_value(char byte);
  Status in_value(char byte, State inside);
  Status end_value(State inside);
  Status end_object();
  Status named(const std::string& name);
  void pass_on(std::string_view json);

  bool keyed_, bare_, has_close_;
  AnswerOutput& output_;
  State state_ = State::start;
  bool array_ = false;
  bool nested_ = false;  // in the object at "function"
  bool has_arguments_ = false;
  std::string key_;
  std::string name_;   // a known tool's, or empty
  std::string text_;   // of the string that is being read
  std::string early_;  // arguments that came before the name
  JsonScanner scanner_;
};

}  // namespace millrace
