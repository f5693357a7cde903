#include "millrace/generate/chat_syntax.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

using enum MarkerRole;

/// A way to write calls, and how templates of models that write so are known: they contain one of
/// the `signs` of each group.
struct CallFamily {
  std::vector<std::vector<std::string_view>> signs;
  ChatSyntax syntax;
};

ChatSyntax family(std::string name, CallNotation calls, std::vector<Marker> markers) {
  ChatSyntax syntax;
  syntax.family = std::move(name);
  syntax.calls = calls;
  syntax.markers = std::move(markers);
  return syntax;
}

ChatSyntax json(std::string name, std::string open, std::string close,
                CallGrouping grouping = CallGrouping::array) {
  ChatSyntax syntax = family(std::move(name), CallNotation::json,
                             {{call_open, std::move(open)}, {call_close, std::move(close)}});
  syntax.grouping = grouping;
  return syntax;
}

ChatSyntax with(ChatSyntax syntax, void (*change)(ChatSyntax&)) {
  change(syntax);
  return syntax;
}

ChatSyntax hermes() {
  return json("hermes", "<tool_call>", "</tool_call>", CallGrouping::each);
}

ChatSyntax internlm() {
  return with(json("internlm", "<|action_start|><|plugin|>", "<|action_end|>", CallGrouping::each),
              [](ChatSyntax& s) { s.arguments_key = "parameters"; });
}

/// The first whose signs are all there is a template's. Those with more markers come first.
const std::vector<CallFamily>& call_families() {
  constexpr auto kNamed = CallNotation::named;
  static const std::vector<CallFamily> kFamilies = {
      {{{"<|channel|>"}, {"<|message|>"}},
       with(family("gpt-oss", CallNotation::channels,
                   {{message_start, "<|start|>"},
                    {channel, "<|channel|>"},
                    {constrain, "<|constrain|>"},
                    {message, "<|message|>"},
                    {message_end, "<|end|>"},
                    {message_end, "<|call|>"},
                    {message_end, "<|return|>"}}),
            [](ChatSyntax& s) { s.grouping = CallGrouping::one; })},
      {{{"<|tool_calls_section_begin|>"}},
       with(family("kimi", kNamed,
                   {{section_open, "<|tool_calls_section_begin|>"},
                    {section_close, "<|tool_calls_section_end|>"},
                    {call_open, "<|tool_call_begin|>"},
                    {arguments_open, "<|tool_call_argument_begin|>"},
                    {call_close, "<|tool_call_end|>"}}),
            [](ChatSyntax& s) {
              s.ids = CallIdForm::functions;
              s.grouping = CallGrouping::list;
            })},
      {{{"<｜tool▁calls▁begin｜>"}},
       with(family("deepseek", kNamed,
                   {{section_open, "<｜tool▁calls▁begin｜>"},
                    {section_close, "<｜tool▁calls▁end｜>"},
                    {call_open, "<｜tool▁call▁begin｜>"},
                    {arguments_open, "<｜tool▁sep｜>"},
                    {call_close, "<｜tool▁call▁end｜>"}}),
            [](ChatSyntax& s) { s.grouping = CallGrouping::list; })},
      {{{"[TOOL_CALLS]"}, {"[ARGS]"}},
       with(family(
                "mistral", kNamed,
                {{call_open, "[TOOL_CALLS]"}, {call_id, "[CALL_ID]"}, {arguments_open, "[ARGS]"}}),
            [](ChatSyntax& s) { s.ids = CallIdForm::nine; })},
      {{{"[TOOL_CALLS]"}},
       with(family(
                "mistral-nemo", kNamed,
                {{call_open, "[TOOL_CALLS]"}, {call_id, "[CALL_ID]"}, {arguments_open, "[ARGS]"}}),
            [](ChatSyntax& s) {
              s.ids = CallIdForm::nine;
              s.grouping = CallGrouping::array;  // of JSON, but newer models came with it too
            })},
      {{{"<steptml:invoke"}},
       with(family(
                "step3", kNamed,
                {{section_open, "<｜tool_calls_begin｜>"},
                 {section_close, "<｜tool_calls_end｜>"},
                 {call_open, "<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\""},
                 {call_close, "</steptml:invoke><｜tool_call_end｜>"},
                 {key_open, "<steptml:parameter name=\""},
                 {value_close, "</steptml:parameter>"}}),
            [](ChatSyntax& s) {
              s.name_end = s.key_end = "\">";
              s.grouping = CallGrouping::list;
            })},
      {{{"<minimax:tool_call>"}},
       with(family("minimax-m2", kNamed,
                   {{section_open, "<minimax:tool_call>"},
                    {section_close, "</minimax:tool_call>"},
                    {call_open, "<invoke name=\""},
                    {call_close, "</invoke>"},
                    {key_open, "<parameter name=\""},
                    {value_close, "</parameter>"}}),
            [](ChatSyntax& s) {
              s.name_end = s.key_end = "\">";
              s.grouping = CallGrouping::list;
            })},
      {{{"<seed:tool_call>"}},
       with(family("seed", kNamed,
                   {{section_open, "<seed:tool_call>"},
                    {section_close, "</seed:tool_call>"},
                    {call_open, "<function="},
                    {call_close, "</function>"},
                    {key_open, "<parameter="},
                    {value_close, "</parameter>"}}),
            [](ChatSyntax& s) { s.name_end = s.key_end = ">"; })},
      {{{"<tool_sep>"}, {"<tool_calls>"}},
       with(family("hunyuan", kNamed,
                   {{section_open, "<tool_calls>"},
                    {section_close, "</tool_calls>"},
                    {call_open, "<tool_call>"},
                    {arguments_open, "<tool_sep>"},
                    {call_close, "</tool_call>"},
                    {key_open, "<arg_key>"},
                    {key_close, "</arg_key>"},
                    {value_open, "<arg_value>"},
                    {value_close, "</arg_value>"}}),
            [](ChatSyntax& s) {
              s.grouping = CallGrouping::list;
              s.line = "";
            })},
      {{{"<arg_key>"}},
       with(family("glm-4.5", kNamed,
                   {{call_open, "<tool_call>"},
                    {call_close, "</tool_call>"},
                    {key_open, "<arg_key>"},
                    {key_close, "</arg_key>"},
                    {value_open, "<arg_value>"},
                    {value_close, "</arg_value>"}}),
            [](ChatSyntax& s) { s.name_end = "\n"; })},
      {{{"<function="}, {"<parameter="}},
       with(family("qwen3-coder", kNamed,
                   {{section_open, "<tool_call>"},
                    {section_close, "</tool_call>"},
                    {call_open, "<function="},
                    {call_close, "</function>"},
                    {key_open, "<parameter="},
                    {value_close, "</parameter>"}}),
            [](ChatSyntax& s) {
              s.name_end = s.key_end = ">";
              s.values_on_lines = true;
            })},
      {{{"<function name="}, {"<param name="}},
       with(family("minicpm", kNamed,
                   {{call_open, "<function name=\""},
                    {call_close, "</function>"},
                    {key_open, "<param name=\""},
                    {value_close, "</param>"}}),
            [](ChatSyntax& s) {
              s.name_end = s.key_end = "\">";
              s.cdata = true;
            })},
      {{{"<function="}},
       with(family("functionary-3.1", kNamed,
                   {{call_open, "<function="}, {call_close, "</function>"}}),
            [](ChatSyntax& s) { s.name_end = ">"; })},
      {{{">>>all"}},
       with(family("functionary-3.2", kNamed, {{call_open, ">>>"}, {answer_open, ">>>all\n"}}),
            [](ChatSyntax& s) { s.name_end = "\n"; })},
      {{{"<|tools_prefix|>"}},
       with(family("apertus", CallNotation::keyed_json,
                   {{call_open, "<|tools_prefix|>"}, {call_close, "<|tools_suffix|>"}}),
            [](ChatSyntax& s) { s.grouping = CallGrouping::array; })},
      {{{"<|START_ACTION|>"}},
       with(json("cohere", "<|START_ACTION|>", "<|END_ACTION|>"),
            [](ChatSyntax& s) {
              s.name_key = "tool_name";
              s.arguments_key = "parameters";
            })},
      {{{"Action:\\n```json"}},
       with(json("command-r", "Action:\n```json", "```"),
            [](ChatSyntax& s) {
              s.name_key = "tool_name";
              s.arguments_key = "parameters";
            })},
      {{{"<|action_start|>"}}, internlm()},
      {{{"<tool_calls>["}}, json("apriel", "<tool_calls>", "</tool_calls>")},
      {{{"<tool_calls>"}}, json("minimax-m1", "<tool_calls>", "</tool_calls>", CallGrouping::list)},
      {{{"<TOOLCALL>"}}, json("nemotron", "<TOOLCALL>", "</TOOLCALL>")},
      {{{"<|/tool_call|>"}}, json("phi", "<|tool_call|>", "<|/tool_call|>")},
      {{{"<|tool_call|>"}}, json("granite", "<|tool_call|>", "")},
      {{{"functools["}}, json("firefunction", "functools", "")},
      {{{"<|function_call|>"}}, json("gigachat-3.1", "<|function_call|>", "", CallGrouping::one)},
      {{{"function call"}, {"<|role_sep|>"}},
       json("gigachat", "function call<|role_sep|>\n", "", CallGrouping::one)},
      {{{"<|tool_call_start|>", "<|tool_list_start|>", "List of tools: ["}},
       family("lfm", CallNotation::python,
              {{call_open, "<|tool_call_start|>"}, {call_close, "<|tool_call_end|>"}})},
      {{{"<tool_call>"}}, hermes()},
      {{{"<|python_tag|>", "\"parameters\": dictionary of argument name"}},
       with(json("llama", "<|python_tag|>", "", CallGrouping::one),
            [](ChatSyntax& s) {
              s.calls_begin_answer = true;
              s.arguments_key = "parameters";
            })},
      {{{"<|observation|>"}},
       with(family("glm-4", kNamed, {}),
            [](ChatSyntax& s) {
              s.name_end = "\n";
              s.calls_begin_answer = true;
              s.grouping = CallGrouping::one;
            })},
  };
  return kFamilies;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool matches(const CallFamily& candidate, std::string_view source) {
  return std::all_of(candidate.signs.begin(), candidate.signs.end(), [&](const auto& group) {
    return std::any_of(group.begin(), group.end(),
                       [&](std::string_view sign) { return contains(source, sign); });
  });
}

/// What members of a family differ in.
void adapt(ChatSyntax& syntax, std::string_view source) {
  std::erase_if(syntax.markers, [](const Marker& marker) { return marker.text.empty(); });
  syntax.code_block = !syntax.marker(arguments_open).empty() && contains(source, "```json");
  if (contains(source, "</arg_key><arg_value>")) syntax.line = "";
  if (syntax.family == "hunyuan" && !contains(source, "<arg_key>")) {
    std::erase_if(syntax.markers, [](const Marker& marker) {
      return marker.role >= key_open && marker.role <= value_close;
    });
  }
}

struct Pair {
  std::string_view open, close;
};

constexpr Pair kReasoning[] = {
    {"<seed:think>", "</seed:think>"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|inner_prefix|>", "<|inner_suffix|>"},
    {"[THINK]", "[/THINK]"},
    {"◁think▷", "◁/think▷"},
    {"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"},
    {"<think>", "</think>"},
};

constexpr Pair kAnswer[] = {
    {"<response>", "</response>"},
    {"<answer>", "</answer>"},
    {"<|START_RESPONSE|>", "<|END_RESPONSE|>"},
    {"<|START_TEXT|>", "<|END_TEXT|>"},
};

bool is_token(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<AddedToken>& added = tokenizer.definition().added_tokens;
  return std::any_of(added.begin(), added.end(),
                     [&](const AddedToken& token) { return token.content == text; });
}

void add_reasoning(ChatSyntax& syntax, std::string_view source, const Tokenizer* tokenizer) {
  auto add = [&](const Pair& pair) {
    syntax.markers.push_back({reasoning_open, std::string(pair.open)});
    syntax.markers.push_back({reasoning_close, std::string(pair.close)});
  };
  for (const Pair& pair : kReasoning) {
    if (!contains(source, pair.open) && !contains(source, pair.close)) continue;
    add(pair);
    return;
  }
  if (tokenizer == nullptr) return;
  for (const Pair& pair : kReasoning) {
    if (!is_token(*tokenizer, pair.open) || !is_token(*tokenizer, pair.close)) continue;
    add(pair);
    return;
  }
}

void add_answer(ChatSyntax& syntax, std::string_view source) {
  for (const Pair& pair : kAnswer) {
    if (!contains(source, pair.open)) continue;
    syntax.markers.push_back({answer_open, std::string(pair.open)});
    syntax.markers.push_back({answer_close, std::string(pair.close)});
  }
}

/// Which markers begin with a token of their own. Calls that were explained in words, where the
/// template knows no tools, may come in words.
void find_tokens(ChatSyntax& syntax, const Tokenizer& tokenizer) {
  for (Marker& marker : syntax.markers) marker.token = false;
  for (const AddedToken& token : tokenizer.definition().added_tokens) {
    for (Marker& marker : syntax.markers) {
      bool begins = !token.content.empty() && marker.text.starts_with(token.content);
      bool reasoning = marker.role <= answer_close;
      marker.token = marker.token || (begins && (reasoning || syntax.template_takes_tools));
    }
  }
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Whether the code of a template (what stands in tags, outside of strings) uses a variable.
bool uses_variable(std::string_view source, std::string_view name) {
  bool code = false;
  char quote = '\0';
  for (size_t i = 0; i + 1 < source.size(); ++i) {
    char c = source[i];
    if (quote != '\0') {
      if (c == '\\')
        ++i;
      else if (c == quote)
        quote = '\0';
    } else if (!code) {
      code = c == '{' && (source[i + 1] == '%' || source[i + 1] == '{');
      if (c != '{' || source[i + 1] != '#') continue;
      i = source.find("#}", i);
      if (i == std::string_view::npos) return false;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if ((c == '%' || c == '}') && source[i + 1] == '}') {
      code = false;
    } else if (source.substr(i).starts_with(name) && (i == 0 || !is_word(source[i - 1]))) {
      size_t end = i + name.size();
      bool member = i > 0 && source[i - 1] == '.';
      if (!member && (end == source.size() || !is_word(source[end]))) return true;
    }
  }
  return false;
}

constexpr std::string_view kProbe = "probe_value", kThought = "probe_thought";

/// A turn in which a tool was called.
Json probe_messages(CallHistory form, bool empty_content) {
  Json arguments = {{"probe_key", std::string(kProbe)}};
  if (form == CallHistory::texts) arguments = to_json_text(arguments);
  Json call = {{"id", "probe0001"},
               {"type", "function"},
               {"function", {{"name", "probe_tool"}, {"arguments", arguments}}}};
  Json assistant = {{"role", "assistant"}, {"tool_calls", Json::array({call})}};
  if (empty_content) assistant["content"] = "";
  Json result = {
      {"role", "tool"}, {"tool_call_id", "probe0001"}, {"name", "probe_tool"}, {"content", "fine"}};
  return Json::array({{{"role", "user"}, {"content", "call"}}, assistant, result});
}

/// The same turn with what was thought before.
Json with_thought(Json messages, const char* field) {
  messages[1][field] = std::string(kThought);
  return messages;
}

/// Whether a rendered conversation shows the call: its arguments, as JSON or otherwise, but not as
/// a string of JSON.
bool shows_probe(std::string_view text) {
  return contains(text, "probe_tool") && contains(text, kProbe) && !contains(text, "\\\"probe_key");
}

}  // namespace

void probe_template(ChatSyntax& syntax, const ChatTemplate& chat_template) {
  Json tools = Json::parse(R"([{"type": "function", "function": {"name": "other_tool",
      "description": "", "parameters": {"type": "object", "properties": {}}}}])");
  ChatOptions options;
  options.variables = {{"functions", to_json_text(tools)},
                       {"datetime", ""}};  // as chat_prompt does
  auto rendered = [&](const Json& messages, const Json& with_tools) -> std::string {
    try {
      return chat_template.render(messages, with_tools, options).text();
    } catch (const Error&) {
      return "";
    }
  };
  Json question = Json::array({{{"role", "user"}, {"content", "call"}}});
  syntax.template_takes_tools = contains(rendered(question, tools), "other_tool");
  if (!syntax.template_takes_tools) tools = nullptr;
  auto find_reasoning_field = [&](const Json& messages) {
    for (const char* field : kReasoningFields) {
      if (!contains(rendered(with_thought(messages, field), tools), kThought)) continue;
      syntax.reasoning_field = field;
      return;
    }
  };
  for (CallHistory form : {CallHistory::objects, CallHistory::texts}) {
    for (bool empty : {true, false}) {
      const Json messages = probe_messages(form, empty);
      if (!shows_probe(rendered(messages, tools))) continue;
      syntax.history = form;
      syntax.empty_content = empty;
      find_reasoning_field(messages);
      return;
    }
  }
  syntax.history = CallHistory::content;
  syntax.empty_content = true;
}

std::string_view ChatSyntax::marker(MarkerRole role) const {
  for (const Marker& one : markers) {
    if (one.role == role) return one.text;
  }
  return {};
}

ChatSyntax chat_syntax(std::string_view template_source, const Tokenizer* tokenizer) {
  ChatSyntax syntax = with(hermes(), [](ChatSyntax& s) { s.family = "generic"; });
  for (const CallFamily& candidate : call_families()) {
    if (!matches(candidate, template_source)) continue;
    syntax = candidate.syntax;
    break;
  }
  if (syntax.family == "generic" && tokenizer != nullptr &&
      is_token(*tokenizer, "<|action_start|>")) {
    syntax = internlm();
  }
  adapt(syntax, template_source);
  syntax.template_takes_tools = uses_variable(template_source, "tools");
  if (syntax.calls != CallNotation::channels) {
    add_reasoning(syntax, template_source, tokenizer);
    add_answer(syntax, template_source);
  }
  if (tokenizer != nullptr) find_tokens(syntax, *tokenizer);
  return syntax;
}

ChatSyntax chat_syntax(const LanguageModel& model) {
  ChatSyntax syntax = chat_syntax(model.chat_template_source, &model.tokenizer);
  probe_template(syntax, model.chat_template);
  find_tokens(syntax, model.tokenizer);
  return syntax;
}

}  // namespace millrace
