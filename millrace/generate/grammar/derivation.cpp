#include "millrace/generate/grammar/derivation.h"

#include <algorithm>

namespace millrace {
namespace {

/// Expressions and, after them, rules, as a graph of who is a part of whom.
class Derivation {
 public:
  explicit Derivation(const Grammar& grammar)
      : grammar_(grammar),
        known_(grammar.nodes().size() + grammar.rules().size(), 0),
        missing_(known_.size(), 1),
        first_user_(known_.size() + 1, 0) {
    for_each_part([&](size_t part, size_t) { ++first_user_[part + 1]; });
    for (size_t i = 1; i < first_user_.size(); ++i) first_user_[i] += first_user_[i - 1];
    users_.resize(first_user_.back());
    std::vector<uint32_t> filled = first_user_;
    for_each_part(
        [&](size_t part, size_t user) { users_[filled[part]++] = static_cast<uint32_t>(user); });
    for (size_t i = 0; i < grammar.nodes().size(); ++i) {
      const Grammar::Node& node = grammar.nodes()[i];
      if (node.kind == ExpressionKind::kSequence) missing_[i] = node.count;
    }
  }

  void learn(size_t fact) {
    if (known_[fact] != 0) return;
    known_[fact] = 1;
    fresh_.push_back(static_cast<uint32_t>(fact));
  }

  /// Everything that follows; each edge of the graph is gone along once.
  std::vector<uint8_t> conclude() {
    while (!fresh_.empty()) {
      const uint32_t fact = fresh_.back();
      fresh_.pop_back();
      for (uint32_t i = first_user_[fact]; i < first_user_[fact + 1]; ++i) {
        if (missing_[users_[i]] > 0 && --missing_[users_[i]] == 0) learn(users_[i]);
      }
    }
    known_.resize(grammar_.nodes().size());
    return std::move(known_);
  }

 private:
  /// visit(part, user): a rule is a part of its calls, and its expression a part of the rule.
  template <typename Visit>
  void for_each_part(Visit visit) const {
    const size_t rules = grammar_.nodes().size();
    for (size_t i = 0; i < grammar_.nodes().size(); ++i) {
      const Grammar::Node& node = grammar_.nodes()[i];
      switch (node.kind) {
        case ExpressionKind::kSequence:
        case ExpressionKind::kChoice:
        case ExpressionKind::kRepeat:
        case ExpressionKind::kFirst:
          for (Expression part : grammar_.children(node)) visit(part, i);
          break;
        case ExpressionKind::kCall:
          visit(rules + node.begin, i);
          break;
        default:
          break;
      }
    }
    for (size_t i = 0; i < grammar_.rules().size(); ++i) {
      visit(grammar_.rules()[i].expression, rules + i);
    }
  }

  const Grammar& grammar_;
  std::vector<uint8_t> known_;
  std::vector<uint32_t> missing_;  // how many parts must still be known
  std::vector<uint32_t> first_user_, users_;
  std::vector<uint32_t> fresh_;
};

}  // namespace

std::vector<uint8_t> find_nullable(const Grammar& grammar) {
  Derivation derivation(grammar);
  for (size_t i = 0; i < grammar.nodes().size(); ++i) {
    const Grammar::Node& node = grammar.nodes()[i];
    const bool empty = node.kind == ExpressionKind::kLiteral && node.count == 0;
    if (empty || (node.kind == ExpressionKind::kRepeat && node.min == 0)) derivation.learn(i);
  }
  return derivation.conclude();
}

std::vector<uint8_t> find_productive(const Grammar& grammar) {
  Derivation derivation(grammar);
  for (size_t i = 0; i < grammar.nodes().size(); ++i) {
    const Grammar::Node& node = grammar.nodes()[i];
    const bool ends = node.kind == ExpressionKind::kLiteral || node.kind == ExpressionKind::kToken;
    const bool bytes = node.kind == ExpressionKind::kBytes && !grammar.byte_set(node).empty();
    if (ends || bytes || (node.kind == ExpressionKind::kRepeat && node.min == 0)) {
      derivation.learn(i);
    }
  }
  return derivation.conclude();
}

}  // namespace millrace
