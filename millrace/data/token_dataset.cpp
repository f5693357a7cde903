#include "millrace/data/token_dataset.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/data/corpus.h"

namespace millrace {
namespace {

// Header, ids, padding to 8 bytes, offsets, flags. Little-endian, as every machine we run on is.
struct Header {
  char magic[8];
  uint64_t fingerprint;
  uint64_t num_documents;
  uint64_t num_tokens;
  uint64_t num_scored;  // num_tokens, or 0 where every token is scored
};
constexpr char kMagic[8] = {'M', 'I', 'L', 'L', 'T', 'O', 'K', '1'};

/// Texts that are encoded together: enough work for all threads, little enough to hold.
constexpr size_t kBlockBytes = size_t{16} << 20;

uint64_t padding(uint64_t bytes) {
  return (8 - bytes % 8) % 8;
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
  auto file = std::make_shared<MappedFile>(path);
  std::span<const std::byte> bytes = file->bytes();
  Header header;
  require(bytes.size() >= sizeof header, "{}: is not a token file: too short", path.string());
  std::memcpy(&header, bytes.data(), sizeof header);
  require(std::memcmp(header.magic, kMagic, sizeof kMagic) == 0, "{}: is not a token file",
          path.string());
  constexpr uint64_t kMost = uint64_t{1} << 56;
  require(header.num_tokens < kMost && header.num_documents < kMost &&
              (header.num_scored == 0 || header.num_scored == header.num_tokens),
          "{}: the token file's header is damaged; delete it to make it again", path.string());
  uint64_t id_bytes = header.num_tokens * sizeof(int32_t);
  uint64_t offsets_at = sizeof header + id_bytes + padding(id_bytes);
  uint64_t scored_at = offsets_at + (header.num_documents + 1) * sizeof(uint64_t);
  require(bytes.size() == scored_at + header.num_scored,
          "{}: the token file has {} bytes instead of {}; delete it to make it again",
          path.string(), bytes.size(), scored_at + header.num_scored);
  const std::byte* start = bytes.data();
  tokens_ = {reinterpret_cast<const int32_t*>(start + sizeof header), header.num_tokens};
  offsets_ = {reinterpret_cast<const uint64_t*>(start + offsets_at), header.num_documents + 1};
  scored_ = {reinterpret_cast<const uint8_t*>(start + scored_at), header.num_scored};
  require(offsets_.front() == 0 && offsets_.back() == header.num_tokens &&
              std::ranges::is_sorted(offsets_),
          "{}: the token file's offsets are damaged; delete it to make it again", path.string());
  owner_ = std::move(file);
}

TokenDatasetWriter::TokenDatasetWriter(const std::filesystem::path& path, uint64_t fingerprint)
    : path_(path), temporary_(path), fingerprint_(fingerprint) {
  temporary_ += fmt::format(".{}.tmp", ::getpid());
  file_ = std::fopen(temporary_.c_str(), "wbe");
  if (file_ == nullptr) fail("{}: cannot create: {}", path.string(), std::strerror(errno));
  Header empty{};
  try {
    write(&empty, sizeof empty);
  } catch (...) {
    std::fclose(file_);
    throw;
  }
}

TokenDatasetWriter::~TokenDatasetWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  ::unlink(temporary_.c_str());
}

void TokenDatasetWriter::write(const void* data, size_t bytes) {
  if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes) {
    fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
  }
}

void TokenDatasetWriter::append(const Document& document) {
  append_flags(scored_, num_tokens_, document);
  write(document.tokens.data(), document.tokens.size() * sizeof(int32_t));
  num_tokens_ += document.tokens.size();
  offsets_.push_back(num_tokens_);
}

void TokenDatasetWriter::finish() {
  const char zeros[8] = {};
  write(zeros, padding(num_tokens_ * sizeof(int32_t)));
  write(offsets_.data(), offsets_.size() * sizeof(uint64_t));
  write(scored_.data(), scored_.size());
  Header header{{}, fingerprint_, offsets_.size() - 1, num_tokens_, scored_.size()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  bool good = std::fseek(file_, 0, SEEK_SET) == 0;
  write(&header, sizeof header);
  good = good && std::fflush(file_) == 0 && ::fsync(::fileno(file_)) == 0;
  if (!good) fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("{}: cannot rename into place: {}", path_.string(), std::strerror(errno));
  }
  std::fclose(file_);
  file_ = nullptr;
}

uint64_t corpus_fingerprint(const std::vector<std::filesystem::path>& files,
                            std::string_view description) {
  uint64_t hash = XXH3_64bits(description.data(), description.size());
  for (const std::filesystem::path& path : files) {
    MappedFile file(path);
    hash = XXH3_64bits_withSeed(file.bytes().data(), file.bytes().size(), hash);
  }
  return hash;
}

bool token_dataset_matches(const std::filesystem::path& cache, uint64_t fingerprint) {
  if (!std::filesystem::is_regular_file(cache)) return false;
  std::FILE* file = std::fopen(cache.c_str(), "rbe");
  if (file == nullptr) return false;
  Header header{};
  bool read = std::fread(&header, sizeof header, 1, file) == 1;
  std::fclose(file);
  return read && std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 &&
         header.fingerprint == fingerprint;
}

TokenDataset tokenize_corpus(const std::vector<std::filesystem::path>& files,
                             std::string_view separator, std::string_view encoder_name,
                             const EncodeText& encode, const std::filesystem::path& cache) {
  uint64_t fingerprint = corpus_fingerprint(files, fmt::format("{}\n{}", encoder_name, separator));
  if (token_dataset_matches(cache, fingerprint)) return TokenDataset(cache);

  TokenDatasetWriter writer(cache, fingerprint);
  std::vector<std::string> texts;
  size_t text_bytes = 0;
  auto encode_block = [&] {
    std::vector<Document> documents(texts.size());
    parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t i) {
      documents[static_cast<size_t>(i)] = encode(texts[static_cast<size_t>(i)]);
    });
    for (const Document& document : documents) writer.append(document);
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
  writer.finish();
  return TokenDataset(cache);
}

}  // namespace millrace
