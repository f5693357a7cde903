// Span corruption, the objective of T5 (Raffel et al. 2020): spans of a text are replaced by
// sentinels, and told behind them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/data/example.h"

namespace millrace {

/// How many spans noise_spans draws.
size_t count_noise_spans(size_t length, double rate, double mean_length);

/// Spans that hide `rate` of a text of `length` tokens, of `mean_length` tokens on average,
/// ascending. Their number and that of their tokens are those of T5's random_spans_noise_mask, as
/// seqio has it and transformers' run_t5_mlm_flax.py repeats it, rounding to even; so is that the
/// text begins with what is kept, ends with what is hidden, and is cut in between at random with
/// no two spans side by side. A text of one token is hidden whole.
std::vector<TokenSpan> noise_spans(size_t length, double rate, double mean_length, Random& random);

/// What tells of spans: `sentinels` from <extra_id_0> on, `end` behind both texts (−1: nothing),
/// `start` before the second (−1: nothing).
struct SpanCorruptionTokens {
  std::vector<int32_t> sentinels;
  int32_t end = -1;
  int32_t start = -1;
};

/// Source: the text with its spans replaced by sentinels. Target: each sentinel and its span. Both
/// end with `end`. Throws Error for more spans than sentinels.
Example corrupted_spans(const FramedText& text, std::span<const TokenSpan> spans,
                        const SpanCorruptionTokens& tokens);

}  // namespace millrace
