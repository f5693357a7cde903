#include "millrace/data/chat_document.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/data/text_document.h"
#include "tests/byte_tokenizer.h"

namespace millrace {
namespace {

constexpr auto kMessages = ConversationFormat::messages;

/// The text of a document, what is scored in square brackets.
std::string shown(const Document& document) {
  static const Tokenizer tokenizer = byte_tokenizer();
  std::string text;
  bool scored = false;
  for (size_t i = 0; i < document.tokens.size(); ++i) {
    if ((document.scored[i] != 0) != scored) text += scored ? "]" : "[";
    scored = document.scored[i] != 0;
    text += tokenizer.token_bytes(document.tokens[i]);
  }
  return text + (scored ? "]" : "");
}

std::vector<std::string> documents(const char* messages, std::string_view source) {
  Conversation conversation =
      parse_conversation({{"messages", parse_json(messages, "m")}}, kMessages, "x.jsonl:3");
  std::vector<std::string> result;
  ChatTemplate chat_template(source, {{"eos_token", "<|im_end|>"}});
  for (const Document& document : chat_documents(conversation, chat_template, byte_tokenizer())) {
    result.push_back(shown(document));
  }
  return result;
}

using Strings = std::vector<std::string>;

constexpr const char* kTwoTurns = R"([{"role": "system", "content": "s"},
    {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"},
    {"role": "user", "content": "e"}])";

TEST(ChatDocument, ScoresWhatTheAssistantSaysAndTheEndOfItsTurn) {
  EXPECT_EQ(documents(kTwoTurns, built_in_template("chatml")),
            Strings{"<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
                    "<|im_start|>assistant\n[b<|im_end|>]\n<|im_start|>user\nc<|im_end|>\n"
                    "<|im_start|>assistant\n[d<|im_end|>]\n"});
}

TEST(ChatDocument, APageOfTextIsScoredWholeWithItsEnd) {
  Conversation page = parse_conversation({{"text", "<|im_end|> is text"}}, kMessages, "x.jsonl:1");
  ChatTemplate chat_template(built_in_template("chatml"), {});
  Tokenizer tokenizer = byte_tokenizer();
  std::vector<Document> got = chat_documents(page, chat_template, tokenizer);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].tokens, text_document("<|im_end|> is text", tokenizer).tokens);
  EXPECT_TRUE(got[0].scored.empty());
  EXPECT_EQ(got[0].tokens.back(), tokenizer.eos());
}

TEST(ChatDocument, WeightZeroIsReadButNotScored) {
  EXPECT_EQ(documents(R"([{"role": "user", "content": "a"},
                          {"role": "assistant", "content": "b", "weight": 0},
                          {"role": "user", "content": "c"},
                          {"role": "assistant", "content": "d"}])",
                      built_in_template("chatml")),
            Strings{"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
                    "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n[d<|im_end|>]\n"});
}

TEST(ChatDocument, SpecialTokensInMessagesStayText) {
  Conversation conversation =
      parse_conversation({{"messages", parse_json(R"([{"role": "user", "content": "<|im_end|>"},
                                   {"role": "assistant", "content": "<|im_end|>b"}])",
                                                  "m")}},
                         kMessages, "x");
  ChatTemplate chat_template(built_in_template("chatml"), {});
  Document document = chat_documents(conversation, chat_template, byte_tokenizer()).at(0);
  EXPECT_EQ(std::count(document.tokens.begin(), document.tokens.end(), kImEnd), 2);
  EXPECT_EQ(shown(document),
            "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n"
            "[<|im_end|>b<|im_end|>]\n");
}

TEST(ChatDocument, TurnsThatTheTemplateRewritesLaterGetDocumentsOfTheirOwn) {
  // Leaves out all but the last answer, as templates do with reasoning.
  constexpr const char* kForgetful = R"({%- for m in messages -%}
    {{- m.role[0] + ':' + (m.content if m.role == 'user' or loop.last else '-') + ';' -}}
    {%- endfor -%}{%- if add_generation_prompt -%}a:{%- endif -%})";
  EXPECT_EQ(documents(R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                          {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}])",
                      kForgetful),
            (Strings{"u:a;a:[b;]", "u:a;a:-;u:c;a:[d;]"}));
}

TEST(ChatDocument, ATemplateWithoutThePrefixPropertyIsAnErrorUnlessItMarksAnswers) {
  constexpr const char* kOdd = R"({%- for m in messages -%}{{- m.role + ':' + m.content -}}
    {%- endfor -%}{%- if add_generation_prompt -%}BOT:{%- endif -%})";
  const char* messages =
      R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])";
  try {
    documents(messages, kOdd);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("x.jsonl:3: the chat template begins an answer"), 0u)
        << error.what();
  }
  constexpr const char* kMarked = R"({%- for m in messages -%}{{- m.role + ':' -}}
    {%- if m.role == 'assistant' -%}{%- generation -%}{{- m.content -}}{%- endgeneration -%}
    {%- else -%}{{- m.content -}}{%- endif -%}
    {%- endfor -%}{%- if add_generation_prompt -%}BOT:{%- endif -%})";
  EXPECT_EQ(documents(messages, kMarked), Strings{"user:aassistant:[b]"});
}

TEST(ChatDocument, WhatTheTemplateRefusesIsAnErrorThatNamesTheLine) {
  try {
    documents(kTwoTurns, "{{- raise_exception('no system role') -}}");
    FAIL() << "no error";
  } catch (const Error& error) {
    std::string message = error.what();
    EXPECT_EQ(message.find("x.jsonl:3: "), 0u) << message;
    EXPECT_NE(message.find("no system role"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace millrace
