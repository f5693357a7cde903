// The subset construction: one rule's nondeterministic automaton made deterministic.
#pragma once

#include <cstdint>
#include <vector>

#include "millrace/generate/grammar/automaton.h"
#include "millrace/generate/grammar/rule_states.h"

namespace millrace {

/// Adds the rule's states to `automaton`, and their calls to `calls` [states]; gives the state in
/// which the rule starts. `work` counts what was done for all rules. Throws Error when it is more
/// than a reasonable grammar needs.
uint32_t determinize(const NfaRule& rule, const RuleStates& rules, Automaton& automaton,
                     std::vector<std::vector<Call>>& calls, int64_t& work);

}  // namespace millrace
