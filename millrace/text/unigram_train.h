// Training a unigram tokenizer (Kudo 2018, section 3.2, as SentencePiece does it): from frequent
// substrings, those that the text needs least are taken away until the vocabulary is small enough.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/text/bpe_train.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/word_counts.h"

namespace millrace {

struct UnigramTrainOptions {
  /// Size of the vocabulary: <unk>, special tokens, 256 bytes, pieces. It comes out smaller where
  /// the text does not have enough substrings.
  int32_t vocab_size = 32000;
  /// How many of the frequent substrings the training begins with.
  int64_t seed_size = 1'000'000;
  /// The most characters of a piece.
  int32_t max_piece_chars = 16;
  /// The most frequent characters that make up so much of the text are pieces in any case; others
  /// are written as bytes.
  double character_coverage = 0.9995;
  /// How many pieces stay when some are taken away, and how often probabilities are estimated
  /// before.
  double shrinking_factor = 0.75;
  int32_t iterations = 2;
  /// Follow <unk>, in this order.
  std::vector<std::string> special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  /// Which of them end a text, end a turn, and pad; empty for none.
  std::string eos = "<|endoftext|>";
  std::string eot = "<|im_end|>";
  std::string pad = "<|endoftext|>";
};

/// What cuts text into the words that `train_unigram` counts: they begin with the space before
/// them, and line ends are left out.
PreTokenizer unigram_training_words();

/// The same counts and options give the same tokenizer, whatever the number of threads. Throws
/// Error for options that cannot be met.
Tokenizer train_unigram(const WordCounts& words, const UnigramTrainOptions& options,
                        const TrainProgress& progress = {});

}  // namespace millrace
