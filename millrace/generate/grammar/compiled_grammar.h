// A grammar made ready for a vocabulary.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "millrace/generate/constraint.h"
#include "millrace/generate/grammar/grammar.h"
#include "millrace/generate/grammar/token_trie.h"

namespace millrace {

/// Immutable to whoever uses it, from any number of threads; what its sequences find out about
/// allowed tokens is kept, within bounded memory, for all of them.
class CompiledGrammar : public std::enable_shared_from_this<CompiledGrammar> {
 public:
  /// Throws Error for a grammar that is too large, begins with itself or matches nothing.
  static std::shared_ptr<const CompiledGrammar> compile(const Grammar& grammar,
                                                        std::shared_ptr<const TokenTrie> trie);
  ~CompiledGrammar();

  /// A constraint at the beginning of the text.
  std::unique_ptr<Constraint> start() const;

  /// Whether the whole text matches; what tests and callers without a model want to know.
  bool matches(std::string_view text) const;
  /// Whether some text that begins so matches.
  bool may_begin(std::string_view text) const;

  /// About what it takes at most, with what its sequences found out.
  size_t bytes() const;

 private:
  struct State;
  class Sequence;

  CompiledGrammar(const Grammar& grammar, std::shared_ptr<const TokenTrie> trie);

  std::unique_ptr<State> state_;
};

}  // namespace millrace
