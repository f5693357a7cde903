#include "millrace/train/heldout.h"

#include <numbers>

#include "millrace/model/score.h"

namespace millrace {

double HeldoutLoss::bits_per(int64_t units) const {
  return units > 0 ? loss.nll / std::numbers::ln2 / static_cast<double>(units) : 0;
}

HeldoutLoss heldout_loss(const Model& model, const LowRankMap* adapter, const TokenDataset& dataset,
                         std::span<const Piece> pieces, int64_t batch_tokens,
                         const TokenLengths& lengths, Workspace& workspace,
                         const Objective* objective) {
  HeldoutLoss result;
  auto length = [](const std::vector<int32_t>& all, int32_t id) {
    auto i = static_cast<size_t>(id);
    return i < all.size() ? all[i] : 0;
  };
  std::vector<float> losses;
  for (std::span<const Piece> part : split_step(pieces, batch_tokens)) {
    PackedBatch batch = pack(dataset, part, model.config().vocab_size, objective);
    losses.resize(batch.targets.size());
    token_losses(model, batch.inputs, batch.targets, workspace, losses, adapter);
    for (size_t i = 0; i < losses.size(); ++i) {
      if (batch.targets[i] < 0) continue;
      result.loss.nll += losses[i];
      ++result.loss.tokens;
      result.bytes += length(lengths.bytes, batch.targets[i]);
      result.characters += length(lengths.characters, batch.targets[i]);
    }
  }
  return result;
}

std::vector<Piece> first_pieces(std::vector<Piece> pieces, int64_t tokens) {
  if (tokens == 0) return pieces;
  int64_t held = 0;
  size_t count = 0;
  while (count < pieces.size() && held < tokens) held += pieces[count++].length();
  pieces.resize(count);
  return pieces;
}

}  // namespace millrace
