// Free text that gives way to a grammar at a marker.
#include "millrace/generate/grammar/free_text.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/grammar_cache.h"
#include "millrace/generate/grammar/json_parts.h"
#include "millrace/generate/grammar/regex.h"
#include "tests/generate/grammar/grammar_tools.h"

namespace millrace {
namespace {

std::vector<MarkedPart> tool_calls() {
  std::vector<MarkedPart> parts;
  parts.push_back({{"<tool_call>"}, grammar_from_regex("\n?\\{a+\\}\n?"), {"</tool_call>"}});
  parts.push_back({{"<func="}, grammar_from_regex("[xy]>"), {}});
  return parts;
}

TEST(FreeText, PartsFollowTheirMarkers) {
  const auto grammar = compiled(grammar_with_parts(tool_calls(), {}));
  for (const char* text :
       {"", "hello", "a <tool_call", "x<tool_call>{a}</tool_call>", "<<tool_call>{aa}</tool_call>",
        "a<tool_call>\n{a}\n</tool_call>b<tool_call>{a}</tool_call>c", "<func=x>", "1<func=y>2",
        "<tool_call>{a}</tool_call><func=x> \xff"}) {
    EXPECT_TRUE(grammar->matches(text)) << text;
  }
  for (const char* text : {"<tool_call>", "<tool_call>b", "<tool_call>{a}", "<func=z>",
                           "<tool_call>{a}</tool_call>x<tool_call>{b}</tool_call>"}) {
    EXPECT_FALSE(grammar->matches(text)) << text;
  }
}

TEST(FreeText, PartsMayBeRequiredAndSingle) {
  const std::vector<MarkedPart> parts = tool_calls();
  const auto required = compiled(grammar_with_parts(parts, {.required = true}));
  EXPECT_FALSE(required->matches("hello"));
  EXPECT_TRUE(required->matches("hello<func=x>bye"));
  const auto only = compiled(
      grammar_with_parts(parts, {.required = true, .repeated = false, .text_before = false}));
  EXPECT_FALSE(only->matches("hello<func=x>"));
  EXPECT_FALSE(only->matches("<func=x>bye"));
  EXPECT_TRUE(only->matches("<func=x>"));
}

/// A token may hold the end of the marker and the beginning of what follows it.
TEST(FreeText, TokensAcrossTheMarkerAreHeldToTheGrammar) {
  const auto trie = trie_with({"call>", "call>{a", "call>b", "hello", "a}</tool"});
  const int32_t first = byte_tokenizer().vocab_size();
  const auto grammar = CompiledGrammar::compile(grammar_with_parts(tool_calls(), {}), trie);
  auto constraint = grammar->start();
  EXPECT_TRUE(is_allowed(constraint->allowed(), first + 2));
  EXPECT_TRUE(is_allowed(constraint->allowed(), kEndOfText));
  for (char c : std::string("<tool_")) constraint->accept(c);
  EXPECT_TRUE(is_allowed(constraint->allowed(), first));
  EXPECT_TRUE(is_allowed(constraint->allowed(), first + 1));
  EXPECT_FALSE(is_allowed(constraint->allowed(), first + 2));
  EXPECT_TRUE(is_allowed(constraint->allowed(), first + 3));
  constraint->accept(first + 1);
  EXPECT_FALSE(is_allowed(constraint->allowed(), kEndOfText));
  EXPECT_FALSE(is_allowed(constraint->allowed(), first + 3));
  EXPECT_TRUE(is_allowed(constraint->allowed(), first + 4));
}

TEST(FreeText, SpecialTokensAreFreeOutsideOfPartsOnly) {
  std::vector<MarkedPart> parts;
  parts.push_back({{"", kImStart}, grammar_from_regex("a+"), {"!"}});
  const auto grammar = CompiledGrammar::compile(
      grammar_with_parts(parts, {}),
      std::make_shared<const TokenTrie>(byte_tokenizer(), std::vector<int32_t>{kEndOfText}, 300));
  auto constraint = grammar->start();
  EXPECT_EQ(constraint->allowed().size(), 5u);
  EXPECT_TRUE(is_allowed(constraint->allowed(), kImStart));
  EXPECT_TRUE(is_allowed(constraint->allowed(), kImEnd));
  EXPECT_FALSE(is_allowed(constraint->allowed(), 259));
  constraint->accept(kImEnd);
  constraint->accept('x');
  constraint->accept(kImStart);
  EXPECT_FALSE(is_allowed(constraint->allowed(), 'x'));
  EXPECT_FALSE(is_allowed(constraint->allowed(), kImEnd));
  EXPECT_FALSE(is_allowed(constraint->allowed(), kEndOfText));
  for (char c : std::string("aa!")) constraint->accept(c);
  EXPECT_TRUE(is_allowed(constraint->allowed(), kImEnd));
  EXPECT_TRUE(is_allowed(constraint->allowed(), kEndOfText));
}

TEST(FreeText, AnswersFollowReasoning) {
  const auto grammar = compiled(grammar_after({"</think>"}, grammar_of_json_objects()));
  EXPECT_TRUE(grammar->matches("hm {</thin></think>\n\n{\"a\": 1}"));
  EXPECT_TRUE(grammar->matches("</think>{}"));
  EXPECT_FALSE(grammar->matches("hm"));
  EXPECT_FALSE(grammar->matches("hm</think>text"));
  EXPECT_FALSE(grammar->matches("hm</think>\n\n\n{}"));
  EXPECT_FALSE(grammar->matches("hm</think>{}</think>{}"));
}

TEST(Sequence, TheEndIsForcedWhereNothingElseFits) {
  const auto grammar = compiled(grammar_from_regex("ab"));
  auto constraint = grammar->start();
  constraint->accept('a');
  EXPECT_THROW(constraint->accept('a'), Error);
  EXPECT_THROW(constraint->accept(kEndOfText), Error);
  EXPECT_THROW(constraint->accept(-1), Error);
  EXPECT_THROW(constraint->accept(1 << 20), Error);
  constraint->accept('b');
  for (int i = 0; i < 2; ++i) {
    for (int32_t id = 0; id < 259; ++id) {
      EXPECT_EQ(is_allowed(constraint->allowed(), id), id == kEndOfText || id == kImEnd) << id;
    }
    constraint->accept(kImEnd);  // an end goes on with ends
  }
}

TEST(Sequence, CopiesGoTheirOwnWays) {
  const auto grammar = compiled(grammar_from_regex("a(b|c)d"));
  auto one = grammar->start();
  one->accept('a');
  auto other = one->clone();
  one->accept('b');
  EXPECT_TRUE(is_allowed(other->allowed(), 'c'));
  EXPECT_FALSE(is_allowed(one->allowed(), 'c'));
}

TEST(Sequence, MissingBytesAreAnError) {
  TokenizerDefinition definition = byte_tokenizer().definition();
  definition.tokens['b'].type = TokenType::kUnused;
  const Tokenizer tokenizer(definition, "test");
  const auto grammar = CompiledGrammar::compile(
      grammar_from_regex("ab"),
      std::make_shared<const TokenTrie>(tokenizer, std::vector<int32_t>{kEndOfText}, 0));
  auto constraint = grammar->start();
  constraint->accept('a');
  EXPECT_THROW(constraint->allowed(), Error);
  EXPECT_THROW(TokenTrie(tokenizer, {}, 0), Error);
}

TEST(GrammarCache, KeepsTheLastUsed) {
  GrammarCache cache(byte_trie(), 2);
  using Kind = GrammarSource::Kind;
  const auto a = cache.get({Kind::regex, "a"});
  EXPECT_EQ(cache.get({Kind::regex, "a"}), a);
  EXPECT_NE(cache.get({Kind::gbnf, "root ::= \"a\""}), a);
  EXPECT_EQ(cache.get({Kind::regex, "a"}), a);
  cache.get({Kind::json_object, ""});  // drops the GBNF grammar
  EXPECT_EQ(cache.get({Kind::regex, "a"}), a);
  cache.get({Kind::regex, "b"});
  cache.get({Kind::regex, "c"});
  EXPECT_NE(cache.get({Kind::regex, "a"}), a);
  EXPECT_THROW(cache.get({Kind::regex, "("}), Error);
  EXPECT_THROW(cache.get({Kind::json_schema, "{"}), Error);
  EXPECT_TRUE(a->matches("a"));
}

}  // namespace
}  // namespace millrace
