// Documents as token ids: made once from text, kept in a file that is mapped into memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/base/file.h"
#include "millrace/base/thread_pool.h"

namespace millrace {

/// One document's ids. `scored` says which of them the model is to learn to predict: one flag a
/// token, or none at all where every token is scored.
struct Document {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> scored;
};

/// Many documents, read-only; copies share the bytes.
class TokenDataset {
 public:
  TokenDataset() = default;
  /// In memory.
  explicit TokenDataset(std::span<const Document> documents);
  /// A file that TokenDatasetWriter finished. Throws Error when it is damaged.
  explicit TokenDataset(const std::filesystem::path& path);

  int64_t num_documents() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens_.size()); }
  std::span<const int32_t> tokens(int64_t document) const { return part(tokens_, document); }
  /// Empty where every token is scored.
  std::span<const uint8_t> scored(int64_t document) const {
    return scored_.empty() ? scored_ : part(scored_, document);
  }

 private:
  template <typename T>
  std::span<const T> part(std::span<const T> all, int64_t document) const {
    auto i = static_cast<size_t>(document);
    return all.subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }

  std::shared_ptr<const void> owner_;
  std::span<const uint64_t> offsets_ = kNoDocuments;  // [documents + 1]
  std::span<const int32_t> tokens_;
  std::span<const uint8_t> scored_;
  static constexpr uint64_t kNoDocuments[1] = {0};
};

/// Writes the file of a TokenDataset document by document. The file appears whole, under its name,
/// when finish() is called, and not at all otherwise. Errors name the file and the reason.
class TokenDatasetWriter {
 public:
  /// `fingerprint` is whatever identifies text and tokenizer, for token_dataset_matches.
  TokenDatasetWriter(const std::filesystem::path& path, uint64_t fingerprint)
      : file_(path), fingerprint_(fingerprint) {}

  void append(const Document& document);
  void finish();

 private:
  FileWriter file_;
  uint64_t fingerprint_;
  std::vector<int32_t> waiting_;  // tokens not yet in the file
  uint64_t num_tokens_ = 0;
  std::vector<uint64_t> offsets_ = {0};
  std::vector<uint8_t> scored_;  // none while every token is scored
};

/// Turns texts into a Document each; called from several threads at once.
using EncodeText = std::function<Document(std::string_view)>;

/// Calls `take` with each document of `files` (corpus.h says which formats) as token ids, in order.
/// Texts are encoded on all threads.
void encode_corpus(const std::vector<std::filesystem::path>& files, std::string_view separator,
                   const EncodeText& encode, FunctionRef<void(const Document&)> take);

/// What `fill` makes of `files`, kept in the file `cache`, which is used as it is when it was made
/// from the same bytes with the same `encoder` (the name of all else that decides the ids: the
/// tokenizer, separators); otherwise it is written.
TokenDataset cached_dataset(const std::filesystem::path& cache,
                            const std::vector<std::filesystem::path>& files,
                            std::string_view encoder, FunctionRef<void(TokenDatasetWriter&)> fill);

/// Whether `cache` is a token file with this fingerprint.
bool token_dataset_matches(const std::filesystem::path& cache, uint64_t fingerprint);

}  // namespace millrace
