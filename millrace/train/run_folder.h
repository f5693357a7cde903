// A run is a folder: recipe.yaml, log.jsonl, checkpoints/, and a lock while someone writes it.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/train/recipe.h"

namespace millrace {

/// The right to write a run's folder, from construction to destruction.
class RunFolder {
 public:
  /// Makes a new run. Throws Error when the folder cannot be written or holds a run that has begun.
  static RunFolder create(const std::filesystem::path& path, const Recipe& recipe);
  /// Opens a run to go on with it. Throws Error when there is none, or another process writes it.
  static RunFolder open(const std::filesystem::path& path);

  ~RunFolder();
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// The recipe as it was resolved.
  Recipe recipe() const { return load_recipe(path_ / "recipe.yaml"); }

  /// Appends one object as one line of log.jsonl.
  void log(const Json& line);
  /// Makes sure that what was logged is on disk, as a checkpoint that follows it will be.
  void sync_log();
  /// Takes back what was logged after `step`, so that a run resumed there logs it once.
  void truncate_log(int64_t step);

 private:
  explicit RunFolder(const std::filesystem::path& folder);
  void open_log();

  std::filesystem::path path_;
  int lock_ = -1;
  int log_ = -1;
};

/// The lines of a run's log.jsonl. A last line that was cut off is left out; so is a line that is
/// no object.
std::vector<Json> read_log(const std::filesystem::path& run);

/// The last number of this name in a log; nullopt when there is none.
std::optional<double> last_number(std::span<const Json> log, const char* name);

/// Whether a process holds the run's lock at this moment.
bool is_being_written(const std::filesystem::path& run);

/// What `millrace runs` shows of one run.
struct RunSummary {
  std::filesystem::path path;
  std::string name;
  std::string task;
  std::string state;  // "running", "finished", "stopped", "unreadable"
  int64_t step = 0;
  int64_t steps = 0;
  std::optional<double> loss;                   // the last one logged, nats a token
  std::optional<double> heldout_bits_per_byte;  // the last one logged
};

RunSummary summarize_run(const std::filesystem::path& folder);

/// The runs below `root`, by name; a run within a run's folder (a pipeline's stages) is one too.
std::vector<RunSummary> list_runs(const std::filesystem::path& root);

}  // namespace millrace
