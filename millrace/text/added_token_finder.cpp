#include "millrace/text/added_token_finder.h"

#include <algorithm>

namespace millrace {

AddedTokenFinder::AddedTokenFinder(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end());
  for (const Entry& entry : entries_) {
    begins_content_[static_cast<uint8_t>(entry.first.front())] = true;
  }
}

std::optional<AddedTokenFinder::Match> AddedTokenFinder::find(std::string_view text,
                                                              size_t from) const {
  if (entries_.empty()) return std::nullopt;
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!begins_content_[static_cast<uint8_t>(text[begin])]) continue;
    if (std::optional<Match> match = longest_at(text, begin)) return match;
  }
  return std::nullopt;
}

/// Narrows the sorted contents down to those that agree with the text, byte by byte.
std::optional<AddedTokenFinder::Match> AddedTokenFinder::longest_at(std::string_view text,
                                                                    size_t begin) const {
  std::optional<Match> longest;
  auto low = entries_.begin();
  auto high = entries_.end();
  for (size_t i = 0; begin + i < text.size(); ++i) {
    auto wanted = static_cast<uint8_t>(text[begin + i]);
    // What is as long as the part that agrees stands first, and was taken already.
    while (low != high && low->first.size() == i) ++low;
    auto byte_of = [i](const Entry& entry) { return static_cast<uint8_t>(entry.first[i]); };
    low = std::partition_point(low, high, [&](const Entry& e) { return byte_of(e) < wanted; });
    high = std::partition_point(low, high, [&](const Entry& e) { return byte_of(e) <= wanted; });
    if (low == high) break;
    if (low->first.size() == i + 1) longest = Match{{begin, begin + i + 1}, low->second};
  }
  return longest;
}

}  // namespace millrace
