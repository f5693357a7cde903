// A trie of pieces of text: all that a text begins with, shortest first, in time linear in the
// longest of them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "millrace/text/pair_map.h"

namespace millrace {

class PieceTrie {
 public:
  static constexpr int32_t kNone = -1;
  /// The most bytes of a piece that tokenizers may have: a text takes time by its longest piece.
  static constexpr size_t kLongest = 512;

  /// Of equal pieces the first one stays. Values are not negative.
  void add(std::string_view piece, int32_t value) {
    int32_t node = 0;
    for (char byte : piece) {
      int32_t& next = edges_.at(node, static_cast<uint8_t>(byte), kNone);
      if (next == kNone) {
        next = static_cast<int32_t>(values_.size());
        values_.push_back(kNone);
      }
      node = next;
    }
    if (values_[static_cast<size_t>(node)] == kNone) values_[static_cast<size_t>(node)] = value;
  }

  bool empty() const { return values_.size() == 1; }

  /// The node that these bytes lead to from another one; kNone where nothing goes on.
  int32_t walk(std::string_view bytes, int32_t node = 0) const {
    for (char byte : bytes) {
      const int32_t* next = edges_.find(node, static_cast<uint8_t>(byte));
      if (next == nullptr) return kNone;
      node = *next;
    }
    return node;
  }

  /// Calls `visit(length, value)` for each piece that `text` begins with, the shortest first.
  template <typename Visit>
  void for_each_prefix(std::string_view text, Visit visit, int32_t node = 0) const {
    for (size_t i = 0; i < text.size(); ++i) {
      const int32_t* next = edges_.find(node, static_cast<uint8_t>(text[i]));
      if (next == nullptr) return;
      node = *next;
      int32_t value = values_[static_cast<size_t>(node)];
      if (value != kNone) visit(i + 1, value);
    }
  }

  struct Match {
    size_t length = 0;  // 0: there is none
    int32_t value = kNone;
  };
  /// The longest piece that `text` begins with.
  Match longest(std::string_view text, int32_t node = 0) const {
    Match match;
    for_each_prefix(
        text,
        [&](size_t length, int32_t value) {
          match = {length, value};
        },
        node);
    return match;
  }

  /// The value of a piece.
  int32_t find(std::string_view piece) const {
    int32_t node = walk(piece);
    return node == kNone ? kNone : values_[static_cast<size_t>(node)];
  }

 private:
  PairMap<int32_t> edges_;                 // from a node and a byte to a node
  std::vector<int32_t> values_ = {kNone};  // by node
};

}  // namespace millrace
