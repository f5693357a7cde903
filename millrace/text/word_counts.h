// How often each word of a corpus occurs: all that byte-pair encoding learns from.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "millrace/text/pre_tokenizer.h"

namespace millrace {

class WordCounts {
 public:
  /// Counts the words of texts, which may be any bytes, on all threads. The counts do not depend
  /// on how many threads there are, nor on the calls over which a corpus is spread.
  void add(std::span<const std::string_view> texts, const PreTokenizer& pre_tokenizer);

  /// Calls `visit(word, count)` for each word, in no order.
  void for_each(const std::function<void(std::string_view, int64_t)>& visit) const;

  /// How many different words there are.
  size_t size() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Table = std::unordered_map<std::string, int64_t, Hash, std::equal_to<>>;
  /// Spread by hash, so that threads can put their counts together.
  using Shards = std::array<Table, 32>;

  static void count(std::string_view text, const PreTokenizer& pre_tokenizer, Shards& shards);

  Shards shards_;
};

}  // namespace millrace
