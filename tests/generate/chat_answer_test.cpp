// Reasoning, content and calls found in what models write, however it is cut.
#include "millrace/generate/chat_answer.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <optional>

#include "millrace/base/file.h"
#include "tests/byte_tokenizer.h"
#include "tests/generate/answer_cases.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// The source of a case's template; nothing where the test data is not there.
std::optional<std::string> template_of(const AnswerCase& one) {
  if (one.template_file.find('{') != std::string::npos) return one.template_file;
  fs::path path = fs::path(chat_template_folder()) / (one.template_file + ".jinja");
  if (!fs::exists(path)) return std::nullopt;
  return read_file(path);
}

AnswerOptions options_of(const AnswerCase& one) {
  AnswerOptions options;
  options.tools = test_tools();
  options.prompt_tail = one.prompt_tail;
  options.id_seed = "request";
  return options;
}

/// The answer from a text that comes in pieces which end at `cuts`.
WholeAnswer parse(const ChatSyntax& syntax, const AnswerOptions& options, std::string_view text,
                  std::vector<size_t> cuts = {}) {
  AnswerParser parser(syntax, options);
  WholeAnswer answer;
  cuts.push_back(text.size());
  size_t begin = 0;
  for (size_t end : cuts) {
    add_delta(answer, parser.add(text.substr(begin, end - begin)));
    begin = end;
  }
  add_delta(answer, parser.finish());
  EXPECT_EQ(parser.has_tool_calls(), !answer.calls.empty());
  return answer;
}

class EveryCase : public testing::TestWithParam<AnswerCase> {
 protected:
  void SetUp() override {
    source_ = template_of(GetParam());
    if (!source_) GTEST_SKIP() << "no chat templates in " << chat_template_folder();
    syntax_ = chat_syntax(*source_);
  }

  WholeAnswer parsed(std::vector<size_t> cuts = {}) const {
    return parse(syntax_, options_of(GetParam()), GetParam().text, std::move(cuts));
  }

  std::optional<std::string> source_;
  ChatSyntax syntax_;
};

TEST_P(EveryCase, IsUnderstood) {
  WholeAnswer answer = parsed();
  EXPECT_EQ(answer.reasoning, GetParam().reasoning);
  EXPECT_EQ(answer.content, GetParam().content);
  ASSERT_EQ(answer.calls.size(), GetParam().calls.size());
  for (size_t i = 0; i < answer.calls.size(); ++i) {
    EXPECT_EQ(answer.calls[i].index, static_cast<int>(i));
    EXPECT_EQ(answer.calls[i].name, GetParam().calls[i].first);
    EXPECT_EQ(answer.calls[i].arguments, GetParam().calls[i].second);
    EXPECT_TRUE(Json::parse(answer.calls[i].arguments).is_object());
  }
}

TEST_P(EveryCase, IsTheSameHoweverItIsCut) {
  WholeAnswer whole = parsed();
  for (size_t cut = 0; cut <= GetParam().text.size(); ++cut) {
    EXPECT_EQ(parsed({cut}), whole) << "cut at " << cut;
  }
  std::vector<size_t> everywhere(GetParam().text.size());
  for (size_t i = 0; i < everywhere.size(); ++i) everywhere[i] = i;
  EXPECT_EQ(parsed(everywhere), whole);
}

/// An answer that was cut by its length is the beginning of the whole one, but for text that could
/// have become syntax.
TEST_P(EveryCase, MayEndAnywhere) {
  WholeAnswer whole = parsed();
  for (size_t length = 0; length < GetParam().text.size(); ++length) {
    std::string_view text = std::string_view(GetParam().text).substr(0, length);
    WholeAnswer cut = parse(syntax_, options_of(GetParam()), text);
    ASSERT_LE(cut.calls.size(), whole.calls.size()) << text;
    for (size_t i = 0; i < cut.calls.size(); ++i) {
      EXPECT_EQ(cut.calls[i].name, whole.calls[i].name);
      EXPECT_TRUE(whole.calls[i].arguments.starts_with(cut.calls[i].arguments))
          << text << "\n"
          << cut.calls[i].arguments;
    }
  }
}

/// The same text by tokens: the markers are tokens of their own, everything else is bytes.
TEST_P(EveryCase, IsTheSameByTokens) {
  std::vector<std::string> special = {"<|endoftext|>"};
  for (const Marker& marker : syntax_.markers) special.push_back(marker.text);
  std::string expected = GetParam().reasoning + GetParam().content;
  for (const auto& [name, arguments] : GetParam().calls) expected += arguments;
  for (const std::string& marker : special) {
    if (expected.find(marker) != std::string::npos) return;  // as a token it would be no text
  }
  Tokenizer tokenizer = byte_tokenizer(special);
  ChatSyntax syntax = chat_syntax(*source_, &tokenizer);
  ChatAnswer parser(tokenizer, syntax, options_of(GetParam()));
  WholeAnswer answer;
  for (int32_t id : tokenizer.encode(GetParam().text)) add_delta(answer, parser.add(id));
  add_delta(answer, parser.finish());
  EXPECT_EQ(answer.reasoning, GetParam().reasoning);
  ASSERT_EQ(answer.calls.size(), GetParam().calls.size());
  for (size_t i = 0; i < answer.calls.size(); ++i) {
    EXPECT_EQ(answer.calls[i].name, GetParam().calls[i].first);
    EXPECT_TRUE(Json::parse(answer.calls[i].arguments).is_object());
  }
}

INSTANTIATE_TEST_SUITE_P(ChatAnswer, EveryCase, testing::ValuesIn(answer_cases()),
                         [](const testing::TestParamInfo<AnswerCase>& one) {
                           std::string name;
                           for (char c : one.param.name) name += std::isalnum(c) ? c : '_';
                           return name;
                         });

ChatSyntax hermes() {
  return chat_syntax("{{ tools }} <tool_call> <think>");
}

AnswerOptions with_tools() {
  AnswerOptions options;
  options.tools = test_tools();
  options.id_seed = "request";
  return options;
}

constexpr const char* kNow = "<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>";

TEST(ChatAnswer, WithoutToolsNothingIsACall) {
  WholeAnswer answer = parse(hermes(), {}, kNow);
  EXPECT_EQ(answer.content, kNow);
  EXPECT_TRUE(answer.calls.empty());
}

TEST(ChatAnswer, ArgumentsStreamWhileTheyCome) {
  AnswerParser parser(hermes(), with_tools());
  AnswerDelta delta = parser.add("<tool_call>{\"name\": \"run\", \"arguments\": {\"code\": \"pri");
  ASSERT_EQ(delta.tool_calls.size(), 1);
  EXPECT_EQ(delta.tool_calls[0].name, "run");
  EXPECT_EQ(delta.tool_calls[0].arguments, "{\"code\": \"pri");
  delta = parser.add("nt");
  ASSERT_EQ(delta.tool_calls.size(), 1);
  EXPECT_EQ(delta.tool_calls[0], (ToolCallDelta{0, "", "", "nt"}));
}

TEST(ChatAnswer, ContentStreamsWhileItCannotBeSyntax) {
  AnswerParser parser(hermes(), with_tools());
  EXPECT_EQ(parser.add("a <to").content, "a");
  EXPECT_EQ(parser.add("ad>").content, " <toad>");
  EXPECT_EQ(parser.add(" ").content, "");
  EXPECT_EQ(parser.finish().content, " ");
}

TEST(ChatAnswer, WhatFollowsABrokenCallIsContent) {
  WholeAnswer answer = parse(hermes(), with_tools(),
                             "<tool_call>{\"name\": \"run\", \"arguments\": {\"code\": oops}}"
                             "</tool_call> sorry");
  ASSERT_EQ(answer.calls.size(), 1);
  EXPECT_EQ(answer.calls[0].arguments, "{\"code\": ");
  EXPECT_EQ(answer.content, "oops}} sorry");
}

TEST(ChatAnswer, OnlyTokensAreSyntaxWhereThereAreSuch) {
  Tokenizer tokenizer = byte_tokenizer({"<|endoftext|>", "<tool_call>", "</tool_call>"});
  ChatSyntax syntax = chat_syntax("{{ tools }} <tool_call>", &tokenizer);
  auto answer_to = [&](bool tokens) {
    ChatAnswer parser(tokenizer, syntax, with_tools());
    WholeAnswer answer;
    for (int32_t id : tokenizer.encode(kNow, {.add_special = false, .parse_special = tokens})) {
      add_delta(answer, parser.add(id));
    }
    add_delta(answer, parser.finish());
    return answer;
  };
  EXPECT_EQ(answer_to(true).calls.size(), 1);
  EXPECT_EQ(answer_to(false).calls.size(), 0);
  EXPECT_EQ(answer_to(false).content, kNow);
}

TEST(ChatAnswer, AMarkerMayBeSeveralTokens) {
  Tokenizer tokenizer = byte_tokenizer({"<|endoftext|>", "<|action_start|>", "<|plugin|>"});
  ChatSyntax syntax = chat_syntax("{{ tools }} <|action_start|>", &tokenizer);
  ChatAnswer parser(tokenizer, syntax, with_tools());
  WholeAnswer answer;
  for (int32_t id : tokenizer.encode("a<|action_start|>b<|action_start|><|plugin|>\n{\"name\": "
                                     "\"now\", \"parameters\": {}}<|action_end|>")) {
    add_delta(answer, parser.add(id));
  }
  add_delta(answer, parser.finish());
  EXPECT_EQ(answer.content, "ab");
  ASSERT_EQ(answer.calls.size(), 1);
}

TEST(ChatAnswer, ASpecialTokenEndsAStringToo) {
  AnswerParser parser(hermes(), with_tools());
  WholeAnswer answer;
  add_delta(answer, parser.add("<tool_call>", PieceKind::special));
  add_delta(answer, parser.add("{\"name\": \"run\", \"arguments\": {\"code\": \"a"));
  add_delta(answer, parser.add("</tool_call>", PieceKind::special));
  add_delta(answer, parser.add("b"));
  add_delta(answer, parser.finish());
  ASSERT_EQ(answer.calls.size(), 1);
  EXPECT_EQ(answer.calls[0].arguments, "{\"code\": \"a");
  EXPECT_EQ(answer.content, "b");
}

TEST(ChatAnswer, DemandedCallsMayBeSpelledOut) {
  Tokenizer tokenizer = byte_tokenizer({"<|endoftext|>", "<tool_call>", "</tool_call>"});
  AnswerOptions options = with_tools();
  options.demanded = true;
  AnswerParser parser(chat_syntax("{{ tools }} <tool_call>", &tokenizer), options);
  parser.add(kNow);
  EXPECT_TRUE(parser.has_tool_calls());
}

TEST(ChatAnswer, SchemasThatGoRoundAreSeenThrough) {
  AnswerOptions options;
  options.tools = Json::parse(R"([{"type": "function", "function": {"name": "f", "parameters": {
      "properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/s"}}, "$defs": {
        "s": {"type": "string"},
        "a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"},
                        {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}}}])");
  WholeAnswer answer = parse(chat_syntax("<arg_key>"), options,
                             "<tool_call>f\n<arg_key>x</arg_key><arg_value>1</arg_value>"
                             "<arg_key>y</arg_key><arg_value>1</arg_value></tool_call>");
  ASSERT_EQ(answer.calls.size(), 1);
  EXPECT_EQ(answer.calls[0].arguments, R"({"x": 1, "y": "1"})");
}

TEST(ChatAnswer, SpecialTokensThatAreNoSyntaxAreLeftOut) {
  AnswerParser parser(hermes(), with_tools());
  WholeAnswer answer;
  add_delta(answer, parser.add("a"));
  add_delta(answer, parser.add("<|im_end|>", PieceKind::special));
  add_delta(answer, parser.add("<|note|>", PieceKind::added));
  add_delta(answer, parser.finish());
  EXPECT_EQ(answer.content, "a<|note|>");
}

TEST(ChatAnswer, CharactersCutBetweenTokensAreHeldBack) {
  Tokenizer tokenizer = byte_tokenizer();
  ChatAnswer parser(tokenizer, chat_syntax("", &tokenizer), {});
  EXPECT_EQ(parser.add(0xe4).content, "");
  EXPECT_EQ(parser.add(0xb8).content, "");
  EXPECT_EQ(parser.add(0x80).content, "一");
  EXPECT_EQ(parser.add(0xe4).content, "");
  EXPECT_EQ(parser.finish().content, "\xe4");
}

TEST(ChatAnswer, StopStringsApplyToContent) {
  AnswerOptions options = with_tools();
  options.stop = {"END", "\n\n"};
  AnswerParser parser(hermes(), options);
  EXPECT_EQ(parser.add("<think>END\n\nhm</think>\n\nso E").reasoning, "END\n\nhm");
  EXPECT_FALSE(parser.stopped());
  EXPECT_EQ(parser.add("N").content, "");
  EXPECT_EQ(parser.add("DLESS").content, " ");
  EXPECT_TRUE(parser.stopped());
  EXPECT_TRUE(parser.add("more").empty());
  EXPECT_TRUE(parser.finish().empty());
  EXPECT_EQ(parse(hermes(), options, "one\n\ntwo").content, "one");
  EXPECT_EQ(parse(hermes(), options, std::string("E") + kNow).content, "E");
}

TEST(ChatAnswer, OneCallMayBeAll) {
  AnswerOptions options = with_tools();
  options.parallel_calls = false;
  AnswerParser parser(hermes(), options);
  WholeAnswer answer;
  add_delta(answer, parser.add(std::string(kNow) + "\n" + kNow));
  EXPECT_TRUE(parser.stopped());
  add_delta(answer, parser.finish());
  EXPECT_EQ(answer.calls.size(), 1);
  EXPECT_EQ(answer.content, "");
}

TEST(ChatAnswer, IdsFollowFromTheSeed) {
  std::string two = std::string(kNow) + kNow;
  AnswerOptions options = with_tools();
  WholeAnswer answer = parse(hermes(), options, two);
  EXPECT_EQ(parse(hermes(), options, two), answer);
  EXPECT_NE(answer.calls[0].id, answer.calls[1].id);
  EXPECT_EQ(answer.calls[0].id.size(), 29);
  EXPECT_TRUE(answer.calls[0].id.starts_with("call_"));
  options.id_seed = "another";
  EXPECT_NE(parse(hermes(), options, two).calls[0].id, answer.calls[0].id);
}

TEST(ChatAnswer, FamiliesHaveIdsOfTheirOwn) {
  AnswerOptions options = with_tools();
  options.earlier_calls = 3;
  WholeAnswer mistral =
      parse(chat_syntax("[TOOL_CALLS] [ARGS]"), options, "[TOOL_CALLS]now[ARGS]{}");
  ASSERT_EQ(mistral.calls.size(), 1);
  EXPECT_EQ(mistral.calls[0].id.size(), 9);
  WholeAnswer kimi = parse(chat_syntax("<|tool_calls_section_begin|>"), options,
                           "<|tool_calls_section_begin|><|tool_call_begin|>functions.now:3"
                           "<|tool_call_argument_begin|>{}<|tool_call_end|>");
  ASSERT_EQ(kimi.calls.size(), 1);
  EXPECT_EQ(kimi.calls[0].id, "functions.now:3");
}

/// What an adversary makes a model say costs no more than its length.
TEST(ChatAnswer, HostileTextTakesLinearTime) {
  const std::vector<std::string> parts = {"<tool_call>",
                                          "<tool_call>{\"x\":\"",
                                          "<",
                                          "{\"",
                                          "<tool_call>{\"arguments\":{\"a\":[",
                                          "<tool_call>{\"name\":\"run\",\"arguments\":{\"a\":",
                                          "\\\"",
                                          "<think>",
                                          " \n",
                                          "\"<tool_call>{\"",
                                          "[",
                                          "<function=",
                                          "<|channel|>",
                                          "<|message|>",
                                          ">>>"};
  std::vector<ChatSyntax> syntaxes;
  for (const char* sign : {"<tool_call> <think>", "<function= <parameter= <think>", "<arg_key>",
                           "<|channel|> <|message|>", ">>>all", "[TOOL_CALLS]", "<|python_tag|>",
                           "List of tools: ["}) {
    syntaxes.push_back(chat_syntax(sign));
  }
  std::clock_t start = std::clock();  // of this process: others may keep it waiting
  for (const ChatSyntax& syntax : syntaxes) {
    for (const std::string& part : parts) {
      std::string text;
      while (text.size() < 100'000) text += part;
      AnswerParser parser(syntax, with_tools());
      for (size_t at = 0; at < text.size(); at += 7) parser.add(text.substr(at, 7));
      parser.finish();
    }
  }
  double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 60) << "12 MB";  // a quadratic parser takes hours
}

}  // namespace
}  // namespace millrace
