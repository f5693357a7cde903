// Masks over real vocabularies, held to trying tokens one by one.
#include <gtest/gtest.h>

#include "millrace/generate/grammar/grammar_cache.h"
#include "tests/generate/grammar/grammar_tools.h"
#include "tests/text/test_data.h"

namespace millrace {
namespace {

struct Case {
  GrammarSource::Kind kind;
  const char* source;
  const char* text;  // that it matches
};

const Case kCases[] = {
    {GrammarSource::Kind::json_schema,
     R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 60},
         "born": {"type": "integer", "minimum": 1000, "maximum": 2100},
         "works": {"type": "array", "items": {"type": "string"}}},
         "required": ["name"], "additionalProperties": false})",
     "{\"name\": \"Ада Лавлейс 🙂\", \"born\": 1815,\n  \"works\": [\"Notes\", "
     "\"詩\"]}"},
    {GrammarSource::Kind::regex, R"([^\n]{5,80}\n(?:\p{Lu}\w+ ){2}done)",
     "any text at all, 任意的\nOne More done"},
};

void check_texts(const std::string& vocabulary) {
  const auto path = vocabulary_file(vocabulary);
  MILLRACE_REQUIRE_FILE(path);
  const Tokenizer tokenizer = load_tokenizer(path);
  const auto trie = std::make_shared<const TokenTrie>(tokenizer, tokenizer.end_ids(), 0);
  for (const Case& one : kCases) {
    const auto grammar = CompiledGrammar::compile(read_grammar({one.kind, one.source}), trie);
    auto constraint = grammar->start();
    std::string text;
    Random random(3);
    for (int32_t id : tokenizer.encode(one.text, {false, false})) {
      const auto allowed = constraint->allowed();
      ASSERT_TRUE(is_allowed(allowed, id)) << text;
      EXPECT_FALSE(is_allowed(allowed, tokenizer.eos())) << text;
      for (int i = 0; i < 3000; ++i) {
        const auto other =
            static_cast<int32_t>(random.below(static_cast<uint64_t>(tokenizer.vocab_size())));
        const std::string_view bytes = trie->bytes(other);
        if (trie->is_end(other)) continue;
        const bool expected = !bytes.empty() && grammar->may_begin(text + std::string(bytes));
        ASSERT_EQ(is_allowed(allowed, other), expected)
            << "after " << text << ": token " << other << " '" << bytes << "'";
      }
      constraint->accept(id);
      text += trie->bytes(id);
    }
    EXPECT_TRUE(is_allowed(constraint->allowed(), tokenizer.eos()));
    EXPECT_TRUE(grammar->matches(text));
  }
}

TEST(VocabularyMasks, Gpt2) {
  check_texts("gpt-2");
}
TEST(VocabularyMasks, Qwen2) {
  check_texts("qwen2");
}
TEST(VocabularyMasks, Llama3) {
  check_texts("llama-bpe");
}

}  // namespace
}  // namespace millrace
