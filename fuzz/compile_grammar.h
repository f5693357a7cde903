// For the targets that read grammars: compiles one and walks a text that it allows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/generate/grammar/grammar_cache.h"

namespace millrace {

/// All bytes, some tokens of several, and one that ends.
inline std::shared_ptr<const TokenTrie> fuzz_trie() {
  TokenizerDefinition definition;
  for (int byte = 0; byte < 256; ++byte) {
    definition.tokens.push_back(
        {std::string(1, static_cast<char>(byte)), TokenType::kNormal, true});
  }
  for (const char* text :
       {"{\"", "\": ", "\", \"", "ab", "aa", "aaaaaaaa", "00", "\n  ", "\xc3\xa9"}) {
    definition.tokens.push_back({text, TokenType::kNormal, false});
  }
  definition.tokens.push_back({"<end>", TokenType::kControl, false});
  const std::vector<int32_t> ends = {static_cast<int32_t>(definition.tokens.size()) - 1};
  definition.pre_tokenizer = PreTokenizer::named("qwen2", "fuzz");
  return std::make_shared<const TokenTrie>(Tokenizer(definition, "fuzz"), ends, 0);
}

/// An Error, or a grammar whose masks allow what its sequences then accept.
inline void compile_and_walk(const GrammarSource& source) {
  static const std::shared_ptr<const TokenTrie> trie = fuzz_trie();
  try {
    const auto grammar = CompiledGrammar::compile(read_grammar(source), trie);
    Random random(source.text.size());
    auto constraint = grammar->start();
    for (int step = 0; step < 30; ++step) {
      const auto allowed = constraint->allowed();
      auto id = static_cast<int32_t>(random.below(static_cast<uint64_t>(trie->vocab_size())));
      while (!is_allowed(allowed, id)) id = (id + 1) % static_cast<int32_t>(trie->vocab_size());
      constraint->accept(id);
    }
  } catch (const Error&) {
  }
}

}  // namespace millrace
