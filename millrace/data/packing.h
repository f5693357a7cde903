// Documents packed into ragged batches: which pieces make a step, in which order, as which tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/data/objective.h"
#include "millrace/data/token_dataset.h"
#include "millrace/graph/batch.h"

namespace millrace {

/// A stretch of one document that becomes one sequence of a batch: its inputs are the document's
/// tokens [begin, end), the target of each is the token after it (token `end` is the last target).
struct Piece {
  int64_t document;
  int64_t begin;
  int64_t end;
  int64_t epoch = 0;  ///< in which it is seen: what an objective draws at random is drawn anew
  int64_t length() const { return end - begin; }
  bool operator==(const Piece&) const = default;
};

/// What happens to a document of more than `sequence_length` inputs.
enum class LongDocuments : uint8_t {
  /// It becomes as many pieces as needed, of nearly equal length (so that no piece is a short tail
  /// without context). Each is a sequence of its own whose positions begin at 0.
  cut,
  /// Its first sequence_length inputs are kept: a conversation's later part means nothing alone.
  truncate,
};

/// The pieces of all documents, in order. Documents of fewer than 2 tokens give none, and pieces
/// without a scored target are left out.
std::vector<Piece> make_pieces(const TokenDataset& dataset, int64_t sequence_length,
                               LongDocuments long_documents);

/// Position in the endless stream of shuffled pieces: all that a checkpoint needs to keep.
struct DataCursor {
  int64_t epoch = 0;
  int64_t index = 0;  // pieces of this epoch that were already given out
  bool operator==(const DataCursor&) const = default;
};

/// The pieces in a new random order each epoch. The order is a function of seed, epoch and number
/// of pieces alone, so a cursor is all of its state.
class PieceStream {
 public:
  /// Throws Error when there are no pieces.
  PieceStream(std::vector<Piece> pieces, uint64_t seed, DataCursor cursor = {});

  /// The pieces of the next optimiser step: as many as fit into `batch_tokens`, in order, at least
  /// one. A step may go over into the next epoch.
  std::vector<Piece> next_step(int64_t batch_tokens);

  const DataCursor& cursor() const { return cursor_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  void shuffle();

  std::vector<Piece> pieces_;
  uint64_t seed_;
  DataCursor cursor_;
  std::vector<uint32_t> order_;  // of the cursor's epoch
};

/// Number of steps in which `epochs` passes over the stream are seen, counted by going through
/// them; the last step may be partly of the next epoch.
int64_t count_steps(const PieceStream& stream, int64_t batch_tokens, double epochs);

/// A ragged batch with its targets: what one forward and backward pass of training needs.
struct PackedBatch {
  RaggedBatch inputs;            ///< each piece a sequence, positions from 0
  std::vector<int32_t> targets;  ///< [tokens], the next token, -1 where not scored
};

/// Splits a step into micro-batches of at most `micro_batch_tokens` tokens (one piece at least),
/// keeping the order. What a step holds does not depend on how it is split.
std::vector<std::span<const Piece>> split_step(std::span<const Piece> step,
                                               int64_t micro_batch_tokens);

/// Lays the examples of the pieces side by side; without an objective each next token is the
/// target, where it is scored. What an objective draws depends on the piece alone. Throws Error for
/// an id outside [0, vocab_size).
PackedBatch pack(const TokenDataset& dataset, std::span<const Piece> pieces, int64_t vocab_size,
                 const Objective* objective = nullptr);

/// Number of scored targets: what the loss of a step is divided by.
int64_t count_scored(const TokenDataset& dataset, std::span<const Piece> pieces,
                     const Objective* objective = nullptr);

}  // namespace millrace
