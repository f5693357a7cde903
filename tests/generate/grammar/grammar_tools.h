// What the tests of grammars share: vocabularies, a naive reader of grammars, random texts.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/generate/grammar/compiled_grammar.h"
#include "millrace/generate/grammar/grammar.h"
#include "millrace/generate/grammar/token_trie.h"
#include "tests/byte_tokenizer.h"

namespace millrace {

/// All bytes, <|endoftext|> and <|im_start|>, and then these tokens.
inline Tokenizer tokenizer_with(const std::vector<std::string>& tokens) {
  TokenizerDefinition definition = byte_tokenizer().definition();
  for (const std::string& token : tokens) {
    definition.tokens.push_back({token, TokenType::kNormal, false});
  }
  return Tokenizer(std::move(definition), "test");
}

inline std::shared_ptr<const TokenTrie> trie_with(const std::vector<std::string>& tokens) {
  const std::vector<int32_t> ends = {kEndOfText, kImEnd};
  return std::make_shared<const TokenTrie>(tokenizer_with(tokens), ends, 0);
}

inline std::shared_ptr<const TokenTrie> byte_trie() {
  static const std::shared_ptr<const TokenTrie> trie = trie_with({});
  return trie;
}

inline std::shared_ptr<const CompiledGrammar> compiled(const Grammar& grammar) {
  return CompiledGrammar::compile(grammar, byte_trie());
}

/// Reads a grammar in the plainest way: all stacks of what is still to be read, one by one.
class NaiveReader {
 public:
  explicit NaiveReader(const Grammar& grammar) : grammar_(&grammar) {
    add({{grammar.rules()[0].expression, 0, 0, 0}});
  }

  bool alive() const { return !stacks_.empty() || may_end_; }
  bool may_end() const { return may_end_; }
  /// Plain as it is, it does not try more stacks than these: what it then says is not to be used.
  bool gave_up() const { return seen_.size() > 400; }

  void read(uint8_t byte) {
    std::set<Stack> before;
    before.swap(stacks_);
    seen_.clear();
    may_end_ = false;
    for (Stack stack : before) {
      Task& top = stack.back();
      const Grammar::Node& node = grammar_->nodes()[top[0]];
      if (node.kind == ExpressionKind::kBytes) {
        if (!grammar_->byte_set(node).contains(byte)) continue;
        stack.pop_back();
      } else {
        const std::string_view text = grammar_->literal_bytes(node);
        if (static_cast<uint8_t>(text[top[1]]) != byte) continue;
        if (++top[1] == text.size()) stack.pop_back();
      }
      add(std::move(stack));
    }
  }
  NaiveReader after(std::string_view bytes) const {
    NaiveReader copy = *this;
    for (char c : bytes) {
      if (!copy.alive() || copy.gave_up()) break;
      copy.read(static_cast<uint8_t>(c));
    }
    return copy;
  }

 private:
  using Task = std::array<uint32_t, 4>;  // expression, bytes or repetitions so far
  using Stack = std::vector<Task>;

  void add(Stack stack) {
    if (gave_up() || !seen_.insert(stack).second) return;
    if (stack.empty()) {
      may_end_ = true;
      return;
    }
    const Task top = stack.back();
    const Grammar::Node& node = grammar_->nodes()[top[0]];
    switch (node.kind) {
      case ExpressionKind::kBytes:
        stacks_.insert(std::move(stack));
        break;
      case ExpressionKind::kLiteral:
        if (node.count > 0) {
          stacks_.insert(std::move(stack));
        } else {
          stack.pop_back();
          add(std::move(stack));
        }
        break;
      case ExpressionKind::kSequence: {
        stack.pop_back();
        std::span<const Expression> parts = grammar_->children(node);
        for (size_t i = parts.size(); i-- > 0;) stack.push_back({parts[i], 0, 0, 0});
        add(std::move(stack));
        break;
      }
      case ExpressionKind::kChoice:
        stack.pop_back();
        for (Expression part : grammar_->children(node)) {
          Stack way = stack;
          way.push_back({part, 0, 0, 0});
          add(std::move(way));
        }
        break;
      case ExpressionKind::kRepeat: {
        stack.pop_back();
        if (top[1] >= node.min) add(stack);
        if (top[1] < node.max) {
          stack.push_back(
              {top[0],
               std::min(top[1] + 1, std::max(node.min, node.max == kUnbounded ? 0 : node.max)), 0,
               0});
          stack.push_back({grammar_->children(node)[0], 0, 0, 0});
          add(std::move(stack));
        }
        break;
      }
      case ExpressionKind::kCall:
        stack.back() = {grammar_->rules()[node.begin].expression, 0, 0, 0};
        add(std::move(stack));
        break;
      default:
        break;
    }
  }

  const Grammar* grammar_;
  std::set<Stack> stacks_, seen_;
  bool may_end_ = false;
};

/// A text that the constraint allows, by uniform draws among the allowed ids; stops at an end token
/// or after `max_tokens`. `ended` says which.
inline std::string random_text(const CompiledGrammar& grammar, const TokenTrie& trie,
                               Random& random, int max_tokens, bool& ended) {
  std::unique_ptr<Constraint> constraint = grammar.start();
  std::string text;
  ended = false;
  for (int i = 0; i < max_tokens; ++i) {
    const std::span<const uint64_t> allowed = constraint->allowed();
    std::vector<int32_t> ids;
    for (int32_t id = 0; id < trie.vocab_size(); ++id) {
      if (is_allowed(allowed, id)) ids.push_back(id);
    }
    const int32_t id = ids[random.below(ids.size())];
    constraint->accept(id);
    if (trie.is_end(id)) {
      ended = true;
      break;
    }
    text += trie.bytes(id);
  }
  return text;
}

}  // namespace millrace
