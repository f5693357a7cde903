// How well a model predicts text that it does not learn from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/data/packing.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"
#include "millrace/train/gradients.h"

namespace millrace {

/// How much text each token stands for, by id; special tokens stand for none.
struct TokenLengths {
  std::vector<int32_t> bytes;
  std::vector<int32_t> characters;  // that begin in the token
};

/// The loss of held-out text. Whatever is scored counts, the end of a document too; it is spread
/// over the bytes and characters of the scored tokens, so that tokenizers can be compared.
struct HeldoutLoss {
  LossSum loss;
  int64_t bytes = 0;
  int64_t characters = 0;
  double bits_per_byte() const { return bits_per(bytes); }
  double bits_per_character() const { return bits_per(characters); }

 private:
  double bits_per(int64_t units) const;
};

/// Scores the pieces in order, in batches of at most `batch_tokens`, which change nothing else:
/// a token's loss is the one that training and scoring compute, to the bit.
HeldoutLoss heldout_loss(const Model& model, const LowRankMap* adapter, const TokenDataset& dataset,
                         std::span<const Piece> pieces, int64_t batch_tokens,
                         const TokenLengths& lengths, Workspace& workspace,
                         const Objective* objective = nullptr);

/// The first pieces of a data set, until they hold `tokens` inputs; 0: all.
std::vector<Piece> first_pieces(std::vector<Piece> pieces, int64_t tokens);

}  // namespace millrace
