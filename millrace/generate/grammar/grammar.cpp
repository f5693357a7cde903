#include "millrace/generate/grammar/grammar.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr size_t kMaxRules = 20'000;
constexpr size_t kMaxParts = 500'000;
constexpr size_t kMaxText = 1'000'000;  // bytes of all literals
constexpr uint16_t kMaxDepth = 3'000;

}  // namespace

void ByteSet::add(uint8_t first, uint8_t last) {
  for (uint32_t byte = first; byte <= last; ++byte) words[byte / 64] |= uint64_t{1} << (byte % 64);
}

Rule Grammar::add_rule(std::string name) {
  require(rules_.size() < kMaxRules, "the grammar has more than {} rules", kMaxRules);
  rules_.push_back({std::move(name)});
  return static_cast<Rule>(rules_.size() - 1);
}

void Grammar::define(Rule rule, Expression expression) {
  rules_[rule].expression = expression;
}

Expression Grammar::add(const Node& node) {
  require(nodes_.size() < kMaxParts && children_.size() < 4 * kMaxParts,
          "the grammar has more than {} parts", kMaxParts);
  require(text_.size() <= kMaxText, "the grammar has more than {} bytes of literal text", kMaxText);
  require(node.depth < kMaxDepth, "the grammar is nested deeper than {} levels", kMaxDepth);
  nodes_.push_back(node);
  return static_cast<Expression>(nodes_.size() - 1);
}

Expression Grammar::add_children(ExpressionKind kind, std::span<const Expression> parts,
                                 uint32_t min, uint32_t max) {
  Node node;
  node.kind = kind;
  node.begin = static_cast<uint32_t>(children_.size());
  node.count = static_cast<uint32_t>(parts.size());
  node.min = min;
  node.max = max;
  for (Expression part : parts) {
    node.depth = std::max<uint16_t>(node.depth, nodes_[part].depth + 1);
  }
  children_.insert(children_.end(), parts.begin(), parts.end());
  return add(node);
}

Expression Grammar::bytes(const ByteSet& set) {
  auto [found, added] = set_ids_.emplace(set, static_cast<uint32_t>(sets_.size()));
  if (added) sets_.push_back(set);
  Node node;
  node.kind = ExpressionKind::kBytes;
  node.begin = found->second;
  return add(node);
}

Expression Grammar::literal(std::string_view text) {
  Node node;
  node.begin = static_cast<uint32_t>(text_.size());
  node.count = static_cast<uint32_t>(text.size());
  text_ += text;
  return add(node);
}

Expression Grammar::token(int32_t id) {
  Node node;
  node.kind = ExpressionKind::kToken;
  node.token = id;
  return add(node);
}

Expression Grammar::sequence(std::span<const Expression> parts) {
  if (parts.empty()) return empty();
  return parts.size() == 1 ? parts[0] : add_children(ExpressionKind::kSequence, parts);
}

Expression Grammar::choice(std::span<const Expression> parts) {
  return parts.size() == 1 ? parts[0] : add_children(ExpressionKind::kChoice, parts);
}

Expression Grammar::repeat(Expression part, uint32_t min, uint32_t max) {
  if (max == 0) return empty();
  if (min == 1 && max == 1) return part;
  return add_children(ExpressionKind::kRepeat, {&part, 1}, min, max);
}

Expression Grammar::first(Expression part) {
  return add_children(ExpressionKind::kFirst, {&part, 1});
}

Expression Grammar::call(Rule rule) {
  Node node;
  node.kind = ExpressionKind::kCall;
  node.begin = rule;
  return add(node);
}

Rule Grammar::import(const Grammar& other) {
  const auto first_rule = static_cast<Rule>(rules_.size());
  const auto first_node = static_cast<Expression>(nodes_.size());
  for (const RuleDefinition& rule : other.rules_) {
    define(add_rule(rule.name), rule.expression + first_node);
  }
  std::vector<Expression> parts;
  for (const Node& node : other.nodes_) {
    switch (node.kind) {
      case ExpressionKind::kBytes:
        bytes(other.byte_set(node));
        break;
      case ExpressionKind::kLiteral:
        literal(other.literal_bytes(node));
        break;
      case ExpressionKind::kToken:
        token(node.token);
        break;
      case ExpressionKind::kCall:
        call(node.begin + first_rule);
        break;
      default:
        parts.clear();
        for (Expression part : other.children(node)) parts.push_back(part + first_node);
        add_children(node.kind, parts, node.min, node.max);
    }
  }
  return first_rule;
}

}  // namespace millrace
