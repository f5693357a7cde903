// Grammars of whole answers in a chat: calls that a request demands (tool_choice), or content of a
// given form (response_format), after whatever reasoning the family writes before.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/generate/chat_syntax.h"
#include "millrace/generate/grammar/grammar.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

struct CallDemand {
  std::string tool;      ///< the function that is to be called, once; empty: any of the tools
  bool parallel = true;  ///< several calls are allowed, where the family writes several
};

/// Answers that are calls of the tools, in the family's syntax: reasoning if the model has any,
/// then calls whose arguments are valid by the tools' schemas (as grammar_from_json_schema finds
/// them; tagged parameters each by its own), and nothing else. With OpenAI's `tools`; `prompt_tail`
/// says whether the reasoning is open. The answer is to be read with AnswerOptions::demanded.
///
/// Every family can be held to its syntax so. Values that stand without quotes end at the first
/// closing tag, which they therefore cannot contain; `pattern` and lengths do not bind them.
/// Throws Error that names the tool for schemas that no grammar can be made of, and for a tool
/// that is not among the tools.
Grammar call_grammar(const ChatSyntax& syntax, const Tokenizer& tokenizer, const Json& tools,
                     std::string_view prompt_tail, const CallDemand& demand = {});

/// Answers of any text in which calls, where the model makes some, are of the tools, in the family's
/// syntax and valid by the tools' schemas (`strict` functions of which none is demanded). Throws as
/// call_grammar does, and for a family without a call_marker.
Grammar strict_call_grammar(const ChatSyntax& syntax, const Tokenizer& tokenizer, const Json& tools,
                            std::string_view prompt_tail, bool parallel = true);

/// What calls begin with and no other text does; empty for families that have no such marker.
std::string call_marker(const ChatSyntax& syntax);

/// Answers whose content matches `content`, after reasoning if the model has any: in a chat the
/// grammar of a response_format must leave room for it.
Grammar content_grammar(const ChatSyntax& syntax, const Tokenizer& tokenizer,
                        std::string_view prompt_tail, const Grammar& content);

}  // namespace millrace
