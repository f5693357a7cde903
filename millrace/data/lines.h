// Text files line by line, plain or compressed with zstd, without holding the whole in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace millrace {

/// The extension of a name without its ".zst": "x.jsonl.zst" → ".jsonl".
std::string inner_extension(std::filesystem::path path);

/// Reads a file's lines in order. A name that ends in .zst is decompressed on the way.
class LineReader {
 public:
  static constexpr size_t kMaxLineBytes = size_t{1} << 30;

  /// Throws Error when the file cannot be opened.
  explicit LineReader(const std::filesystem::path& path, size_t max_line_bytes = kMaxLineBytes);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Moves to the next line; false at the end. Throws Error on a read error, damaged compression,
  /// or a line longer than the limit.
  bool next();
  /// The current line without its "\n"; valid until next().
  std::string_view line() const { return line_; }
  /// Number of the current line, from 1.
  int64_t number() const { return number_; }

 private:
  class Source;
  std::unique_ptr<Source> source_;
  size_t max_line_bytes_;
  std::string buffer_;
  size_t read_ = 0;  // start of what next() has not yet given out
  bool ended_ = false;
  std::string_view line_;
  int64_t number_ = 0;
  std::string name_;
};

}  // namespace millrace
