// Compiled grammars of one model, kept for the requests that ask for the same again.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "millrace/generate/grammar/compiled_grammar.h"

namespace millrace {

/// Where a grammar comes from.
struct GrammarSource {
  enum class Kind : uint8_t { json_object, json_schema, regex, gbnf };
  Kind kind = Kind::json_object;
  std::string text;  ///< the schema, the expression or the grammar
};

/// Throws Error for a source that is malformed, not supported or too large.
Grammar read_grammar(const GrammarSource& source);

/// The grammars that were used last, within bounds of number and memory. For any number of threads.
class GrammarCache {
 public:
  explicit GrammarCache(std::shared_ptr<const TokenTrie> trie, size_t max_grammars = 64,
                        size_t max_bytes = size_t{512} << 20)
      : trie_(std::move(trie)), max_grammars_(max_grammars), max_bytes_(max_bytes) {}

  std::shared_ptr<const CompiledGrammar> get(const GrammarSource& source);
  /// `key` says what `make` will make: for grammars that are put together from others.
  std::shared_ptr<const CompiledGrammar> get(const std::string& key,
                                             const std::function<Grammar()>& make);

  const std::shared_ptr<const TokenTrie>& trie() const { return trie_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const CompiledGrammar> grammar;
  };

  std::shared_ptr<const CompiledGrammar> find(const std::string& key);
  void drop_oldest();

  const std::shared_ptr<const TokenTrie> trie_;
  const size_t max_grammars_, max_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  struct HashKey {
    size_t operator()(std::string_view key) const;
  };
  std::unordered_map<std::string_view, std::list<Entry>::iterator, HashKey> by_key_;
};

}  // namespace millrace
