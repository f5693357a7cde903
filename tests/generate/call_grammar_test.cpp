// Grammars of demanded calls: what they take is what the parser reads.
#include "millrace/generate/call_grammar.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/generate/answer/call_writing.h"
#include "millrace/generate/grammar/compiled_grammar.h"
#include "millrace/generate/grammar/json_schema.h"
#include "tests/byte_tokenizer.h"
#include "tests/generate/answer_cases.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Whether a grammar takes a text; markers are spelled out, as no token is special here.
bool takes(const Grammar& grammar, std::string_view text) {
  Tokenizer tokenizer = byte_tokenizer();
  auto trie =
      std::make_shared<const TokenTrie>(tokenizer, tokenizer.end_ids(), tokenizer.vocab_size());
  return CompiledGrammar::compile(grammar, trie)->matches(text);
}

Grammar demanded(const ChatSyntax& syntax, const CallDemand& demand = {},
                 std::string_view tail = "") {
  return call_grammar(syntax, byte_tokenizer(), test_tools(), tail, demand);
}

Json weather_call() {
  return {{"name", "get_weather"}, {"arguments", {{"city", "Paris"}, {"days", 2}}}};
}

/// Every family's own writing is taken, and read back as the same call.
TEST(CallGrammar, TakesWhatEveryFamilyWrites) {
  if (!fs::exists(chat_template_folder())) {
    GTEST_SKIP() << "no chat templates in " << chat_template_folder();
  }
  for (const auto& entry : fs::directory_iterator(chat_template_folder())) {
    ChatSyntax syntax = chat_syntax(read_file(entry.path()));
    std::string text = write_calls(syntax, Json::array({weather_call()}));
    EXPECT_TRUE(takes(demanded(syntax), text)) << entry.path().stem() << "\n" << text;
    EXPECT_FALSE(takes(demanded(syntax, {"now"}), text)) << text;
    EXPECT_FALSE(takes(demanded(syntax), "It rains.")) << entry.path().stem();
    AnswerOptions options;
    options.tools = test_tools();
    AnswerParser parser(syntax, options);
    WholeAnswer answer;
    add_delta(answer, parser.add(text));
    add_delta(answer, parser.finish());
    ASSERT_EQ(answer.calls.size(), 1) << text;
    EXPECT_EQ(Json::parse(answer.calls[0].arguments), weather_call()["arguments"]) << text;
    EXPECT_EQ(answer.content, "") << text;
  }
}

ChatSyntax hermes() {
  return chat_syntax("{{ tools }} <tool_call> <think>");
}

TEST(CallGrammar, ArgumentsAreValid) {
  auto call = [](const std::string& arguments) {
    return "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " + arguments +
           "}\n</tool_call>";
  };
  Grammar grammar = demanded(hermes());
  EXPECT_TRUE(takes(grammar, call(R"({"city": "Oslo", "days": 3})")));
  EXPECT_FALSE(takes(grammar, call(R"({"days": 3})")));
  EXPECT_FALSE(takes(grammar, call(R"({"city": 3})")));
  EXPECT_FALSE(takes(grammar, call(R"({"city": "Oslo", "days": "3"})")));
}

TEST(CallGrammar, SeveralCallsWhereTheyAreAllowed) {
  std::string one = write_calls(hermes(), Json::array({weather_call()}));
  EXPECT_TRUE(takes(demanded(hermes()), one + "\n" + one));
  EXPECT_FALSE(takes(demanded(hermes(), {"", false}), one + "\n" + one));
  EXPECT_FALSE(takes(demanded(hermes(), {"get_weather"}), one + "\n" + one));
}

TEST(CallGrammar, StrictCallsAreValidWhereTheModelMakesSome) {
  const Grammar grammar = strict_call_grammar(hermes(), byte_tokenizer(), test_tools(), "");
  const std::string good = write_calls(hermes(), Json::array({weather_call()}));
  Json wrong = weather_call();
  wrong["arguments"]["days"] = "many";
  const std::string bad = write_calls(hermes(), Json::array({wrong}));
  for (const std::string& text :
       {std::string(), std::string("It rains."),
        std::string("<tool is no marker, <<tool_cal neither"), good, "Let me see. " + good,
        good + " then " + good, "<" + good, "<think>\n" + bad + "</think>\n" + good}) {
    EXPECT_TRUE(takes(grammar, text)) << text;
  }
  for (const std::string& text : {bad, "Let me see. " + bad, good + " then " + bad,
                                  std::string("a <tool_call> b"), "<tool_<tool_call>" + good}) {
    EXPECT_FALSE(takes(grammar, text)) << text;
  }
}

TEST(CallGrammar, EveryFamilyWithAMarkerCanBeStrict) {
  if (!fs::exists(chat_template_folder())) GTEST_SKIP() << "no chat templates";
  int strict = 0;
  for (const auto& entry : fs::directory_iterator(chat_template_folder())) {
    const ChatSyntax syntax = chat_syntax(read_file(entry.path()));
    if (call_marker(syntax).empty()) continue;
    const Grammar grammar = strict_call_grammar(syntax, byte_tokenizer(), test_tools(), "</think>");
    ++strict;
    const std::string text = "So: " + write_calls(syntax, Json::array({weather_call()}));
    EXPECT_TRUE(takes(grammar, text)) << entry.path().stem() << "\n" << text;
    EXPECT_TRUE(takes(grammar, "It rains.")) << entry.path().stem();
    EXPECT_FALSE(takes(grammar, text.substr(0, text.size() - 4))) << entry.path().stem();
  }
  EXPECT_GT(strict, 20);
  const ChatSyntax bare = chat_syntax("<|channel|> <|message|>");
  EXPECT_EQ(call_marker(bare), "");
  EXPECT_THROW(strict_call_grammar(bare, byte_tokenizer(), test_tools(), ""), Error);
}

TEST(CallGrammar, ReasoningComesFirst) {
  std::string call = write_calls(hermes(), Json::array({weather_call()}));
  EXPECT_TRUE(takes(demanded(hermes()), "<think>\nhm <tool_call>\n</think>\n\n" + call));
  EXPECT_TRUE(takes(demanded(hermes(), {}, "<think>\n"), "hm</think>" + call));
  EXPECT_FALSE(takes(demanded(hermes(), {}, "<think>\n"), call));
  EXPECT_TRUE(takes(demanded(hermes(), {}, "<think>\n\n</think>\n\n"), call));
  EXPECT_FALSE(takes(demanded(hermes(), {}, "</think>"), "<think>hm</think>" + call));
}

TEST(CallGrammar, TaggedParametersFollowTheirSchemas) {
  ChatSyntax coder = chat_syntax("{{ tools }} <function= <parameter=");
  auto call = [](const std::string& parameters) {
    return "<tool_call>\n<function=run>\n" + parameters + "</function>\n</tool_call>";
  };
  std::string code = "<parameter=code>\na < b\n\"c\"\n</parameter>\n";
  EXPECT_TRUE(takes(demanded(coder), call(code)));
  EXPECT_TRUE(takes(demanded(coder), call(code + "<parameter=fast>\ntrue\n</parameter>\n")));
  EXPECT_FALSE(takes(demanded(coder), call(code + "<parameter=fast>\nyes\n</parameter>\n")));
  EXPECT_FALSE(takes(demanded(coder), call("<parameter=fast>\ntrue\n</parameter>\n")));
  EXPECT_TRUE(
      takes(demanded(coder, {"now"}), "<tool_call>\n<function=now>\n</function>\n</tool_call>"));
}

TEST(CallGrammar, ContentOfAFormMayFollowReasoning) {
  Grammar form = grammar_from_json_schema(Json::parse(R"({"type": "integer"})"));
  Grammar grammar = content_grammar(hermes(), byte_tokenizer(), "", form);
  EXPECT_TRUE(takes(grammar, "12"));
  EXPECT_TRUE(takes(grammar, "<think>\nhm\n</think>\n\n12"));
  EXPECT_FALSE(takes(grammar, "twelve"));
  ChatSyntax channels = chat_syntax("<|channel|> <|message|>");
  grammar = content_grammar(channels, byte_tokenizer(), "<|start|>assistant", form);
  EXPECT_TRUE(takes(grammar,
                    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
                    "<|channel|>final<|message|>12"));
}

TEST(CallGrammar, SpecialTokensAreTokens) {
  Tokenizer tokenizer = byte_tokenizer({"<|endoftext|>", "<tool_call>", "</tool_call>"});
  ChatSyntax syntax = chat_syntax("{{ tools }} <tool_call>", &tokenizer);
  Grammar grammar = call_grammar(syntax, tokenizer, test_tools(), "", {"now"});
  auto trie =
      std::make_shared<const TokenTrie>(tokenizer, tokenizer.end_ids(), tokenizer.vocab_size());
  auto constraint = CompiledGrammar::compile(grammar, trie)->start();
  std::vector<int32_t> ids =
      tokenizer.encode("<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>");
  ids.push_back(tokenizer.eos());
  auto allowed = [&](int32_t id) {
    return (constraint->allowed()[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
  };
  EXPECT_FALSE(allowed('<'));
  for (int32_t id : ids) {
    ASSERT_TRUE(allowed(id)) << id;
    if (id != tokenizer.eos()) constraint->accept(id);
  }
}

TEST(CallGrammar, WhatCannotBeIsNamed) {
  auto error_of = [](const Json& tools, const CallDemand& demand) -> std::string {
    try {
      call_grammar(hermes(), byte_tokenizer(), tools, "", demand);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(error_of(test_tools(), {"fly"}).find("'fly' is not among the tools"),
            std::string::npos);
  Json tools = Json::parse(R"([{"type": "function", "function": {"name": "f", "parameters":
      {"type": "object", "properties": {"x": {"type": "wrong"}}}}}])");
  EXPECT_NE(error_of(tools, {}).find("the parameters of 'f'"), std::string::npos)
      << error_of(tools, {});
}

}  // namespace
}  // namespace millrace
