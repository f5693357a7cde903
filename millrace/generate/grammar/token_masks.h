// Which tokens a machine allows. Most of the answer depends on the state alone and is computed
// once for each state; the rest, tokens that go beyond the end of the state's rule, is looked up
// where the callers go on (the context-independent tokens of Dong et al. 2024, "XGrammar").
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "millrace/generate/grammar/automaton.h"
#include "millrace/generate/grammar/machine.h"
#include "millrace/generate/grammar/token_trie.h"

namespace millrace {

/// A bit for each id.
using TokenMask = std::vector<uint64_t>;

class TokenMasks {
 public:
  TokenMasks(const Automaton& automaton, const TokenTrie& trie);

  /// The tokens that may come next, end tokens among them. Kept until many others were asked for.
  /// Throws Error where there is none, or when finding them takes too long.
  std::shared_ptr<const TokenMask> allowed(Machine& machine, Machine::Places places);

  /// Computes what depends on states alone, for as many of them as a bounded time allows.
  void prepare(Machine& machine);

  size_t bytes() const { return state_bytes_ + mask_bytes_; }
  /// Drops what a new machine makes useless.
  void forget_places();

 private:
  /// What determines the answer for a place but for what follows its rule. In a loop's body that
  /// includes how many repetitions are needed and left, where a token reaches so far.
  struct Context {
    uint32_t state = 0;
    uint32_t loop = kNoLoop, return_state = 0;
    uint32_t needed = 0, left = 0;
    auto operator<=>(const Context&) const = default;
  };
  static constexpr uint32_t kNoLoop = UINT32_MAX;
  /// A place in the tree: where a token goes on when the rule has ended.
  struct Exit {
    uint32_t symbol_class = 0;
    uint32_t node = 0;
    auto operator<=>(const Exit&) const = default;
  };
  /// The tokens that a context allows whatever follows, and those that depend on it.
  struct StateMask {
    TokenMask dense;              // or, when there are few,
    std::vector<int32_t> sparse;  // these
    std::vector<Exit> exits;      // ascending
  };

  const StateMask& state_mask(Machine& machine, const Place& place);
  const StateMask& keep(const Context& context, StateMask mask);
  const StateMask& loop_mask(Machine& machine, uint32_t state, uint32_t loop,
                             uint32_t return_state);
  StateMask compute(Machine& machine, Place alone, uint32_t longer_than);
  StateMask corrected(const StateMask& far, StateMask near, uint32_t reach) const;
  void check_effort(const Machine& machine) const;
  void add_tokens(Machine& machine, Machine::Places from, uint32_t node, TokenMask& mask);
  void add_exits(Machine& machine, Machine::Places after, const StateMask& state, TokenMask& mask);
  void add_special(Machine& machine, Machine::Places places, TokenMask& mask) const;

  const Automaton& automaton_;
  const TokenTrie& trie_;
  std::map<Context, StateMask> states_;
  std::map<Machine::Places, std::shared_ptr<const TokenMask>> masks_;
  size_t state_bytes_ = 0, mask_bytes_ = 0;
  std::vector<Machine::Places> path_;       // where the bytes on the way to a node lead; kept
  int64_t visited_ = 0;                     // nodes of the tree, by all walks
  int64_t last_visit_ = 0, last_work_ = 0;  // where the current mask has taken too long
};

}  // namespace millrace
