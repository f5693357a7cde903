#include "tests/floors/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <regex>

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// `folder/file.h` or `folder/`.
const std::regex kCode(R"(`([a-z0-9_./-]+/(?:[a-z0-9_.-]+\.(?:h|cpp|py|md|yaml|cmake))?)`)");
/// [text](target), the target without what follows a #.
const std::regex kLink(R"(\]\(([^)#:\s]+)[^):]*\))");

bool is_there(const fs::path& root, const fs::path& document, const std::string& name) {
  if (name.starts_with("runs/")) return true;  // training writes it
  return fs::exists(root / name) || fs::exists(root / "millrace" / name) ||
         fs::exists(document.parent_path() / name);
}

void check_document(const fs::path& root, const fs::path& path, std::vector<std::string>& missing) {
  std::ifstream file(path);
  std::string line;
  bool in_block = false;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.starts_with("```")) in_block = !in_block;
    if (in_block) continue;
    for (const std::regex& expression : {kCode, kLink}) {
      for (std::sregex_iterator found(line.begin(), line.end(), expression), end; found != end;
           ++found) {
        const std::string name = (*found)[1];
        if (is_there(root, path, name)) continue;
        missing.push_back(fmt::format("{}:{}: there is no {}",
                                      path.lexically_relative(root).string(), number, name));
      }
    }
  }
}

}  // namespace

std::vector<std::string> missing_in_documents(const fs::path& root) {
  std::vector<std::string> missing;
  std::vector<fs::path> documents = {root / "README.md"};
  for (const auto& entry : fs::directory_iterator(root / "docs")) {
    if (entry.path().extension() == ".md") documents.push_back(entry.path());
  }
  std::ranges::sort(documents);
  for (const fs::path& path : documents) check_document(root, path, missing);
  return missing;
}

}  // namespace millrace
