// Any text as what a model of any family says: deltas keep their rules, and do not depend on how
// the text is cut. The first byte chooses the family, the second where to cut.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/chat_answer.h"

namespace {

using millrace::AnswerDelta;

const std::vector<millrace::ChatSyntax>& syntaxes() {
  static const std::vector<millrace::ChatSyntax> kAll = [] {
    std::vector<millrace::ChatSyntax> all;
    for (const char* signs :
         {"<tool_call> <think>", "<function= <parameter= <think>", "<arg_key> <think>",
          "[TOOL_CALLS]", "[TOOL_CALLS] [ARGS]", "<|channel|> <|message|>",
          "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜> ```json", "<minimax:tool_call>",
          "<seed:tool_call>", "<function name= <param name=", ">>>all", "<|tools_prefix|>",
          "<|python_tag|>", "<|observation|>", "List of tools: [",
          "<tool_sep> <tool_calls> <arg_key>"}) {
      all.push_back(millrace::chat_syntax(signs));
    }
    return all;
  }();
  return kAll;
}

const millrace::AnswerOptions& options() {
  static const millrace::AnswerOptions kOptions = [] {
    millrace::AnswerOptions made;
    made.tools = millrace::Json::parse(R"([{"type": "function", "function": {"name": "f",
        "parameters": {"properties": {"s": {"type": "string"}, "n": {"type": "integer"}}}}}])");
    made.stop = {"stop"};
    return made;
  }();
  return kOptions;
}

AnswerDelta parse(const millrace::ChatSyntax& syntax, std::string_view text, size_t piece) {
  millrace::AnswerParser parser(syntax, options());
  AnswerDelta answer;
  for (size_t at = 0; at < text.size(); at += piece)
    answer.append(parser.add(text.substr(at, piece)));
  answer.append(parser.finish());
  if (parser.has_tool_calls() == answer.tool_calls.empty()) std::abort();
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const millrace::ChatSyntax& syntax = syntaxes()[data[0] % syntaxes().size()];
  std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  AnswerDelta whole = parse(syntax, text, text.size() + 1);
  AnswerDelta cut = parse(syntax, text, data[1] % 16 + 1u);
  bool same = whole.reasoning == cut.reasoning && whole.content == cut.content &&
              whole.tool_calls == cut.tool_calls;
  if (!same) std::abort();
  for (size_t i = 0; i < whole.tool_calls.size(); ++i) {
    if (whole.tool_calls[i].index != static_cast<int>(i)) std::abort();
    if (whole.tool_calls[i].name != "f") std::abort();
  }
  return 0;
}
