#include "millrace/data/token_dataset.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/data/corpus.h"

namespace millrace {
namespace {

// Ids (i32), padding to 8 bytes, offsets (u64), flags (u8), footer. Little-endian, as every machine
// that we run on is. The footer comes last so that the file is written in one go.
struct Footer {
  uint64_t num_documents;
  uint64_t num_tokens;
  uint64_t num_scored;  // num_tokens, or 0 where every token is scored
  uint64_t fingerprint;
  char magic[8];
};
constexpr char kMagic[8] = {'M', 'I', 'L', 'L', 'T', 'O', 'K', '1'};

/// Texts that are encoded together: enough work for all threads, little enough to hold.
constexpr size_t kBlockBytes = size_t{16} << 20;
/// Tokens that wait to be written together.
constexpr size_t kWaitingTokens = size_t{1} << 18;

uint64_t padding(uint64_t bytes) {
  return (8 - bytes % 8) % 8;
}

std::optional<Footer> read_footer(std::span<const std::byte> bytes) {
  Footer footer;
  if (bytes.size() < sizeof footer) return std::nullopt;
  std::memcpy(&footer, bytes.data() + bytes.size() - sizeof footer, sizeof footer);
  if (std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0) return std::nullopt;
  return footer;
}

/// Documents held in memory, as one block each.
struct Blocks {
  std::vector<uint64_t> offsets = {0};
  std::vector<int32_t> tokens;
  std::vector<uint8_t> scored;
};

/// Adds a document's flags to those of the `tokens` before it, which stay none at all for as long
/// as every token is scored.
void append_flags(std::vector<uint8_t>& flags, uint64_t tokens, const Document& document) {
  require(document.scored.empty() || document.scored.size() == document.tokens.size(),
          "a document of {} tokens has {} flags", document.tokens.size(), document.scored.size());
  if (flags.empty() && document.scored.empty()) return;
  flags.resize(tokens, 1);
  flags.insert(flags.end(), document.scored.begin(), document.scored.end());
  flags.resize(tokens + document.tokens.size(), 1);
}

/// A hash of the files' contents and of `description`.
uint64_t corpus_fingerprint(const std::vector<std::filesystem::path>& files,
                            std::string_view description) {
  uint64_t hash = XXH3_64bits(description.data(), description.size());
  for (const std::filesystem::path& path : files) {
    MappedFile file(path);
    hash = XXH3_64bits_withSeed(file.bytes().data(), file.bytes().size(), hash);
  }
  return hash;
}

}  // namespace

TokenDataset::TokenDataset(std::span<const Document> documents) {
  auto blocks = std::make_shared<Blocks>();
  for (const Document& document : documents) {
    append_flags(blocks->scored, blocks->tokens.size(), document);
    blocks->tokens.insert(blocks->tokens.end(), document.tokens.begin(), document.tokens.end());
    blocks->offsets.push_back(blocks->tokens.size());
  }
  offsets_ = blocks->offsets;
  tokens_ = blocks->tokens;
  scored_ = blocks->scored;
  owner_ = std::move(blocks);
}

TokenDataset::TokenDataset(const std::filesystem::path& path) {
  const std::string name = path.string();
  auto file = std::make_shared<MappedFile>(path);
  std::span<const std::byte> bytes = file->bytes();
  std::optional<Footer> footer = read_footer(bytes);
  require(footer.has_value(), "{}: is not a token file; delete it to make it again", name);
  constexpr uint64_t kMost = uint64_t{1} << 56;
  require(footer->num_tokens < kMost && footer->num_documents < kMost &&
              (footer->num_scored == 0 || footer->num_scored == footer->num_tokens),
          "{}: the token file's footer is damaged; delete it to make it again", name);
  uint64_t id_bytes = footer->num_tokens * sizeof(int32_t);
  uint64_t offsets_at = id_bytes + padding(id_bytes);
  uint64_t scored_at = offsets_at + (footer->num_documents + 1) * sizeof(uint64_t);
  uint64_t expected = scored_at + footer->num_scored + sizeof(Footer);
  require(bytes.size() == expected,
          "{}: the token file has {} bytes instead of {}; delete it to make it again", name,
          bytes.size(), expected);
  const std::byte* start = bytes.data();
  tokens_ = {reinterpret_cast<const int32_t*>(start), footer->num_tokens};
  offsets_ = {reinterpret_cast<const uint64_t*>(start + offsets_at), footer->num_documents + 1};
  scored_ = {reinterpret_cast<const uint8_t*>(start + scored_at), footer->num_scored};
  require(offsets_.front() == 0 && offsets_.back() == footer->num_tokens &&
              std::ranges::is_sorted(offsets_),
          "{}: the token file's offsets are damaged; delete it to make it again", name);
  owner_ = std::move(file);
}

void TokenDatasetWriter::append(const Document& document) {
  append_flags(scored_, num_tokens_, document);
  waiting_.insert(waiting_.end(), document.tokens.begin(), document.tokens.end());
  num_tokens_ += document.tokens.size();
  offsets_.push_back(num_tokens_);
  if (waiting_.size() < kWaitingTokens) return;
  file_.write(std::as_bytes(std::span(waiting_)));
  waiting_.clear();
}

void TokenDatasetWriter::finish() {
  file_.write(std::as_bytes(std::span(waiting_)));
  file_.write(std::string(padding(file_.position()), '\0'));
  file_.write(std::as_bytes(std::span(offsets_)));
  file_.write(std::as_bytes(std::span(scored_)));
  Footer footer{offsets_.size() - 1, num_tokens_, scored_.size(), fingerprint_, {}};
  std::memcpy(footer.magic, kMagic, sizeof kMagic);
  file_.write(std::as_bytes(std::span(&footer, 1)));
  file_.commit();
}

bool token_dataset_matches(const std::filesystem::path& cache, uint64_t fingerprint) {
  if (!std::filesystem::is_regular_file(cache)) return false;
  std::optional<Footer> footer = read_footer(MappedFile(cache).bytes());
  return footer && footer->fingerprint == fingerprint;
}

void encode_corpus(const std::vector<std::filesystem::path>& files, std::string_view separator,
                   const EncodeText& encode, FunctionRef<void(const Document&)> take) {
  std::vector<std::string> texts;
  size_t text_bytes = 0;
  auto encode_block = [&] {
    std::vector<Document> documents(texts.size());
    parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t i) {
      documents[static_cast<size_t>(i)] = encode(texts[static_cast<size_t>(i)]);
    });
    for (const Document& document : documents) take(document);
    texts.clear();
    text_bytes = 0;
  };
  for (const std::filesystem::path& file : files) {
    for_each_document(file, separator, [&](std::string_view text) {
      texts.emplace_back(text);
      text_bytes += text.size();
      if (text_bytes >= kBlockBytes) encode_block();
    });
  }
  encode_block();
}

TokenDataset cached_dataset(const std::filesystem::path& cache,
                            const std::vector<std::filesystem::path>& files,
                            std::string_view encoder, FunctionRef<void(TokenDatasetWriter&)> fill) {
  const uint64_t fingerprint = corpus_fingerprint(files, encoder);
  if (token_dataset_matches(cache, fingerprint)) return TokenDataset(cache);
  TokenDatasetWriter writer(cache, fingerprint);
  fill(writer);
  writer.finish();
  return TokenDataset(cache);
}

}  // namespace millrace
