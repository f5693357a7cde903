#include "millrace/generate/grammar/token_trie.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr size_t kMaxTokenBytes = 1024;  // longer ones are never allowed

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, std::span<const int32_t> end_ids,
                     int64_t vocab_size)
    : tokenizer_(tokenizer),
      vocab_size_(std::max<int64_t>(vocab_size, tokenizer.vocab_size())),
      end_ids_(end_ids.begin(), end_ids.end()) {
  std::sort(end_ids_.begin(), end_ids_.end());
  require(!end_ids_.empty(), "the model has no end token: a constrained text could not end");
  require(end_ids_.front() >= 0 && end_ids_.back() < vocab_size_,
          "an end token's id is not in the vocabulary of {}", vocab_size_);
  std::vector<std::pair<std::string_view, int32_t>> sorted;
  for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
    if (is_text(id)) sorted.push_back({tokenizer_.token_bytes(id), id});
    if (is_special(id)) special_ids_.push_back(id);
  }
  std::sort(sorted.begin(), sorted.end());

  nodes_.push_back({});
  std::vector<uint32_t> path = {0};  // the nodes on the way to the last token
  std::string_view last;
  uint32_t tokens = 0;
  for (const auto& [bytes, id] : sorted) {
    if (bytes == last) {
      twins_.push_back({nodes_.back().token, id});
      continue;
    }
    const size_t shared = common_prefix(last, bytes);
    for (; path.size() > shared + 1; path.pop_back()) {
      Node& done = nodes_[path.back()];
      done.end = static_cast<uint32_t>(nodes_.size());
      Node& parent = nodes_[path[path.size() - 2]];
      parent.deepest = std::max(parent.deepest, done.deepest);
    }
    for (size_t i = shared; i < bytes.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      const auto depth = static_cast<uint16_t>(i + 1);
      nodes_.push_back({0, kNoToken, tokens, depth, depth, static_cast<uint8_t>(bytes[i])});
    }
    nodes_.back().token = id;
    ++tokens;
    longest_ = std::max(longest_, static_cast<uint32_t>(bytes.size()));
    last = bytes;
  }
  const auto end = static_cast<uint32_t>(nodes_.size());
  for (size_t i = path.size(); i-- > 0;) {
    nodes_[path[i]].end = end;
    if (i > 0) {
      uint16_t& above = nodes_[path[i - 1]].deepest;
      above = std::max(above, nodes_[path[i]].deepest);
    }
  }
  nodes_.push_back({end, kNoToken, tokens, 0, 0, 0});
  sort_by_length();
}

void TokenTrie::sort_by_length() {
  longer_.assign(longest_ + 1, 0);
  for (const Node& node : nodes_) {
    if (node.token != kNoToken) ++longer_[node.depth - 1];
  }
  for (size_t bytes = longest_; bytes-- > 0;) longer_[bytes] += longer_[bytes + 1];
  by_length_.resize(longer_[0]);
  std::vector<uint32_t> next(longer_.begin(), longer_.end());  // where tokens of a length begin
  for (const Node& node : nodes_) {
    if (node.token != kNoToken) by_length_[next[node.depth]++] = node.token;
  }
}

std::span<const int32_t> TokenTrie::longer_than(uint32_t bytes) const {
  return std::span(by_length_).first(bytes < longer_.size() ? longer_[bytes] : 0);
}

bool TokenTrie::is_end(int32_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

bool TokenTrie::is_special(int32_t id) const {
  if (id < 0 || id >= tokenizer_.vocab_size() || is_end(id)) return false;
  return tokenizer_.is_special(id) && !tokenizer_.token_bytes(id).empty();
}

bool TokenTrie::is_text(int32_t id) const {
  if (id < 0 || id >= tokenizer_.vocab_size() || is_end(id) || tokenizer_.is_special(id)) {
    return false;
  }
  const TokenType type = tokenizer_.definition().tokens[static_cast<size_t>(id)].type;
  const size_t length = tokenizer_.token_bytes(id).size();
  return length > 0 && length <= kMaxTokenBytes && type != TokenType::kUnused &&
         type != TokenType::kControl && type != TokenType::kUnknown;
}

std::string_view TokenTrie::bytes(int32_t id) const {
  return is_text(id) ? tokenizer_.token_bytes(id) : std::string_view();
}

}  // namespace millrace
