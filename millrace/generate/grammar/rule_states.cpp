#include "millrace/generate/grammar/rule_states.h"

#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/derivation.h"

namespace millrace {
namespace {

constexpr uint32_t kUnrolled = 64;  // states; a longer repetition is counted when it is run
constexpr size_t kMaxStates = 300'000;

}  // namespace

RuleStates::RuleStates(const Grammar& grammar, const Automaton& automaton)
    : grammar_(grammar),
      automaton_(automaton),
      nullable_(find_nullable(grammar)),
      productive_(find_productive(grammar)),
      single_sets_(automaton.classes(), kNone) {
  weigh();
  rule_of(grammar.rules()[0].expression, 0);
}

void RuleStates::weigh() {
  for (const Grammar::Node& node : grammar_.nodes()) {
    uint64_t weight = 1;
    if (node.kind == ExpressionKind::kLiteral) weight = node.count;
    if (node.kind == ExpressionKind::kSequence || node.kind == ExpressionKind::kChoice ||
        node.kind == ExpressionKind::kFirst) {
      for (Expression part : grammar_.children(node)) weight += weights_[part];
    }
    if (node.kind == ExpressionKind::kRepeat) {
      const uint64_t copies = node.max == kUnbounded ? node.min + uint64_t{1} : node.max;
      weight = copies * weights_[grammar_.children(node)[0]];
    }
    weights_.push_back(static_cast<uint32_t>(std::min<uint64_t>(weight, 1'000'000)));
  }
}

NfaRule RuleStates::build(uint32_t rule) {
  nfa_ = {};
  known_.clear();
  current_ = rule;
  NfaState end;
  end.kind = NfaState::Kind::kFinal;
  const uint32_t last = add(end);
  nfa_.start = state_for(bodies_[rule].expression, last);
  return std::move(nfa_);
}

std::string RuleStates::name(uint32_t rule) const {
  const Body& body = bodies_[rule];
  return fmt::format("{}rule '{}'", body.is_part ? "a repetition in " : "",
                     grammar_.rules()[body.named_by].name);
}

uint32_t RuleStates::add(NfaState state) {
  require(nfa_.states.size() < kMaxStates, "{} is too large: it takes more than {} states",
          name(current_), kMaxStates);
  nfa_.states.push_back(std::move(state));
  return static_cast<uint32_t>(nfa_.states.size() - 1);
}

uint32_t RuleStates::split(std::vector<uint32_t> ways) {
  std::erase(ways, kNone);
  if (ways.empty()) return kNone;
  if (ways.size() == 1) return ways[0];
  NfaState state;
  state.ways = std::move(ways);
  return add(std::move(state));
}

/// The state from which `expression`, and then what begins at `next`, is read; kNone when that is
/// impossible.
uint32_t RuleStates::state_for(Expression expression, uint32_t next) {
  if (next == kNone || productive_[expression] == 0) return kNone;
  const uint64_t key = uint64_t{expression} << 32 | next;
  if (auto found = known_.find(key); found != known_.end()) return found->second;
  const uint32_t state = build_state(expression, next);
  known_.emplace(key, state);
  return state;
}

uint32_t RuleStates::build_state(Expression expression, uint32_t next) {
  const Grammar::Node& node = grammar_.nodes()[expression];
  NfaState state;
  state.kind = NfaState::Kind::kClasses;
  state.next = next;
  switch (node.kind) {
    case ExpressionKind::kBytes:
      state.what = classes_of_bytes(grammar_.byte_set(node));
      return add(state);
    case ExpressionKind::kLiteral: {
      const std::string_view text = grammar_.literal_bytes(node);
      for (size_t i = text.size(); i-- > 0;) {
        state.what = class_set(automaton_.byte_class[static_cast<uint8_t>(text[i])]);
        state.next = add(state);
      }
      return state.next;
    }
    case ExpressionKind::kToken: {
      auto found = std::find(automaton_.tokens.begin(), automaton_.tokens.end(), node.token);
      const auto at = static_cast<uint32_t>(found - automaton_.tokens.begin());
      const uint32_t special = automaton_.special_class();
      state.what =
          class_set(static_cast<uint16_t>(node.token == kAnySpecial ? special : special + 1 + at));
      return add(state);
    }
    case ExpressionKind::kSequence: {
      std::span<const Expression> parts = grammar_.children(node);
      for (size_t i = parts.size(); i-- > 0;) next = state_for(parts[i], next);
      return next;
    }
    case ExpressionKind::kChoice:
      return choice(node, next);
    case ExpressionKind::kRepeat:
      return repeat(expression, next);
    case ExpressionKind::kFirst: {
      NfaState commit;
      commit.commits = true;
      commit.ways = {next};
      return state_for(grammar_.children(node)[0], add(commit));
    }
    case ExpressionKind::kCall:
      return call(grammar_.rules()[node.begin].expression,
                  {rule_of(grammar_.rules()[node.begin].expression, node.begin)}, next);
  }
  return kNone;
}

uint32_t RuleStates::choice(const Grammar::Node& node, uint32_t next) {
  std::vector<uint32_t> ways;
  for (Expression part : grammar_.children(node)) ways.push_back(state_for(part, next));
  return split(std::move(ways));
}

uint32_t RuleStates::repeat(Expression expression, uint32_t next) {
  const Grammar::Node& node = grammar_.nodes()[expression];
  const Expression part = grammar_.children(node)[0];
  if (productive_[part] == 0) return next;  // none of them: min is 0, or this were impossible
  const bool endless = node.max == kUnbounded;
  if (weights_[expression] <= kUnrolled || (endless && node.min <= 1)) {
    return unrolled(part, node.min, node.max, next);
  }
  Callee callee{rule_of(part, UINT32_MAX), node.min, node.max};
  if (nullable_[part] != 0) callee.min = 0;
  const uint32_t state = call(part, callee, next);
  return callee.min == 0 && nullable_[part] == 0 ? split({state, next}) : state;
}

uint32_t RuleStates::unrolled(Expression part, uint32_t min, uint32_t max, uint32_t next) {
  uint32_t rest = next;
  uint32_t copies = max;
  if (max == kUnbounded) {
    rest = add({});  // filled below: it leads to a copy of the part that leads back to it
    const uint32_t again = state_for(part, rest);
    nfa_.states[rest].ways = {again, next};
    copies = min;
  }
  for (uint32_t i = copies; i-- > 0;) {
    const uint32_t one = state_for(part, rest);
    rest = i < min ? one : split({one, next});
  }
  return rest;
}

uint32_t RuleStates::call(Expression body, Callee callee, uint32_t next) {
  auto [found, added] = callee_ids_.emplace(callee, static_cast<uint32_t>(callees_.size()));
  if (added) callees_.push_back(callee);
  NfaState state;
  state.kind = NfaState::Kind::kCall;
  state.what = found->second;
  state.next = next;
  const uint32_t calling = add(state);
  return nullable_[body] != 0 ? split({calling, next}) : calling;
}

/// The rule with this body; `named_by` is UINT32_MAX for a part of the rule that is being built.
uint32_t RuleStates::rule_of(Expression body, Rule named_by) {
  auto [found, added] = body_ids_.emplace(body, count());
  if (added) {
    const bool is_part = named_by == UINT32_MAX;
    bodies_.push_back({body, is_part ? bodies_[current_].named_by : named_by, is_part});
  }
  return found->second;
}

uint32_t RuleStates::class_set(uint16_t only) {
  uint32_t& known = single_sets_[only];
  if (known == kNone) known = class_set(std::vector<uint16_t>{only});
  return known;
}

uint32_t RuleStates::class_set(std::vector<uint16_t> classes) {
  auto [found, added] =
      class_list_ids_.emplace(classes, static_cast<uint32_t>(class_lists_.size()));
  if (added) class_lists_.push_back(std::move(classes));
  return found->second;
}

uint32_t RuleStates::classes_of_bytes(const ByteSet& set) {
  std::vector<uint16_t> classes;
  std::vector<bool> seen(automaton_.byte_classes, false);
  for (size_t byte = 0; byte < 256; ++byte) {
    const uint16_t c = automaton_.byte_class[byte];
    if (!set.contains(static_cast<uint8_t>(byte)) || seen[c]) continue;
    seen[c] = true;
    classes.push_back(c);
  }
  std::sort(classes.begin(), classes.end());
  return class_set(std::move(classes));
}

}  // namespace millrace
