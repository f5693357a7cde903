#include "tests/floors/floors.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string_view>

namespace millrace {
namespace {

struct Folder {
  std::string_view name;
  int floor;
  std::vector<std::string_view> neighbours = {};  // of the same floor that it may include
};

const Folder kFolders[] = {
    {"cli", 10},      {"serve", 9},      {"align", 8},    {"evaluate", 8},
    {"knowledge", 8}, {"train", 7},      {"generate", 6}, {"model", 5},
    {"data", 5},      {"graph", 4},      {"kernels", 3},  {"parallel", 3},
    {"text", 3},      {"tensor", 2},     {"store", 2},    {"formats", 2, {"tensor"}},
    {"base", 1},      {"serve/http", 2}, {"hub", 2},
};

/// Libraries that a folder hides: named by its sources, not by its headers.
struct Hidden {
  std::string_view headers;
  std::vector<std::string_view> folders;
};
const Hidden kHidden[] = {{"boost/", {"serve/http"}},
                          {"openssl/", {"serve/http", "hub"}},
                          {"curl/", {"hub"}},
                          {"archive", {"hub"}}};

const Folder* folder_named(std::string_view name) {
  auto found = std::ranges::find(kFolders, name, &Folder::name);
  return found == std::end(kFolders) ? nullptr : found;
}

/// The folder of the table that holds "folder/inner/file.h": of two, the inner one.
const Folder* folder_of(std::string_view file) {
  const size_t outer = file.find('/');
  const size_t inner = file.find('/', outer + 1);
  if (outer == std::string_view::npos) return nullptr;
  if (inner != std::string_view::npos) {
    if (const Folder* folder = folder_named(file.substr(0, inner))) return folder;
  }
  return folder_named(file.substr(0, outer));
}

bool may_include(const Folder& from, const Folder& to) {
  return from.name == to.name || to.floor < from.floor ||
         std::ranges::find(from.neighbours, to.name) != from.neighbours.end();
}

/// What stands between the quotes or brackets of an #include, quotes or brackets with it.
std::optional<std::string_view> included(std::string_view line) {
  auto skip_blanks = [&] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return std::nullopt;
  line.remove_prefix(std::string_view("include").size());
  skip_blanks();
  if (!line.starts_with('"') && !line.starts_with('<')) return std::nullopt;  // a macro
  size_t end = line.find(line.front() == '"' ? '"' : '>', 1);
  return line.substr(0, end == std::string_view::npos ? end : end + 1);
}

/// What is wrong with an include in a file of `from`; nullopt when nothing is.
std::optional<std::string> fault(const Folder& from, bool is_header, std::string_view include,
                                 const std::filesystem::path& root) {
  const std::string_view path = include.substr(1, include.size() - 2);
  const bool ours = path.starts_with("millrace/");
  for (const Hidden& hidden : kHidden) {
    const bool ours_to_name =
        !is_header && std::ranges::find(hidden.folders, from.name) != hidden.folders.end();
    if (path.starts_with(hidden.headers) && !ours_to_name) {
      return fmt::format("is for the sources of {} alone", fmt::join(hidden.folders, " and "));
    }
  }
  if (include.front() == '<') {
    if (ours) return "includes a header of ours in angle brackets";
    return std::nullopt;
  }
  if (!ours || path.find("/../") != std::string_view::npos ||
      !std::filesystem::is_regular_file(root / path)) {
    return "is not the full path of a header of ours";
  }
  const std::string_view inside = path.substr(std::string_view("millrace/").size());
  const Folder* to = folder_of(inside);
  if (to == nullptr) return "includes a folder of no floor";
  if (may_include(from, *to)) return std::nullopt;
  return fmt::format("{} is on floor {} and may not include {} on floor {}", from.name, from.floor,
                     to->name, to->floor);
}

void check_file(const std::filesystem::path& path, const std::filesystem::path& root,
                std::vector<std::string>& violations) {
  const Folder& from = *folder_of(path.lexically_relative(root / "millrace").string());
  std::ifstream file(path);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::optional<std::string_view> include = included(line);
    if (!include) continue;
    if (std::optional<std::string> what = fault(from, path.extension() == ".h", *include, root)) {
      violations.push_back(fmt::format("{}:{}: {}: {}", path.lexically_relative(root).string(),
                                       number, *include, *what));
    }
  }
}

}  // namespace

std::vector<std::string> floor_violations(const std::filesystem::path& root) {
  std::vector<std::string> violations;
  for (const auto& entry : std::filesystem::directory_iterator(root / "millrace")) {
    const Folder* folder = folder_named(entry.path().filename().string());
    if (!entry.is_directory() || folder == nullptr) {
      violations.push_back(
          fmt::format("{}: is on no floor", entry.path().lexically_relative(root).string()));
      continue;
    }
    for (const auto& inner : std::filesystem::recursive_directory_iterator(entry.path())) {
      if (inner.is_regular_file()) check_file(inner.path(), root, violations);
    }
  }
  std::ranges::sort(violations);
  return violations;
}

}  // namespace millrace
