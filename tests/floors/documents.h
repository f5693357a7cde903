// Whether the files that the documents speak of are there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace millrace {

/// What README.md and docs/*.md of the tree `root` name and is not there, one line each with file
/// and line: files and folders in `backticks` (`graph/context.h`, `tests/graph/`), which may leave
/// out millrace/, and targets of [links](architecture.md). Words with a placeholder in them (`*`,
/// upper case) are no names of files.
std::vector<std::string> missing_in_documents(const std::filesystem::path& root);

}  // namespace millrace
