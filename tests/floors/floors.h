// The floors of the house and who may include whom (docs/architecture.md has the table).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace millrace {

/// What breaks the floors in the tree `root`, which has a folder millrace/: one line each, naming
/// file and line. A file may include its own folder, lower floors, and no other folder of its own
/// floor but those that the table allows; always by the full path "millrace/folder/file.h".
std::vector<std::string> floor_violations(const std::filesystem::path& root);

}  // namespace millrace
