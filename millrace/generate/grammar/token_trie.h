// The tokens of a vocabulary by their bytes, as a tree that is walked to find those that a grammar
// allows.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "millrace/text/tokenizer.h"

namespace millrace {

/// Immutable; one for each model, shared by its grammars. Tokens without bytes, special tokens and
/// end tokens are no part of the tree.
class TokenTrie {
 public:
  /// A node stands for the bytes on the way to it. The node after it is its first child, or, when
  /// it has none, what `end` names.
  struct Node {
    uint32_t end = 0;            // the node after all below this one
    int32_t token = kNoToken;    // with exactly these bytes
    uint32_t tokens_before = 0;  // in nodes before this one
    uint16_t depth = 0;          // bytes
    uint16_t deepest = 0;        // of this node and all below it
    uint8_t byte = 0;            // the last byte
  };

  /// `end_ids` end a text; `vocab_size` is the model's, which may have rows that no token uses.
  /// Throws Error when there is no end token, or one that the vocabulary does not have.
  TokenTrie(const Tokenizer& tokenizer, std::span<const int32_t> end_ids, int64_t vocab_size);

  /// The root, whose depth is 0, is first; a last node, of depth 0 too, stands for the end.
  const std::vector<Node>& nodes() const { return nodes_; }
  /// The tokens of the tree that are longer than so many bytes.
  std::span<const int32_t> longer_than(uint32_t bytes) const;
  uint32_t longest() const { return longest_; }
  int64_t vocab_size() const { return vocab_size_; }
  size_t words() const { return static_cast<size_t>(vocab_size_ + 63) / 64; }

  /// Bytes of a token that may be in a grammar's text; empty for all others.
  std::string_view bytes(int32_t id) const;
  bool is_special(int32_t id) const;
  bool is_end(int32_t id) const;
  const std::vector<int32_t>& end_ids() const { return end_ids_; }
  const std::vector<int32_t>& special_ids() const { return special_ids_; }
  /// Tokens with the bytes of another: (the one in the tree, the other).
  const std::vector<std::pair<int32_t, int32_t>>& twins() const { return twins_; }

 private:
  void sort_by_length();
  bool is_text(int32_t id) const;

  Tokenizer tokenizer_;
  int64_t vocab_size_;
  std::vector<int32_t> end_ids_, special_ids_;
  std::vector<Node> nodes_;
  std::vector<std::pair<int32_t, int32_t>> twins_;
  std::vector<int32_t> by_length_;  // the longest first
  std::vector<uint32_t> longer_;    // [bytes]: how many are longer
  uint32_t longest_ = 0;
};

}  // namespace millrace
