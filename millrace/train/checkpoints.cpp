#include "millrace/train/checkpoints.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>

#include "millrace/base/error.h"
#include "millrace/base/file.h"

namespace millrace {
namespace {

// A leading dot marks what is not, or no longer, a checkpoint.
constexpr std::string_view kPrefix = "step-";

std::filesystem::path checkpoints_folder(const std::filesystem::path& run) {
  return run / "checkpoints";
}

/// The step in "step-000100"; nullopt for another name.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* last = name.data() + name.size();
  auto [end, error] = std::from_chars(name.data() + kPrefix.size(), last, step);
  if (error != std::errc{} || end != last || step < 0) return std::nullopt;
  return step;
}

void rename_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code reason;
  std::filesystem::rename(from, to, reason);
  require(!reason, "{}: cannot rename to {}: {}", from.string(), to.string(), reason.message());
}

std::vector<std::filesystem::path> entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code reason;
  for (const auto& item : std::filesystem::directory_iterator(folder, reason)) {
    paths.push_back(item.path());
  }
  bool missing = reason == std::errc::no_such_file_or_directory;
  require(!reason || missing, "{}: cannot read the folder: {}", folder.string(), reason.message());
  return paths;
}

}  // namespace

std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& run) {
  std::vector<Checkpoint> found;
  for (const std::filesystem::path& path : entries(checkpoints_folder(run))) {
    auto step = step_of(path.filename().string());
    if (step && std::filesystem::is_directory(path)) found.push_back({*step, path});
  }
  std::ranges::sort(found, {}, &Checkpoint::step);
  return found;
}

std::optional<Checkpoint> latest_checkpoint(const std::filesystem::path& run) {
  std::vector<Checkpoint> found = list_checkpoints(run);
  if (found.empty()) return std::nullopt;
  return found.back();
}

Checkpoint save_checkpoint(const std::filesystem::path& run, int64_t step,
                           const std::function<void(const std::filesystem::path&)>& write) {
  const std::filesystem::path folder = checkpoints_folder(run);
  const std::string name = fmt::format("{}{:06}", kPrefix, step);
  Checkpoint checkpoint{step, folder / name};
  if (std::filesystem::is_directory(checkpoint.path)) return checkpoint;
  try {
    write_folder(checkpoint.path, write);
  } catch (const std::exception& error) {
    auto last = latest_checkpoint(run);
    fail("{}; the checkpoint of step {} was not saved, {}", error.what(), step,
         last ? fmt::format("the last one is {}", last->path.string()) : "and there is no other");
  }
  return checkpoint;
}

void prune_checkpoints(const std::filesystem::path& run, int64_t keep) {
  const std::filesystem::path folder = checkpoints_folder(run);
  std::vector<Checkpoint> found = list_checkpoints(run);
  auto surplus = std::max<int64_t>(static_cast<int64_t>(found.size()) - keep, 0);
  for (const Checkpoint& old : std::span(found).first(static_cast<size_t>(surplus))) {
    rename_folder(old.path, folder / fmt::format(".{}.old", old.path.filename().string()));
  }
  for (const std::filesystem::path& path : entries(folder)) {
    if (!path.filename().string().starts_with(".")) continue;
    std::error_code ignored;  // what cannot be removed now is tried again next time
    std::filesystem::remove_all(path, ignored);
  }
}

}  // namespace millrace
