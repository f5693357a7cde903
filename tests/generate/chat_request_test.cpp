// Requests' messages as templates want them, and prompts with tools.
#include "millrace/generate/chat_request.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "tests/generate/answer_cases.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

Json list(const char* text) {
  return Json::parse(text);
}

ChatSyntax taking_calls(const char* signs = "<tool_call>") {
  ChatSyntax syntax = chat_syntax(signs);
  syntax.history = CallHistory::objects;
  return syntax;
}

Json normal(const char* messages, const ChatSyntax& syntax = taking_calls(),
            std::string_view source = "") {
  return normalise_messages(list(messages), syntax, source);
}

std::string error_of(const char* messages) {
  try {
    normal(messages);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ChatMessages, PartsOfTextAreOneContent) {
  EXPECT_EQ(normal(R"([{"role": "user", "content": [{"type": "text", "text": "a"},
                       {"type": "text", "text": "b"}], "name": "Ann"}])"),
            list(R"([{"role": "user", "content": "ab", "name": "Ann"}])"));
}

TEST(ChatMessages, DeveloperIsSystemWhereTheTemplateDoesNotKnowIt) {
  const char* messages = R"([{"role": "developer", "content": "Be brief."}])";
  EXPECT_EQ(normal(messages)[0]["role"], "system");
  EXPECT_EQ(normal(messages, taking_calls(), "role == 'developer'")[0]["role"], "developer");
}

TEST(ChatMessages, ArgumentsHaveTheFormThatTheTemplateTakes) {
  const char* messages = R"([{"role": "user", "content": "hi"},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function",
        "function": {"name": "f", "arguments": "{\"x\": [1, \"二\"]}"}}]},
      {"role": "tool", "tool_call_id": "a", "content": "fine"}])";
  Json result = normal(messages);
  EXPECT_EQ(result[1]["tool_calls"][0]["function"]["arguments"], list(R"({"x": [1, "二"]})"));
  EXPECT_FALSE(result[1].contains("content"));
  EXPECT_EQ(result[2]["name"], "f");
  ChatSyntax texts = taking_calls();
  texts.history = CallHistory::texts;
  texts.empty_content = true;
  result = normal(messages, texts);
  EXPECT_EQ(result[1]["tool_calls"][0]["function"]["arguments"], R"({"x":[1,"二"]})");
  EXPECT_EQ(result[1]["content"], "");
}

TEST(ChatMessages, ReasoningHasTheNameThatTheTemplateReads) {
  ChatSyntax syntax = taking_calls();
  syntax.reasoning_field = "thinking";
  const char* messages = R"([{"role": "user", "content": "hi"},
      {"role": "assistant", "content": "Hi.", "reasoning_content": "a greeting"},
      {"role": "assistant", "content": "Hi.", "thinking": "the same"}])";
  Json result = normal(messages, syntax);
  EXPECT_EQ(result[1],
            list(R"({"role": "assistant", "content": "Hi.", "thinking": "a greeting"})"));
  EXPECT_EQ(result[2]["thinking"], "the same");
}

TEST(ChatMessages, CallsAreWrittenForTemplatesThatTakeNone) {
  ChatSyntax syntax = chat_syntax("");
  Json result = normal(R"([{"role": "user", "content": "hi"},
      {"role": "assistant", "content": "Look.", "tool_calls": [{"id": "a", "type": "function",
        "function": {"name": "f", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "a", "content": "fine"}])",
                       syntax);
  EXPECT_EQ(result[1], list(R"({"role": "assistant", "content":
      "Look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"})"));
  EXPECT_EQ(result[2], list(R"({"role": "user", "content":
      "<tool_response>\nfine\n</tool_response>"})"));
}

TEST(ChatMessages, IdsHaveTheFamilysForm) {
  const char* messages = R"([{"role": "user", "content": "hi"},
      {"role": "assistant", "tool_calls": [
        {"id": "call_with_a_long_id", "function": {"name": "f", "arguments": "{}"}},
        {"id": "ninechars", "function": {"name": "g", "arguments": ""}}]},
      {"role": "tool", "tool_call_id": "ninechars", "content": "2"},
      {"role": "tool", "tool_call_id": "call_with_a_long_id", "content": "1"},
      {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f"}}]}])";
  Json mistral = normal(messages, taking_calls("[TOOL_CALLS]"));
  std::string first = mistral[1]["tool_calls"][0]["id"];
  EXPECT_EQ(first.size(), 9);
  EXPECT_EQ(mistral[1]["tool_calls"][1]["id"], "ninechars");
  EXPECT_EQ(mistral[3]["tool_call_id"], first);
  ChatSyntax kimi = taking_calls("<|tool_calls_section_begin|>");
  Json counted = normal(messages, kimi, "tool_call_counter");
  EXPECT_EQ(counted[2]["tool_call_id"], "functions.g:1");
  EXPECT_EQ(counted[4]["tool_calls"][0]["id"], "functions.f:2");
  EXPECT_EQ(normal(messages, kimi)[4]["tool_calls"][0]["id"], "functions.f:0");
}

TEST(ChatMessages, OneCallAMessageWhereTheTemplateTakesOne) {
  Json result = normal(R"([{"role": "user", "content": "hi"},
      {"role": "assistant", "content": "Look.", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "a", "content": "1"},
      {"role": "tool", "tool_call_id": "b", "content": "2"},
      {"role": "user", "content": "so?"}])",
                       taking_calls("<|python_tag|>"));
  ASSERT_EQ(result.size(), 6);
  EXPECT_EQ(result[1]["content"], "Look.");
  EXPECT_EQ(result[1]["tool_calls"].size(), 1);
  EXPECT_EQ(result[2]["content"], "1");
  EXPECT_EQ(result[3]["tool_calls"][0]["function"]["name"], "g");
  EXPECT_EQ(result[4]["content"], "2");
  EXPECT_EQ(result[5]["content"], "so?");
}

TEST(ChatMessages, WhatIsWrongIsNamed) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"({})", "messages: must be a list"},
      {R"([])", "messages: must be a list"},
      {R"(["hi"])", "messages[0]: must be an object"},
      {R"([{"content": "hi"}])", "messages[0].role: "},
      {R"([{"role": "wizard", "content": "hi"}])", "messages[0].role: 'wizard' is not supported"},
      {R"([{"role": "user"}])", "messages[0].content: is missing"},
      {R"([{"role": "user", "content": 3}])", "messages[0].content: must be"},
      {R"([{"role": "user", "content": [{"type": "image_url"}]}])",
       "messages[0].content[0].type: 'image_url' is not supported"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content[0].text: "},
      {R"([{"role": "assistant"}])", "messages[0].content: is missing"},
      {R"([{"role": "assistant", "tool_calls": {}}])", "messages[0].tool_calls: must be a list"},
      {R"([{"role": "assistant", "tool_calls": [{"id": "a"}]}])",
       "messages[0].tool_calls[0].function: "},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}])",
       "messages[0].tool_calls[0].id: "},
      {R"([{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f",
           "arguments": "{"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f",
           "arguments": "[]"}}]}])",
       "messages[0].tool_calls[0].function.arguments: must hold"},
      {R"([{"role": "tool", "content": "1"}])", "messages[0].tool_call_id: "},
      {R"([{"role": "tool", "tool_call_id": "a", "content": "1"}])", "no tool call before it"},
  };
  for (const auto& [messages, expected] : cases) {
    EXPECT_NE(error_of(messages).find(expected), std::string::npos)
        << messages << ": " << error_of(messages);
  }
}

LanguageModel model_with(const char* chat_template) {
  return tiny_language_model(byte_tokenizer(), chat_template);
}

std::string prompt_text(const LanguageModel& model, const char* messages,
                        const ChatPromptOptions& options) {
  return model.tokenizer.decode(
      chat_prompt(model, chat_syntax(model), list(messages), options).ids);
}

constexpr const char* kHi = R"([{"role": "user", "content": "hi"}])";

TEST(ChatPrompt, TemplatesSeeWholeTools) {
  ChatPromptOptions options;
  options.tools = list(R"([{"type": "function", "function": {"name": "f", "strict": true}}])");
  EXPECT_EQ(prompt_text(model_with("{{ tools | tojson }}"), kHi, options),
            R"([{"type": "function", "function": {"name": "f", "description": "", )"
            R"("parameters": {"type": "object", "properties": {}}}}])");
}

TEST(ChatPrompt, ToolsStandInTheSystemMessageWhereTheTemplateShowsNone) {
  LanguageModel model = tiny_language_model();  // ChatML
  ChatSyntax syntax = chat_syntax(model);
  EXPECT_FALSE(syntax.template_takes_tools);
  EXPECT_EQ(syntax.history, CallHistory::content);
  ChatPromptOptions options;
  options.tools = test_tools();
  std::string text = prompt_text(model, kHi, options);
  EXPECT_TRUE(text.starts_with("<|im_start|>system\n# Tools")) << text;
  EXPECT_NE(text.find("\"get_weather\""), std::string::npos);
  EXPECT_NE(text.find("<tool_call>\n{\"name\": \"function-name\", \"arguments\": "
                      "{\"argument-name\": \"argument-value\"}}\n</tool_call>"),
            std::string::npos)
      << text;
  text = prompt_text(model, R"([{"role": "system", "content": "Be brief."},
                               {"role": "user", "content": "hi"}])",
                     options);
  EXPECT_TRUE(text.starts_with("<|im_start|>system\nBe brief.\n\n# Tools")) << text;
}

TEST(ChatPrompt, ToolsStandInTheUsersMessageWhereThereIsNoSystemRole) {
  LanguageModel model = model_with(
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
      "{{ messages[0].content }}");
  ChatPromptOptions options;
  options.tools = test_tools();
  std::string text = prompt_text(model, kHi, options);
  EXPECT_TRUE(text.starts_with("# Tools")) << text;
  EXPECT_TRUE(text.ends_with("\n\nhi")) << text;
}

TEST(ChatPrompt, VariablesAndDocumentsReachTheTemplate) {
  ChatPromptOptions options;
  options.variables = {{"enable_thinking", false}};
  options.documents = list(R"([{"text": "paper"}])");
  EXPECT_EQ(prompt_text(model_with("{{ enable_thinking }} {{ documents[0].text }}"), kHi, options),
            "False paper");
}

TEST(ChatPrompt, SaysWhatAnAnswerNeedsToKnow) {
  LanguageModel model =
      model_with("{% for m in messages %}{{ m.content }}{% endfor %}{{ '<think>\n' }}");
  ChatPrompt prompt = chat_prompt(model, chat_syntax(model), list(R"([
      {"role": "user", "content": "hi"},
      {"role": "assistant", "content": "", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "a", "content": "1"}])"));
  EXPECT_TRUE(prompt.tail.ends_with("<think>\n"));
  EXPECT_EQ(prompt.earlier_calls, 1);
}

TEST(ChatPrompt, SpecialTokensInMessagesStayText) {
  LanguageModel model = tiny_language_model();
  ChatPrompt prompt = chat_prompt(model, chat_syntax(model),
                                  list(R"([{"role": "user", "content": "<|im_end|>"}])"));
  EXPECT_EQ(std::count(prompt.ids.begin(), prompt.ids.end(), kImEnd), 1);
}

}  // namespace
}  // namespace millrace
