#include "millrace/generate/grammar/automaton.h"

#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/determinize.h"
#include "millrace/generate/grammar/rule_states.h"

namespace millrace {
namespace {

/// Bytes that no set and no literal tells apart.
void find_byte_classes(const Grammar& grammar, Automaton& automaton) {
  std::map<ByteSet, bool> sets;
  ByteSet in_literals;
  for (const Grammar::Node& node : grammar.nodes()) {
    if (node.kind == ExpressionKind::kBytes) sets[grammar.byte_set(node)] = true;
    if (node.kind != ExpressionKind::kLiteral) continue;
    for (char c : grammar.literal_bytes(node)) {
      in_literals.add(static_cast<uint8_t>(c), static_cast<uint8_t>(c));
    }
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!in_literals.contains(static_cast<uint8_t>(byte))) continue;
    ByteSet single;
    single.add(static_cast<uint8_t>(byte), static_cast<uint8_t>(byte));
    sets[single] = true;
  }
  uint16_t classes = 1;
  for (const auto& [set, used] : sets) {
    std::array<uint16_t, 256> split{};  // what a class's members in the set become
    std::array<bool, 256> inside{}, outside{};
    for (size_t byte = 0; byte < 256; ++byte) {
      (set.contains(static_cast<uint8_t>(byte)) ? inside : outside)[automaton.byte_class[byte]] =
          true;
    }
    for (uint16_t c = 0, before = classes; c < before; ++c) {
      split[c] = inside[c] && outside[c] ? classes++ : c;
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      uint16_t& c = automaton.byte_class[byte];
      if (set.contains(static_cast<uint8_t>(byte))) c = split[c];
    }
  }
  automaton.byte_classes = classes;
}

void find_tokens(const Grammar& grammar, Automaton& automaton) {
  for (const Grammar::Node& node : grammar.nodes()) {
    if (node.kind != ExpressionKind::kToken || node.token == kAnySpecial) continue;
    automaton.tokens.push_back(node.token);
    require(automaton.tokens.size() <= 1000, "the grammar names more than 1000 tokens");
  }
  std::sort(automaton.tokens.begin(), automaton.tokens.end());
  automaton.tokens.erase(std::unique(automaton.tokens.begin(), automaton.tokens.end()),
                         automaton.tokens.end());
}

using CallLists = std::vector<std::vector<Call>>;

/// Rules in an order in which one that begins with another comes after it. Throws Error for one
/// that begins with itself.
std::vector<uint32_t> order_by_beginnings(const Automaton& automaton, const CallLists& calls,
                                          const RuleStates& rules) {
  enum class Mark : uint8_t { unseen, open, done };
  std::vector<Mark> marks(automaton.start.size(), Mark::unseen);
  std::vector<uint32_t> order;
  std::vector<std::pair<uint32_t, size_t>> path;  // rule, how many of its calls were seen
  for (uint32_t root = 0; root < automaton.start.size(); ++root) {
    if (marks[root] != Mark::unseen) continue;
    path.push_back({root, 0});
    marks[root] = Mark::open;
    while (!path.empty()) {
      auto& [rule, seen] = path.back();
      const std::vector<Call>& begins = calls[automaton.start[rule]];
      if (seen == begins.size()) {
        marks[rule] = Mark::done;
        order.push_back(rule);
        path.pop_back();
        continue;
      }
      const uint32_t next = automaton.callees[begins[seen++].callee].rule;
      require(marks[next] != Mark::open,
              "{} begins with itself (left recursion), which is not supported: write the "
              "repetition with * or +, or put the recursion at the end",
              rules.name(next));
      if (marks[next] == Mark::unseen) {
        marks[next] = Mark::open;
        path.push_back({next, 0});
      }
    }
  }
  return order;
}

bool has_transitions(const Automaton& automaton, uint32_t state) {
  auto row = automaton.transitions.begin() + static_cast<int64_t>(state) * automaton.classes();
  return std::any_of(row, row + automaton.classes(), [](uint32_t to) { return to != 0; });
}

/// Calls of rules that match nothing but the empty text: their callers go on without them.
void drop_empty_calls(Automaton& automaton, CallLists& calls, const std::vector<uint32_t>& order) {
  std::vector<uint8_t> is_empty(automaton.start.size(), 0);
  auto calls_empty_rule = [&](const Call& call) {
    return is_empty[automaton.callees[call.callee].rule] != 0;
  };
  for (uint32_t rule : order) {
    const uint32_t start = automaton.start[rule];
    const std::vector<Call>& begins = calls[start];
    is_empty[rule] = !has_transitions(automaton, start) &&
                     std::all_of(begins.begin(), begins.end(), calls_empty_rule);
  }
  for (std::vector<Call>& list : calls) std::erase_if(list, calls_empty_rule);
}

void add_far_callees(Automaton& automaton) {
  for (size_t i = 0, count = automaton.callees.size(); i < count; ++i) {
    const auto next = static_cast<uint32_t>(automaton.callees.size());
    automaton.far.push_back({next, next + 1});
    if (!automaton.callees[i].is_loop()) continue;
    const uint32_t rule = automaton.callees[i].rule;
    automaton.callees.push_back({rule, 0, kUnbounded});
    automaton.callees.push_back({rule, kUnbounded, kUnbounded});
  }
}

}  // namespace

Automaton build_automaton(const Grammar& grammar) {
  for (const Grammar::RuleDefinition& rule : grammar.rules()) {
    require(rule.expression != Grammar::kUndefined, "rule '{}' is used but not defined", rule.name);
  }
  Automaton automaton;
  find_byte_classes(grammar, automaton);
  find_tokens(grammar, automaton);
  RuleStates rules(grammar, automaton);
  require(rules.is_productive(),
          "rule '{}' matches no text at all: every way through it is "
          "endless or impossible",
          grammar.rules().at(0).name);

  CallLists calls(1);
  automaton.final.push_back(0);
  automaton.transitions.assign(automaton.classes(), Automaton::kNoState);
  int64_t work = 0;
  for (uint32_t rule = 0; rule < rules.count(); ++rule) {  // more are found on the way
    const NfaRule nfa = rules.build(rule);
    automaton.start.push_back(determinize(nfa, rules, automaton, calls, work));
  }
  automaton.callees = rules.callees();
  add_far_callees(automaton);

  const std::vector<uint32_t> order = order_by_beginnings(automaton, calls, rules);
  automaton.rank.resize(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    automaton.rank[order[i]] = static_cast<uint32_t>(order.size() - 1 - i);
  }
  drop_empty_calls(automaton, calls, order);
  for (uint32_t state = 0; state < automaton.states(); ++state) {
    automaton.first_call.push_back(static_cast<uint32_t>(automaton.calls.size()));
    automaton.calls.insert(automaton.calls.end(), calls[state].begin(), calls[state].end());
    automaton.leaf.push_back(automaton.final[state] != 0 && calls[state].empty() &&
                             !has_transitions(automaton, state));
  }
  automaton.first_call.push_back(static_cast<uint32_t>(automaton.calls.size()));
  return automaton;
}

}  // namespace millrace
