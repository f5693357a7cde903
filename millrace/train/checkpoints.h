// Checkpoints as folders that appear whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

namespace millrace {

/// A complete checkpoint: RUN/checkpoints/step-000100.
struct Checkpoint {
  int64_t step = 0;
  std::filesystem::path path;
};

/// The complete checkpoints of a run, by step. None when the folder does not exist.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& run);

/// The last of them.
std::optional<Checkpoint> latest_checkpoint(const std::filesystem::path& run);

/// Saves a checkpoint: `write(folder)` fills a folder under a temporary name, which is synced and
/// renamed. A process that is killed at any moment leaves either the whole checkpoint or none; a
/// `write` that throws leaves none, and the Error says which checkpoint is still there. When the
/// step's checkpoint exists already, nothing is done.
Checkpoint save_checkpoint(const std::filesystem::path& run, int64_t step,
                           const std::function<void(const std::filesystem::path&)>& write);

/// Removes all but the last `keep` checkpoints, and what killed processes left behind. Each is
/// first renamed away, so that none is ever seen with a part of its files.
void prune_checkpoints(const std::filesystem::path& run, int64_t keep);

}  // namespace millrace
