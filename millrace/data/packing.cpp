#include "millrace/data/packing.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/random.h"

namespace millrace {
namespace {

/// Number of scored targets of one piece: flags of the tokens after its inputs.
int64_t scored_targets(const TokenDataset& dataset, const Piece& piece) {
  std::span<const uint8_t> flags = dataset.scored(piece.document);
  if (flags.empty()) return piece.length();
  auto targets =
      flags.subspan(static_cast<size_t>(piece.begin) + 1, static_cast<size_t>(piece.length()));
  return std::ranges::count_if(targets, [](uint8_t flag) { return flag != 0; });
}

}  // namespace

std::vector<Piece> make_pieces(const TokenDataset& dataset, int64_t sequence_length,
                               LongDocuments long_documents) {
  require(sequence_length > 0, "a sequence length of {}", sequence_length);
  std::vector<Piece> pieces;
  for (int64_t document = 0; document < dataset.num_documents(); ++document) {
    int64_t inputs = static_cast<int64_t>(dataset.tokens(document).size()) - 1;
    if (inputs < 1) continue;
    if (long_documents == LongDocuments::truncate) inputs = std::min(inputs, sequence_length);
    int64_t parts = (inputs + sequence_length - 1) / sequence_length;
    for (int64_t part = 0; part < parts; ++part) {
      Piece piece{document, inputs * part / parts, inputs * (part + 1) / parts};
      if (scored_targets(dataset, piece) > 0) pieces.push_back(piece);
    }
  }
  return pieces;
}

PieceStream::PieceStream(std::vector<Piece> pieces, uint64_t seed, DataCursor cursor)
    : pieces_(std::move(pieces)), seed_(seed), cursor_(cursor) {
  require(!pieces_.empty(), "the training data has no sequence with anything to learn from");
  require(pieces_.size() < std::numeric_limits<uint32_t>::max(),
          "{} sequences are more than one epoch may have; raise data.sequence_length",
          pieces_.size());
  require(cursor.epoch >= 0 && cursor.index >= 0 &&
              cursor.index <= static_cast<int64_t>(pieces_.size()),
          "data position {} of epoch {} lies outside the {} sequences; did the data change?",
          cursor.index, cursor.epoch, pieces_.size());
  shuffle();
}

/// Fisher and Yates's shuffle of the epoch's order.
void PieceStream::shuffle() {
  order_.resize(pieces_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  Random random(mix_bits(seed_) ^ static_cast<uint64_t>(cursor_.epoch));
  for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
}

std::vector<Piece> PieceStream::next_step(int64_t batch_tokens) {
  std::vector<Piece> step;
  int64_t tokens = 0;
  while (true) {
    if (cursor_.index == static_cast<int64_t>(order_.size())) {
      cursor_ = {cursor_.epoch + 1, 0};
      shuffle();
    }
    const Piece& piece = pieces_[order_[static_cast<size_t>(cursor_.index)]];
    if (!step.empty() && tokens + piece.length() > batch_tokens) return step;
    step.push_back(piece);
    tokens += piece.length();
    ++cursor_.index;
  }
}

int64_t count_steps(const PieceStream& stream, int64_t batch_tokens, double epochs) {
  PieceStream walk = stream;
  auto pieces = static_cast<double>(stream.pieces().size());
  auto seen = [&] {
    return static_cast<double>(walk.cursor().epoch) * pieces +
           static_cast<double>(walk.cursor().index);
  };
  const double target = seen() + epochs * pieces;
  int64_t steps = 0;
  while (seen() < target) {
    walk.next_step(batch_tokens);
    ++steps;
  }
  return steps;
}

std::vector<std::span<const Piece>> split_step(std::span<const Piece> step,
                                               int64_t micro_batch_tokens) {
  std::vector<std::span<const Piece>> parts;
  size_t begin = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < step.size(); ++i) {
    if (i > begin && tokens + step[i].length() > micro_batch_tokens) {
      parts.push_back(step.subspan(begin, i - begin));
      begin = i;
      tokens = 0;
    }
    tokens += step[i].length();
  }
  if (begin < step.size()) parts.push_back(step.subspan(begin));
  return parts;
}

PackedBatch pack(const TokenDataset& dataset, std::span<const Piece> pieces, int64_t vocab_size) {
  PackedBatch batch;
  for (const Piece& piece : pieces) {
    std::span<const int32_t> tokens = dataset.tokens(piece.document);
    std::span<const uint8_t> flags = dataset.scored(piece.document);
    const auto begin = static_cast<size_t>(piece.begin), end = static_cast<size_t>(piece.end);
    for (size_t i = begin; i <= end; ++i) {
      require(0 <= tokens[i] && tokens[i] < vocab_size,
              "document {}: token {} is outside the vocabulary of {}", piece.document, tokens[i],
              vocab_size);
    }
    batch.inputs.add_sequence(tokens.subspan(begin, end - begin));
    for (size_t i = begin + 1; i <= end; ++i) {
      batch.targets.push_back(flags.empty() || flags[i] != 0 ? tokens[i] : -1);
    }
  }
  return batch;
}

int64_t count_scored(const TokenDataset& dataset, std::span<const Piece> pieces) {
  int64_t scored = 0;
  for (const Piece& piece : pieces) scored += scored_targets(dataset, piece);
  return scored;
}

}  // namespace millrace
