// Which chat template a model talks by.
#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/generate/language_model.h"
#include "tests/scratch.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

const Json kHi = Json::array({{{"role", "user"}, {"content", "hi"}}});

LanguageModel model_with(const std::vector<std::string>& special, std::string source = "") {
  return tiny_language_model(byte_tokenizer(special), std::move(source));
}

TEST(ChatTemplateChoice, AModelWithoutATemplateHasTheOneThatGoesWithItsTokens) {
  EXPECT_EQ(model_with({"<|endoftext|>", "<|im_start|>", "<|im_end|>"}).chat_template_source,
            built_in_template("chatml"));
  EXPECT_EQ(model_with({"</s>", "<reserved_106>", "<reserved_107>"}).chat_template_source,
            built_in_template("baichuan2"));
  EXPECT_EQ(model_with({"[gMASK]", "<|user|>", "<|assistant|>"}).chat_template_source,
            built_in_template("chatglm3"));
  EXPECT_EQ(model_with({"</s>"}).chat_template_source, built_in_template("chatml"));
}

TEST(ChatTemplateChoice, WhatAModelPublishesComesFirst) {
  LanguageModel model = model_with({"</s>", "<reserved_106>"}, "{{ messages[0].content }}!");
  EXPECT_EQ(model.chat_template.render(kHi).text(), "hi!");
}

TEST(ChatTemplateChoice, AnotherCanBeSet) {
  LanguageModel model = model_with({"</s>"});
  set_chat_template(model, "<{{ messages[0].content }}>", "mine");
  EXPECT_EQ(model.chat_template.render(kHi).text(), "<hi>");
  EXPECT_EQ(model.chat_template_source, "<{{ messages[0].content }}>");
  try {
    set_chat_template(model, "{% if %}", "mine.jinja");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("mine.jinja"), std::string::npos);
  }
  EXPECT_EQ(model.chat_template.render(kHi).text(), "<hi>");
}

TEST(ChatTemplateChoice, FilesAreReadInOrder) {
  ScratchFolder folder;
  EXPECT_EQ(load_chat_template(folder.path()), "");
  write_file(folder / "tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(load_chat_template(folder.path()), "one");
  write_file(folder / "chat_template.jinja", "two");
  EXPECT_EQ(load_chat_template(folder.path()), "two");
}

}  // namespace
}  // namespace millrace
