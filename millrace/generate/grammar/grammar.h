// A context-free grammar over bytes and tokens, as expressions: what regular expressions, JSON
// Schema and GBNF are all read into.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// A set of bytes.
struct ByteSet {
  std::array<uint64_t, 4> words{};

  void add(uint8_t first, uint8_t last);
  bool contains(uint8_t byte) const { return (words[byte / 64] >> (byte % 64) & 1) != 0; }
  bool empty() const { return (words[0] | words[1] | words[2] | words[3]) == 0; }
  auto operator<=>(const ByteSet&) const = default;
};

enum class ExpressionKind : uint8_t {
  kBytes,    // one byte of a set
  kLiteral,  // these bytes, perhaps none
  kToken,    // a token by its id; or, with kAnySpecial, any special one that has no part of its own
  kSequence,  // one after the other
  kChoice,    // one of these; of none: nothing matches
  kRepeat,    // min to max times
  kFirst,     // what it holds, and once that has matched, nothing else that began with it goes on
  kCall,      // a rule
};

/// Indices into the grammar that made them.
using Expression = uint32_t;
using Rule = uint32_t;

inline constexpr uint32_t kUnbounded = UINT32_MAX;
inline constexpr int32_t kAnySpecial = -1;

/// Rules of expressions; the text must match rule 0. Building one throws Error once it is larger
/// than any grammar of use, so that what is hostile is refused early.
class Grammar {
 public:
  /// `name` stands in error messages.
  Rule add_rule(std::string name);
  void define(Rule rule, Expression expression);

  Expression bytes(const ByteSet& set);
  Expression literal(std::string_view text);
  Expression empty() { return literal(""); }
  Expression nothing() { return choice({}); }
  Expression token(int32_t id);
  Expression sequence(std::span<const Expression> parts);
  Expression sequence(std::initializer_list<Expression> parts) {
    return sequence(std::span(parts.begin(), parts.size()));
  }
  Expression choice(std::span<const Expression> parts);
  Expression choice(std::initializer_list<Expression> parts) {
    return choice(std::span(parts.begin(), parts.size()));
  }
  Expression repeat(Expression part, uint32_t min, uint32_t max);
  Expression optional(Expression part) { return repeat(part, 0, 1); }
  /// The shortest match: text up to a marker is first(sequence({anything, marker})).
  Expression first(Expression part);
  Expression call(Rule rule);

  /// Copies another grammar's rules; gives what its rule 0 has become.
  Rule import(const Grammar& other);

  struct Node {
    ExpressionKind kind = ExpressionKind::kLiteral;
    uint16_t depth = 1;
    uint32_t begin = 0;  // of children, or of the literal's bytes; the byte set, the rule
    uint32_t count = 0;  // of children, or of the literal's bytes
    uint32_t min = 0, max = 0;
    int32_t token = 0;
  };
  struct RuleDefinition {
    std::string name;
    Expression expression = kUndefined;
  };
  static constexpr Expression kUndefined = UINT32_MAX;

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<RuleDefinition>& rules() const { return rules_; }
  std::span<const Expression> children(const Node& node) const {
    return std::span(children_).subspan(node.begin, node.count);
  }
  std::string_view literal_bytes(const Node& node) const {
    return std::string_view(text_).substr(node.begin, node.count);
  }
  const ByteSet& byte_set(const Node& node) const { return sets_[node.begin]; }

 private:
  Expression add(const Node& node);
  Expression add_children(ExpressionKind kind, std::span<const Expression> parts, uint32_t min = 0,
                          uint32_t max = 0);

  std::vector<RuleDefinition> rules_;
  std::vector<Node> nodes_;
  std::vector<Expression> children_;
  std::string text_;
  std::vector<ByteSet> sets_;
  std::map<ByteSet, uint32_t> set_ids_;
};

}  // namespace millrace
