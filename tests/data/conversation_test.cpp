#include "millrace/data/conversation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

/// "user: hi | assistant*: hello", a star marking what is scored.
std::string summary(const Conversation& conversation) {
  std::string text;
  for (const Message& message : conversation.messages) {
    if (!text.empty()) text += " | ";
    text += message.role + (message.scored ? "*: " : ": ") + message.content;
    EXPECT_EQ(message.fields["role"], message.role);
    EXPECT_EQ(message.fields["content"], message.content);
  }
  return text;
}

Conversation parse(ConversationFormat format, const std::string& json) {
  return parse_conversation(parse_json(json, "x"), format, "x");
}

std::string error_of(ConversationFormat format, const std::string& json) {
  try {
    parse(format, json);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

constexpr auto kAlpaca = ConversationFormat::alpaca;
constexpr auto kShareGpt = ConversationFormat::sharegpt;
constexpr auto kMessages = ConversationFormat::messages;

TEST(Conversation, Alpaca) {
  EXPECT_EQ(summary(parse(kAlpaca, R"({"instruction": "Add", "input": "1 2", "output": "3"})")),
            "user: Add\n1 2 | assistant*: 3");
  EXPECT_EQ(summary(parse(kAlpaca, R"({"instruction": "Hi", "input": "", "output": "Ho",
                                       "system": "Be brief", "history": [["a", "b"]]})")),
            "system: Be brief | user: a | assistant*: b | user: Hi | assistant*: Ho");
}

TEST(Conversation, APageOfTextInAnyFormat) {
  for (ConversationFormat format : {kAlpaca, kShareGpt, kMessages}) {
    Conversation page = parse(format, R"({"text": "a page"})");
    EXPECT_EQ(page.text, "a page");
    EXPECT_TRUE(page.messages.empty());
    EXPECT_EQ(error_of(format, R"({"text": ""})"), "x: field 'text' is empty");
    EXPECT_NE(error_of(format, R"({"text": 3})").find("'text'"), std::string::npos);
  }
  EXPECT_EQ(parse(kMessages, R"({"text": "t", "messages": [{"role": "assistant",
                                 "content": "b"}]})")
                .text,
            "");
}

TEST(Conversation, ShareGpt) {
  Conversation c = parse(kShareGpt, R"({"system": "s", "tools": "[{\"name\": \"add\"}]",
      "conversations": [
        {"from": "human", "value": "1+2?"},
        {"from": "function_call", "value": "{\"name\": \"add\", \"arguments\": {\"a\": 1}}"},
        {"from": "observation", "value": "3"},
        {"from": "gpt", "value": "three"}]})");
  EXPECT_EQ(summary(c), "system: s | user: 1+2? | assistant*:  | tool: 3 | assistant*: three");
  EXPECT_EQ(c.tools[0]["name"], "add");
  EXPECT_EQ(c.messages[2].fields["tool_calls"][0]["function"]["arguments"]["a"], 1);
}

TEST(Conversation, OpenAiMessages) {
  Conversation c = parse(kMessages, R"({"messages": [
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": "no", "weight": 0},
      {"role": "user", "content": "c", "name": "Ann"},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
      {"role": "tool", "content": "r", "tool_call_id": "1"},
      {"role": "assistant", "content": "yes", "weight": 1}], "tools": []})");
  EXPECT_EQ(summary(c),
            "user: ab | assistant: no | user: c | assistant*:  | tool: r | assistant*: yes");
  EXPECT_EQ(c.messages[2].fields["name"], "Ann");
  EXPECT_EQ(c.messages[3].fields["tool_calls"][0]["id"], "1");
  EXPECT_FALSE(c.messages[5].fields.contains("weight"));
  EXPECT_TRUE(c.tools.is_null());
}

TEST(Conversation, ErrorsNamePlaceAndField) {
  EXPECT_EQ(error_of(kAlpaca, R"({"instruction": "a"})"), "x: has no field 'output'");
  EXPECT_EQ(error_of(kAlpaca, R"({"instruction": 3, "output": "a"})"),
            "x: field 'instruction' must be a string");
  EXPECT_EQ(error_of(kAlpaca, R"({"instruction": "", "output": "", "history": [["a"]]})"),
            "x: field 'history' must hold pairs of strings");
  EXPECT_EQ(error_of(kAlpaca, "[]"), "x: must be an object");
  EXPECT_EQ(error_of(kShareGpt, R"({"conversations": 1})"),
            "x: field 'conversations' must be an array");
  EXPECT_EQ(error_of(kShareGpt, R"({})"), "x: has no field 'conversations'");
  EXPECT_EQ(error_of(kShareGpt, R"({"conversations": [{"from": "cat", "value": ""}]})"),
            "x: conversations[0]: field 'from' is 'cat'; it must be one of: human, user, gpt, "
            "assistant, chatgpt, function_call, observation, tool, system");
  EXPECT_EQ(error_of(kShareGpt, R"({"conversations": ["hi"]})"),
            "x: conversations[0]: must be an object");
  EXPECT_EQ(error_of(kMessages, R"({"messages": [{"role": "user", "content": 1}]})"),
            "x: messages[0]: field 'content' must be a string");
  EXPECT_EQ(error_of(kMessages, R"({"messages": [{"role": "user"}]})"),
            "x: messages[0]: has no field 'content'");
  EXPECT_EQ(
      error_of(kMessages, R"({"messages": [{"role": "user", "content": [{"type": "image"}]}]})"),
      "x: messages[0]: field 'content' has a part of type 'image'; only text is supported");
  EXPECT_EQ(
      error_of(kMessages, R"({"messages": [{"role": "assistant", "content": "", "weight": 2}]})"),
      "x: messages[0]: field 'weight' must be 0 or 1");
  EXPECT_EQ(error_of(kMessages, R"({"messages": [{"role": "user", "content": "a"}]})"),
            "x: the assistant says nothing, so there is nothing to learn");
  EXPECT_EQ(error_of(kMessages, R"({"messages": [], "tools": 3})"),
            "x: field 'tools' must be an array");
  EXPECT_THROW(conversation_format("csv"), Error);
}

TEST(Conversation, FilesAreLinesOrAnArray) {
  ScratchFolder folder;
  std::string one = R"({"instruction": "a", "output": "b"})";
  std::string two = R"({"instruction": "c", "output": "d"})";
  auto lines = read_conversations(folder.write("a.jsonl", one + "\n\n" + two + "\n"), kAlpaca);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].source, (folder / "a.jsonl").string() + ":3");
  auto array =
      read_conversations(folder.write("a.json", "\n [\n" + one + ",\n" + two + "]\n"), kAlpaca);
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[1].source, (folder / "a.json").string() + "[1]");
  EXPECT_EQ(summary(array[1]), summary(lines[1]));
  EXPECT_THROW(read_conversations(folder.write("b.json", "[]"), kAlpaca), Error);
  EXPECT_THROW(read_conversations(folder.write("c.json", ""), kAlpaca), Error);
  EXPECT_THROW(read_conversations(folder.write("d.json", "[" + one), kAlpaca), Error);
  std::string good = one + "\n" + two;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = '\x02';
    EXPECT_THROW(read_conversations(folder.write("m.jsonl", bad), kAlpaca), Error) << at;
  }
}

}  // namespace
}  // namespace millrace
