#include "millrace/data/example.h"

#include "millrace/base/error.h"

namespace millrace {
namespace {

void append(std::vector<int32_t>& ids, std::span<const int32_t> more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

}  // namespace

Example causal_example(std::span<const int32_t> tokens) {
  return {{tokens.begin(), tokens.end() - 1}, {tokens.begin() + 1, tokens.end()}};
}

Example source_and_target(std::span<const int32_t> source, std::span<const int32_t> target,
                          int32_t start) {
  require(!target.empty() && (start >= 0 || !source.empty()),
          "an example of {} source and {} target tokens", source.size(), target.size());
  Example example;
  example.prefix = static_cast<int64_t>(source.size());
  append(example.inputs, source);
  if (start >= 0) example.inputs.push_back(start);
  append(example.inputs, target.first(target.size() - 1));
  example.targets.assign(example.inputs.size() - target.size(), -1);
  append(example.targets, target);
  return example;
}

FramedText framed_text(std::span<const int32_t> tokens, const Tokenizer& tokenizer) {
  size_t begin = 0, end = tokens.size();
  while (end > 0 && tokenizer.is_special(tokens[end - 1])) --end;
  while (begin < end && tokenizer.is_special(tokens[begin])) ++begin;
  return {tokens.first(begin), tokens.subspan(begin, end - begin), tokens.subspan(end)};
}

std::vector<int32_t> with_spans_marked(const FramedText& text, std::span<const TokenSpan> spans,
                                       std::span<const int32_t> marks) {
  std::vector<int32_t> ids(text.begin.begin(), text.begin.end());
  size_t last = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    append(ids, text.body.subspan(last, spans[i].begin - last));
    ids.push_back(marks[i]);
    last = spans[i].end;
  }
  append(ids, text.body.subspan(last));
  append(ids, text.end);
  return ids;
}

}  // namespace millrace
