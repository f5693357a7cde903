// Calls written in a family's syntax: what its models are shown, and what a grammar asks of them.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/generate/chat_syntax.h"

namespace millrace {

/// The literal text around what differs from call to call.
struct CallWriting {
  std::string begin, between, end;  ///< around all calls
  std::string before_name, after_name;
  std::string after_arguments;
  bool has_index = false;  ///< a colon and the call's number in the conversation follow the name
  /// Arguments are a JSON object, or one by one: before a name, between it and its value, after
  /// the value, between two of them.
  bool tagged = false;
  std::string before_key, after_key, after_value, between_values;
  bool raw_strings = false;  ///< strings stand as they are, without quotes
};

CallWriting call_writing(const ChatSyntax& syntax);

/// OpenAI's tool_calls, whose arguments are objects or their text, as a model would write them.
/// `first_index`: how many calls came before in the conversation.
std::string write_calls(const ChatSyntax& syntax, const Json& tool_calls, int first_index = 0);

}  // namespace millrace
