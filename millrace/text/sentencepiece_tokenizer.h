// Tokenizers of SentencePiece's kind, whose pieces have scores: what .model files and GGUF files
// have in common.
#pragma once

#include <string_view>

#include "millrace/text/sentencepiece_model.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// The tokenizer of a model. User-defined pieces that look like marks of a conversation
/// ("<|im_start|>") are added tokens, which are cut out of text first; the others SentencePiece
/// finds where it can. Throws Error that begins with `source` for a model that cannot be used.
TokenizerDefinition sentencepiece_definition(const SentencePieceModel& model,
                                             std::string_view source);

/// Whether a token that is said to be plain text is made to steer a conversation ("<|im_start|>",
/// "<｜User｜>").
bool looks_like_control(std::string_view token);

/// All pairs of tokens in the model that make another one of it. The token with the highest score
/// comes first; equal scores, and pairs that make the same token, have the same rank.
void set_merges_by_score(TokenizerDefinition& definition);

/// How tokens with kSpaceSymbol and <0x0A> are written.
Decoder sentencepiece_decoder(bool adds_prefix, bool removes_spaces, bool byte_fallback);

}  // namespace millrace
