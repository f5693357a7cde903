// Finds added tokens in text by their contents.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/text/pattern.h"

namespace millrace {

class AddedTokenFinder {
 public:
  /// A content and what `find` is to return for it. The contents must outlive this, not be empty,
  /// and be at most kMaxContent long, which bounds the time of `find`.
  using Entry = std::pair<std::string_view, size_t>;
  static constexpr size_t kMaxContent = 1024;

  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::vector<Entry> entries);
  bool empty() const { return entries_.empty(); }

  struct Match {
    TextRange range;
    size_t value = 0;
  };
  /// The first match in `text` at or after `from`; of several that begin there, the longest.
  std::optional<Match> find(std::string_view text, size_t from) const;

 private:
  std::optional<Match> longest_at(std::string_view text, size_t begin) const;

  std::vector<Entry> entries_;              // sorted by content
  std::array<bool, 256> begins_content_{};  // by first byte
};

}  // namespace millrace
