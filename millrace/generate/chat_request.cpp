#include "millrace/generate/chat_request.h"

#include <ctime>

#include "millrace/base/error.h"
#include "millrace/generate/answer/call_writing.h"
#include "millrace/generate/answer/offered_tools.h"

namespace millrace {
namespace {

constexpr size_t kTailBytes = 256;

/// Tools as templates take them for granted: with description and parameters.
Json complete_tools(const Json& tools) {
  Json result = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    Json function = tool_function(tools[i]);
    require(function.is_object() && function.contains("name") && function["name"].is_string(),
            "tools[{}].function.name: must be a string", i);
    function.erase("strict");  // is about how the answer is sampled
    if (!function.contains("description") || !function["description"].is_string()) {
      function["description"] = "";
    }
    if (!function.contains("parameters") || !function["parameters"].is_object()) {
      function["parameters"] = Json::object();
    }
    Json& parameters = function["parameters"];
    if (!parameters.contains("type")) parameters["type"] = "object";
    if (!parameters.contains("properties")) parameters["properties"] = Json::object();
    result.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return result;
}

/// What a model is told of tools by us.
std::string describe_tools(const ChatSyntax& syntax, const Json& tools) {
  std::string text =
      "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
      "provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (const Json& tool : tools) text += "\n" + to_json_text(tool);
  Json example = Json::array(
      {{{"name", "function-name"}, {"arguments", {{"argument-name", "argument-value"}}}}});
  return text +
         "\n</tools>\n\nTo call a function, write its name and arguments exactly in this form:\n" +
         write_calls(syntax, example);
}

void add_to_system_message(Json& messages, const std::string& text) {
  if (messages[0]["role"] == "system") {
    messages[0]["content"] = messages[0]["content"].get<std::string>() + "\n\n" + text;
  } else {
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", text}});
  }
}

void add_to_first_user_message(Json& messages, const std::string& text) {
  for (Json& message : messages) {
    if (message["role"] != "user") continue;
    message["content"] = text + "\n\n" + message["content"].get<std::string>();
    return;
  }
}

RenderedChat render_with_described_tools(const ChatTemplate& chat_template, const Json& messages,
                                         const std::string& description,
                                         const ChatOptions& options) {
  Json with_system = messages;
  add_to_system_message(with_system, description);
  try {
    return chat_template.render(with_system, nullptr, options);
  } catch (const Error&) {
    if (messages[0]["role"] == "system") throw;
  }
  Json with_user = messages;  // the template knows no system role
  add_to_first_user_message(with_user, description);
  return chat_template.render(with_user, nullptr, options);
}

/// Templates of FireFunction take tools and time under names of their own.
void add_variables(ChatOptions& options, const Json& tools) {
  if (!options.variables.contains("functions")) {
    options.variables["functions"] = to_json_text(tools, 4);
  }
  if (!options.variables.contains("datetime")) {
    std::time_t now = std::time(nullptr);
    std::tm local = {};
    localtime_r(&now, &local);
    char text[64];
    size_t length = std::strftime(text, sizeof(text), "%b %d %Y %H:%M:%S", &local);
    options.variables["datetime"] = std::string(text, length);
  }
}

int count_calls(const Json& messages) {
  size_t count = 0;
  for (const Json& message : messages) {
    auto calls = message.find("tool_calls");
    if (calls != message.end() && calls->is_array()) count += calls->size();
  }
  return static_cast<int>(count);
}

}  // namespace

ChatPrompt chat_prompt(const LanguageModel& model, const ChatSyntax& syntax, const Json& messages,
                       const ChatPromptOptions& options) {
  Json normal = normalise_messages(messages, syntax, model.chat_template_source);
  bool has_tools = options.tools.is_array() && !options.tools.empty();
  require(has_tools || options.tools.is_null() || options.tools.is_array(),
          "tools: must be a list of tools");
  Json tools = has_tools ? complete_tools(options.tools) : Json();
  ChatOptions rendering;
  rendering.variables = options.variables;
  rendering.documents = options.documents;
  if (model.chat_template_source.find("functions") != std::string::npos) {
    add_variables(rendering, has_tools ? tools : Json::array());
  }
  RenderedChat chat = has_tools && !syntax.template_takes_tools
                          ? render_with_described_tools(model.chat_template, normal,
                                                        describe_tools(syntax, tools), rendering)
                          : model.chat_template.render(normal, tools, rendering);
  ChatPrompt prompt;
  std::vector<TextSegment> segments;
  for (const ChatSegment& segment : chat.segments) {
    segments.push_back({segment.text, segment.trusted});
  }
  prompt.ids = model.tokenizer.encode(segments, false);
  prompt.tail = chat.text();
  if (prompt.tail.size() > kTailBytes) prompt.tail.erase(0, prompt.tail.size() - kTailBytes);
  prompt.earlier_calls = count_calls(messages);
  return prompt;
}

}  // namespace millrace
