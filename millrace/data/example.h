// An example: what a model is shown of a stretch of text, and what it is to tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "millrace/text/tokenizer.h"

namespace millrace {

/// One sequence: [tokens] of inputs, and for each the token to tell or −1.
struct Example {
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;
  int64_t prefix = 0;  ///< how many of the first inputs see each other both ways
  /// [tokens], GLM's two positions (graph/batch.h); empty for other objectives.
  std::vector<int32_t> text_positions = {}, block_positions = {};
};

/// Each next token.
Example causal_example(std::span<const int32_t> tokens);

/// A source, seen both ways, and behind it a target whose every token is told. A decoder that reads
/// its target from `start` on is shown that before it; where it is −1, the target's first token is
/// told by the source's last one, of which there must be one then.
Example source_and_target(std::span<const int32_t> source, std::span<const int32_t> target,
                          int32_t start = -1);

/// Tokens [begin, end) of a text.
struct TokenSpan {
  size_t begin = 0, end = 0;
  size_t length() const { return end - begin; }
  bool operator==(const TokenSpan&) const = default;
};

/// A text, and the special tokens that begin and end it, which stay where they are.
struct FramedText {
  std::span<const int32_t> begin, body, end;
};

FramedText framed_text(std::span<const int32_t> tokens, const Tokenizer& tokenizer);

/// The text with the token `marks[i]` in the place of `spans[i]`, which ascend; frame included.
std::vector<int32_t> with_spans_marked(const FramedText& text, std::span<const TokenSpan> spans,
                                       std::span<const int32_t> marks);

}  // namespace millrace
