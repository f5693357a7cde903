// Raw text made into a training corpus: cleaned, without repeats, a part of it held out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "millrace/base/json.h"

namespace millrace {

struct PrepareOptions {
  /// The line between two documents of a .txt file; empty: blank lines.
  std::string separator;
  /// The field of JSON records that holds the text; the others are kept beside it.
  std::string text_field = "text";
  /// Unicode normal form C, so that one character is spelled in one way.
  bool normalize = true;
  /// Leaves out a document whose cleaned text was seen before.
  bool deduplicate = true;
  /// Documents of fewer or more characters are left out; 0: no upper limit.
  int64_t min_characters = 1;
  int64_t max_characters = 0;
  /// The part of the documents that is held out: those whose hash, which `seed` varies, says so.
  double heldout_fraction = 0.01;
  uint64_t seed = 0;
};

/// How far a preparation has come.
struct PrepareProgress {
  std::filesystem::path file;
  size_t files_done = 0, num_files = 0;
  int64_t documents = 0;
};
using PrepareCallback = std::function<void(const PrepareProgress&)>;

/// Cleaned text: without bytes that are not UTF-8, without control characters but newline and tab
/// ("\r\n" becomes "\n"), without white space at the end of lines and blank lines at both ends; in
/// normal form C if asked.
std::string clean_text(std::string_view text, bool normalize);

/// Reads `inputs` (.txt, .jsonl, .json, each also .zst) and writes train.jsonl and heldout.jsonl,
/// one {"text", …} a line in the order of the inputs, and report.json into `folder`. Returns the
/// report: documents and characters read, kept, and dropped by reason. Memory grows by 16 bytes a
/// document. The same inputs and options give the same bytes; a document is held out or not
/// whatever the others are. Throws Error naming file and line; then none of the files is written.
Json prepare_corpus(const std::vector<std::filesystem::path>& inputs,
                    const std::filesystem::path& folder, const PrepareOptions& options = {},
                    const PrepareCallback& progress = nullptr);

}  // namespace millrace
