// Training a byte-level BPE tokenizer (Sennrich et al. 2016, algorithm 1, with incremental counts).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/text/tokenizer.h"
#include "millrace/text/word_counts.h"

namespace millrace {

struct BpeTrainOptions {
  /// Size of the vocabulary: 256 bytes, merges, special tokens. It comes out smaller where the text
  /// does not have enough pairs.
  int32_t vocab_size = 32000;
  /// llama.cpp's name of the pre-tokenizer, so that GGUF files can say what it is.
  std::string pre_tokenizer = "qwen2";
  /// Pairs that occur less often are not merged.
  int64_t min_frequency = 2;
  /// Every token is whole characters, or a part of one: no merge joins a part of a character with
  /// bytes of another.
  bool whole_characters = true;
  /// The most characters of a token; 0 for no limit. With 1, each character is its own token.
  int32_t max_token_chars = 0;
  /// Take the highest ids, in this order.
  std::vector<std::string> special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  /// Which of them end a text, end a turn, and pad; empty for none.
  std::string eos = "<|endoftext|>";
  std::string eot = "<|im_end|>";
  std::string pad = "<|endoftext|>";
};

/// Told how many of how many merges are done.
using TrainProgress = std::function<void(int64_t done, int64_t total)>;

/// Learns merges: again and again, the pair of tokens that occurs most often becomes one; of pairs
/// that occur equally often, the one whose left token has the smallest bytes, then whose right
/// token has. The same counts give the same tokenizer. Throws Error for options that cannot be met.
Tokenizer train_bpe(const WordCounts& words, const BpeTrainOptions& options,
                    const TrainProgress& progress = {});

/// As above, from texts.
Tokenizer train_bpe(std::span<const std::string_view> texts, const BpeTrainOptions& options,
                    const TrainProgress& progress = {});

}  // namespace millrace
