// A rule's expression as a nondeterministic automaton (Thompson's construction, from the end to the
// beginning, so that what continues in the same way is there once).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "millrace/generate/grammar/automaton.h"

namespace millrace {

struct NfaState {
  enum class Kind : uint8_t { kSplit, kClasses, kCall, kFinal };
  Kind kind = Kind::kSplit;
  bool commits = false;  // who gets here forgets all other ways (ExpressionKind::kFirst)
  uint32_t what = 0;     // the set of classes; the callee
  uint32_t next = 0;
  std::vector<uint32_t> ways;  // of a split
};

struct NfaRule {
  std::vector<NfaState> states;
  uint32_t start = 0;
};

class RuleStates {
 public:
  /// `automaton` has its classes.
  RuleStates(const Grammar& grammar, const Automaton& automaton);

  bool is_productive() const { return productive_[grammar_.rules()[0].expression] != 0; }
  /// Rules that were met so far: the grammar's that are used, and the bodies of long repetitions.
  uint32_t count() const { return static_cast<uint32_t>(bodies_.size()); }
  NfaRule build(uint32_t rule);
  /// For messages.
  std::string name(uint32_t rule) const;

  const std::vector<Callee>& callees() const { return callees_; }
  const std::vector<uint16_t>& classes_of(uint32_t set) const { return class_lists_[set]; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t state_for(Expression expression, uint32_t next);
  uint32_t build_state(Expression expression, uint32_t next);
  uint32_t choice(const Grammar::Node& node, uint32_t next);
  uint32_t repeat(Expression expression, uint32_t next);
  uint32_t unrolled(Expression part, uint32_t min, uint32_t max, uint32_t next);
  uint32_t call(Expression body, Callee callee, uint32_t next);
  uint32_t split(std::vector<uint32_t> ways);
  uint32_t add(NfaState state);

  uint32_t rule_of(Expression body, Rule named_by);
  uint32_t class_set(uint16_t only);
  uint32_t class_set(std::vector<uint16_t> classes);
  uint32_t classes_of_bytes(const ByteSet& set);
  void weigh();

  const Grammar& grammar_;
  const Automaton& automaton_;
  std::vector<uint8_t> nullable_, productive_;
  std::vector<uint32_t> single_sets_;  // by class
  std::vector<uint32_t> weights_;      // of expressions: about how many states they take

  struct Body {
    Expression expression = 0;
    Rule named_by = 0;  // the grammar's rule that it is, or is a part of
    bool is_part = false;
  };
  std::vector<Body> bodies_;
  std::unordered_map<Expression, uint32_t> body_ids_;
  std::vector<Callee> callees_;
  std::map<Callee, uint32_t> callee_ids_;
  std::vector<std::vector<uint16_t>> class_lists_;
  std::map<std::vector<uint16_t>, uint32_t> class_list_ids_;

  NfaRule nfa_;
  uint32_t current_ = 0;
  std::unordered_map<uint64_t, uint32_t> known_;  // (expression, next)
};

}  // namespace millrace
