// Autoregressive blank infilling, the objective of GLM (Du et al. 2022): spans of a text are
// replaced by masks, and told behind it in random order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/data/example.h"
#include "millrace/text/blank_tokens.h"

namespace millrace {

/// Tokens that blanks hide at least: `rate` of the text's, and one.
size_t count_blank_tokens(size_t length, double rate);

/// Spans for a text of `length` tokens, ascending, no two side by side: their lengths are drawn
/// from a Poisson distribution of `mean_length` tokens (at least one, at most 39, as GLM's own
/// training has it) until `rate` of the text is hidden or no more fit.
std::vector<TokenSpan> blank_spans(size_t length, double rate, double mean_length, Random& random);

/// Of the sentences of a text, those that hide `rate` of it, ascending.
std::vector<TokenSpan> blank_sentences(std::span<const int32_t> text, const Tokenizer& tokenizer,
                                       double rate, Random& random);

/// One span of half to all of a text: in half of the cases, as in GLM's own training, its last
/// part, so that long texts are written from their beginning; else anywhere.
TokenSpan blank_document(size_t length, Random& random);

/// The text with `mask` for each of the spans, which ascend, seen both ways; behind it the spans in
/// random order, each from `tokens.start` to `tokens.end`. All of a span stands at the position of
/// its mask, and counts its own from 1.
Example filled_blanks(const FramedText& text, std::span<const TokenSpan> spans, int32_t mask,
                      const BlankTokens& tokens, Random& random);

}  // namespace millrace
