#include "millrace/text/word_counts.h"

#include <vector>

#include "millrace/base/thread_pool.h"

namespace millrace {

void WordCounts::count(std::string_view text, const PreTokenizer& pre_tokenizer, Shards& shards) {
  std::vector<TextRange> ranges;
  pre_tokenizer.split(text, ranges);
  for (const TextRange& range : ranges) {
    std::string_view word = text.substr(range.begin, range.end - range.begin);
    // The lower bits choose the bucket within a table.
    Table& table = shards[(Hash()(word) >> 32) % shards.size()];
    auto found = table.find(word);
    if (found == table.end()) found = table.emplace(word, 0).first;
    ++found->second;
  }
}

void WordCounts::add(std::span<const std::string_view> texts, const PreTokenizer& pre_tokenizer) {
  // A few parts for each thread, so that they finish together; each has tables of its own.
  size_t parts = std::min(texts.size(), static_cast<size_t>(num_threads()) * 4);
  std::vector<Shards> counted(parts);
  parallel_for(static_cast<int64_t>(parts), [&](int64_t part) {
    auto i = static_cast<size_t>(part);
    for (size_t t = texts.size() * i / parts; t < texts.size() * (i + 1) / parts; ++t) {
      count(texts[t], pre_tokenizer, counted[i]);
    }
  });
  parallel_for(static_cast<int64_t>(shards_.size()), [&](int64_t shard) {
    auto i = static_cast<size_t>(shard);
    for (Shards& part : counted) {
      for (const auto& [word, times] : part[i]) shards_[i][word] += times;
      Table().swap(part[i]);
    }
  });
}

void WordCounts::for_each(const std::function<void(std::string_view, int64_t)>& visit) const {
  for (const Table& table : shards_) {
    for (const auto& [word, times] : table) visit(word, times);
  }
}

size_t WordCounts::size() const {
  size_t words = 0;
  for (const Table& table : shards_) words += table.size();
  return words;
}

}  // namespace millrace
