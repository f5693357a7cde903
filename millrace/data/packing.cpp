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

std::span<const int32_t> tokens_of(const TokenDataset& dataset, const Piece& piece) {
  return dataset.tokens(piece.document)
      .subspan(static_cast<size_t>(piece.begin), static_cast<size_t>(piece.length()) + 1);
}

Example drawn_example(const TokenDataset& dataset, const Piece& piece, const Objective& objective) {
  Random random(mix_bits(mix_bits(static_cast<uint64_t>(piece.document)) ^
                         static_cast<uint64_t>(piece.begin)) ^
                mix_bits(~static_cast<uint64_t>(piece.epoch)));
  return objective.example(tokens_of(dataset, piece), random);
}

/// Each next token, where it is scored.
Example plain_example(const TokenDataset& dataset, const Piece& piece) {
  const std::span<const int32_t> tokens = tokens_of(dataset, piece);
  const std::span<const uint8_t> flags = dataset.scored(piece.document);
  Example example{{tokens.begin(), tokens.end() - 1}, {tokens.begin() + 1, tokens.end()}};
  for (size_t i = 0; i < example.targets.size() && !flags.empty(); ++i) {
    if (flags[static_cast<size_t>(piece.begin) + i + 1] == 0) example.targets[i] = -1;
  }
  return example;
}

void check_ids(std::span<const int32_t> ids, int64_t vocab_size, int64_t document) {
  for (int32_t id : ids) {
    require(0 <= id && id < vocab_size, "document {}: token {} is outside the vocabulary of {}",
            document, id, vocab_size);
  }
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

/// The epoch's order.
void PieceStream::shuffle() {
  order_.resize(pieces_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  Random random(mix_bits(seed_) ^ static_cast<uint64_t>(cursor_.epoch));
  millrace::shuffle(order_, random);
}

std::vector<Piece> PieceStream::next_step(int64_t batch_tokens) {
  std::vector<Piece> step;
  int64_t tokens = 0;
  while (true) {
    if (cursor_.index == static_cast<int64_t>(order_.size())) {
      cursor_ = {cursor_.epoch + 1, 0};
      shuffle();
    }
    Piece piece = pieces_[order_[static_cast<size_t>(cursor_.index)]];
    piece.epoch = cursor_.epoch;
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

PackedBatch pack(const TokenDataset& dataset, std::span<const Piece> pieces, int64_t vocab_size,
                 const Objective* objective) {
  PackedBatch batch;
  for (const Piece& piece : pieces) {
    check_ids(tokens_of(dataset, piece), vocab_size, piece.document);
    const Example example =
        objective ? drawn_example(dataset, piece, *objective) : plain_example(dataset, piece);
    check_ids(example.inputs, vocab_size, piece.document);
    batch.inputs.add_sequence(example.inputs, 0, {}, example.prefix);
    batch.inputs.set_blanks(example.text_positions, example.block_positions);
    batch.targets.insert(batch.targets.end(), example.targets.begin(), example.targets.end());
  }
  return batch;
}

int64_t count_scored(const TokenDataset& dataset, std::span<const Piece> pieces,
                     const Objective* objective) {
  int64_t scored = 0;
  for (const Piece& piece : pieces) {
    if (objective == nullptr) {
      scored += scored_targets(dataset, piece);
      continue;
    }
    const Example example = drawn_example(dataset, piece, *objective);
    scored += std::ranges::count_if(example.targets, [](int32_t id) { return id >= 0; });
  }
  return scored;
}

}  // namespace millrace
