// A grammar lowered to one deterministic automaton a rule, over bytes and special tokens, whose
// states may also call rules.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "millrace/generate/grammar/grammar.h"

namespace millrace {

/// What a state may call: a rule once, or again and again, `min` to `max` times.
struct Callee {
  uint32_t rule = 0;
  uint32_t min = 1, max = 1;
  bool is_loop() const { return min != 1 || max != 1; }
  auto operator<=>(const Callee&) const = default;
};

struct Call {
  uint32_t callee = 0;        // index in Automaton::callees
  uint32_t return_state = 0;  // where the caller goes on
};

/// The automata of all rules; their states are numbered together. From each state the end of its
/// rule can be reached. Calls of a rule that may match nothing are skipped by the caller: a rule
/// once begun takes at least a byte.
struct Automaton {
  static constexpr uint32_t kAccept = 0;   // the state after the end of the text
  static constexpr uint32_t kNoState = 0;  // in transitions: they never lead to kAccept

  /// Symbols that no state tells apart are one class: classes of bytes come first, then one for
  /// special tokens, then one for each token that the grammar names.
  std::array<uint16_t, 256> byte_class{};
  uint32_t byte_classes = 0;
  std::vector<int32_t> tokens;  // token i is class byte_classes + 1 + i
  uint32_t classes() const { return byte_classes + 1 + static_cast<uint32_t>(tokens.size()); }
  uint32_t special_class() const { return byte_classes; }

  uint32_t states() const { return static_cast<uint32_t>(final.size()); }
  uint32_t next(uint32_t state, uint32_t symbol_class) const {
    return transitions[static_cast<size_t>(state) * classes() + symbol_class];
  }
  std::span<const Call> calls_of(uint32_t state) const {
    return std::span(calls).subspan(first_call[state], first_call[state + 1] - first_call[state]);
  }

  std::vector<uint32_t> transitions;  // [states, classes]
  std::vector<uint8_t> final;         // [states]: its rule may end here
  std::vector<uint8_t> leaf;          // [states]: final, and nothing can follow
  std::vector<uint32_t> first_call;   // [states + 1]
  std::vector<Call> calls;
  std::vector<Callee> callees;
  /// [callees] For a loop, the callee that is like it but has no end in sight: without an upper
  /// bound, and, the second, with a lower bound that is never reached.
  std::vector<std::array<uint32_t, 2>> far;
  std::vector<uint32_t> start;  // [rules]: the first of the rule's states, which lie together
  std::vector<uint32_t> rank;   // [rules]: a rule that begins with another has the lower one
};

/// Rule 0 is the grammar's. Throws Error for a rule that begins with itself (left recursion), for a
/// grammar that nothing can match, and where more states would be needed than are reasonable.
Automaton build_automaton(const Grammar& grammar);

}  // namespace millrace
