// Raw text as documents: .txt with a separator line, or .jsonl with a field "text".
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/thread_pool.h"

namespace millrace {

/// Calls `take(text)` for every document of a file, in order.
///
/// NAME.jsonl holds one JSON object a line, the document in its field "text"; any other name holds
/// plain text, documents being separated by lines that equal `separator` (a file without one is one
/// document); the line end before a separator or the end of the file is not part of a document.
/// Either may be compressed: NAME.jsonl.zst. Empty documents are left out. Throws Error naming file
/// and line for bad JSON, a missing field, or a document of more than 1 GiB.
void for_each_document(const std::filesystem::path& path, std::string_view separator,
                       FunctionRef<void(std::string_view)> take);

/// The files that a recipe's entry names: itself, or, where it is a folder, the .txt and .jsonl
/// files in it (compressed or not), by name. Throws Error when there is none.
std::vector<std::filesystem::path> corpus_files(const std::vector<std::string>& entries);

}  // namespace millrace
