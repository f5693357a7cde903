// A chat in OpenAI's terms, into which each API's request is brought, turned into what is asked of
// a model.
#pragma once

#include <string>

#include "millrace/base/json.h"
#include "millrace/serve/answer_request.h"
#include "millrace/serve/fields.h"

namespace millrace::serve {

/// Which of its tools a model may or must call.
struct ToolChoice {
  enum class Kind : uint8_t { automatic, none, required, named };
  Kind kind = Kind::automatic;
  std::string name;  ///< of `named`
};

/// What form the answer must have.
struct ResponseFormat {
  enum class Kind : uint8_t { text, json_object, json_schema, grammar, regex };
  Kind kind = Kind::text;
  Json schema;         ///< of json_schema
  std::string source;  ///< of grammar and regex
  std::string param;   ///< the field that it came from, for errors
};

struct Chat {
  Json messages;  ///< OpenAI's
  Json tools;     ///< OpenAI's functions, or null
  ToolChoice tool_choice;
  bool parallel_calls = true;
  ResponseFormat format;
  Json documents;
  Json variables = Json::object();  ///< for the template
};

/// Prompt, parser and constraint of a chat. Throws ApiError for one that the model cannot have.
void set_chat(AnswerRequest& request, const Chat& chat);

/// Holds a sequence to calls of the tools, where `tool_choice` demands one.
void set_demand(AnswerRequest& request, const Chat& chat);

/// Holds a sequence to a form.
void set_format(AnswerRequest& request, const ResponseFormat& format);

/// How tokens are chosen: temperature, top_p, seed and so on, as OpenAI names them, and those that
/// other servers have besides.
void read_sampling(Fields& fields, AnswerRequest& request);

/// `stop`: null, a string or a list of them.
std::vector<std::string> read_stop(Fields& fields, const char* name = "stop");

/// Checks OpenAI's list of functions and reads `tool_choice` and `parallel_tool_calls`.
void read_tools(Fields& fields, Chat& chat);

/// How much the model is to reason, for its template: `name` of `fields`.
void read_effort(Fields& fields, const char* name, Chat& chat);

/// `response_format`, and `grammar` and `regex`, which Millrace has besides.
ResponseFormat read_format(Fields& fields);

}  // namespace millrace::serve
