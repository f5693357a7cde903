#include "millrace/generate/grammar/determinize.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/indexed_map.h"

namespace millrace {
namespace {

constexpr size_t kMaxStates = 60'000;
constexpr size_t kMaxTransitions = 6'000'000;
constexpr int64_t kMaxWork = 10'000'000;

using StateSet = std::vector<uint32_t>;  // ascending

struct HashStateSet {
  size_t operator()(const StateSet& set) const {
    return seeded_hash({reinterpret_cast<const char*>(set.data()), set.size() * sizeof(uint32_t)});
  }
};

class Subsets {
 public:
  Subsets(const NfaRule& rule, const RuleStates& rules, Automaton& automaton,
          std::vector<std::vector<Call>>& calls, int64_t& work)
      : rule_(rule),
        rules_(rules),
        automaton_(automaton),
        calls_(calls),
        work_(work),
        seen_(rule.states.size(), 0),
        targets_(automaton.classes()) {}

  uint32_t run() {
    const uint32_t start = state_of({rule_.start});
    for (size_t i = 0; i < pending_.size(); ++i) expand(i);
    return start;
  }

 private:
  void spend(size_t amount) {
    work_ += static_cast<int64_t>(amount);
    require(work_ <= kMaxWork,
            "the grammar is too large: making it deterministic takes too long "
            "(are there long repetitions of parts that can match the same text?)");
  }

  /// The deterministic state for a set of states.
  uint32_t state_of(StateSet kernel) {
    std::sort(kernel.begin(), kernel.end());
    kernel.erase(std::unique(kernel.begin(), kernel.end()), kernel.end());
    spend(kernel.size());
    if (auto found = kernels_.find(kernel); found != kernels_.end()) return found->second;
    StateSet all = closure(kernel);
    auto [found, added] = closures_.emplace(all, automaton_.states());
    kernels_.emplace(std::move(kernel), found->second);
    if (!added) return found->second;
    automaton_.final.push_back(0);
    calls_.emplace_back();
    automaton_.transitions.resize(automaton_.transitions.size() + automaton_.classes(),
                                  Automaton::kNoState);
    require(automaton_.states() <= kMaxStates && automaton_.transitions.size() <= kMaxTransitions,
            "the grammar is too large: it takes more than {} deterministic states",
            automaton_.states() - 1);
    pending_.push_back({found->second, std::move(all)});
    return found->second;
  }

  /// All states that read something and can be reached without reading, or from those of them that
  /// forget the others.
  StateSet closure(const StateSet& kernel) {
    StateSet committing;
    StateSet all = reach(kernel, committing);
    if (!committing.empty()) {
      StateSet ignored;
      all = reach(committing, ignored);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  StateSet reach(const StateSet& from, StateSet& committing) {
    ++round_;
    StateSet stack = from, all;
    while (!stack.empty()) {
      const uint32_t at = stack.back();
      stack.pop_back();
      if (std::exchange(seen_[at], round_) == round_) continue;
      const NfaState& state = rule_.states[at];
      if (state.commits) committing.push_back(at);
      if (state.kind != NfaState::Kind::kSplit) {
        all.push_back(at);
        continue;
      }
      stack.insert(stack.end(), state.ways.begin(), state.ways.end());
      spend(1 + state.ways.size());
    }
    return all;
  }

  void expand(size_t index) {
    const uint32_t state = pending_[index].first;
    const StateSet all = std::move(pending_[index].second);
    std::vector<std::pair<uint32_t, uint32_t>> called;  // callee, where to return
    for (uint32_t at : all) {
      const NfaState& from = rule_.states[at];
      if (from.kind == NfaState::Kind::kFinal) automaton_.final[state] = 1;
      if (from.kind == NfaState::Kind::kCall) called.push_back({from.what, from.next});
      if (from.kind != NfaState::Kind::kClasses) continue;
      spend(rules_.classes_of(from.what).size());
      for (uint16_t c : rules_.classes_of(from.what)) targets_[c].push_back(from.next);
    }
    for (uint32_t c = 0; c < automaton_.classes(); ++c) {
      if (targets_[c].empty()) continue;
      const uint32_t to = state_of(std::exchange(targets_[c], {}));
      automaton_.transitions[static_cast<size_t>(state) * automaton_.classes() + c] = to;
    }
    std::sort(called.begin(), called.end());
    for (size_t i = 0; i < called.size();) {
      const uint32_t callee = called[i].first;
      StateSet returns;
      for (; i < called.size() && called[i].first == callee; ++i) {
        returns.push_back(called[i].second);
      }
      const uint32_t to = state_of(std::move(returns));
      calls_[state].push_back({callee, to});
    }
  }

  const NfaRule& rule_;
  const RuleStates& rules_;
  Automaton& automaton_;
  std::vector<std::vector<Call>>& calls_;
  int64_t& work_;
  std::vector<uint32_t> seen_;  // in which round a state was reached last
  uint32_t round_ = 0;
  std::vector<StateSet> targets_;  // by class, while a state is expanded
  std::vector<std::pair<uint32_t, StateSet>> pending_;
  std::unordered_map<StateSet, uint32_t, HashStateSet> kernels_, closures_;
};

}  // namespace

uint32_t determinize(const NfaRule& rule, const RuleStates& rules, Automaton& automaton,
                     std::vector<std::vector<Call>>& calls, int64_t& work) {
  return Subsets(rule, rules, automaton, calls, work).run();
}

}  // namespace millrace
