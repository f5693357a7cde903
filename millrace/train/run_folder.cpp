#include "millrace/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/data/lines.h"
#include "millrace/train/checkpoints.h"

namespace millrace {
namespace {

std::filesystem::path recipe_path(const std::filesystem::path& run) {
  return run / "recipe.yaml";
}
std::filesystem::path log_path(const std::filesystem::path& run) {
  return run / "log.jsonl";
}
std::filesystem::path lock_path(const std::filesystem::path& run) {
  return run / "lock";
}

/// "runs/a/" and "runs/./a" as "runs/a".
std::filesystem::path tidy(const std::filesystem::path& path) {
  std::filesystem::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

/// Removes what writers that were killed left behind.
void remove_temporaries(const std::filesystem::path& run) {
  std::error_code ignored;
  std::vector<std::filesystem::path> found;
  for (const auto& item : std::filesystem::directory_iterator(run, ignored)) {
    if (item.path().extension() == ".tmp") found.push_back(item.path());
  }
  for (const std::filesystem::path& path : found) std::filesystem::remove_all(path, ignored);
}

}  // namespace

RunFolder::RunFolder(const std::filesystem::path& folder) : path_(tidy(folder)) {
  const std::filesystem::path& path = path_;
  make_folder(path);
  lock_ = ::open(lock_path(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) fail("{}: cannot write into the folder: {}", path.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) {
    remove_temporaries(path);
    return;
  }
  int reason = errno;
  ::close(lock_);
  require(reason != EWOULDBLOCK, "{}: another process is writing this run", path.string());
  fail("{}: cannot lock: {}", lock_path(path).string(), std::strerror(reason));
}

RunFolder::~RunFolder() {
  if (log_ >= 0) ::close(log_);
  if (lock_ >= 0) ::close(lock_);  // which unlocks
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      log_(std::exchange(other.log_, -1)) {}

void RunFolder::open_log() {
  log_ = ::open(log_path(path_).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_ < 0) fail("{}: cannot open: {}", log_path(path_).string(), std::strerror(errno));
}

RunFolder RunFolder::create(const std::filesystem::path& path, const Recipe& recipe) {
  RunFolder run(path);
  // A run that never began, because its recipe names a file that is not there, is in nobody's way.
  if (std::filesystem::exists(recipe_path(path))) {
    require(read_log(path).empty() && !latest_checkpoint(path),
            "{}: holds a run already; resume it, give another name, or remove the folder",
            path.string());
    // The tokenizer that it learned is of its own data; one that its recipe names is the user's.
    if (run.recipe().tokenizer.path.empty()) std::filesystem::remove_all(path / "tokenizer");
  }
  run.open_log();
  write_file(recipe_path(path), to_yaml(recipe));
  return run;
}

RunFolder RunFolder::open(const std::filesystem::path& path) {
  require(std::filesystem::exists(recipe_path(path)), "{}: holds no run (no recipe.yaml)",
          path.string());
  RunFolder run(path);
  run.open_log();
  return run;
}

void RunFolder::log(const Json& line) {
  // One write, so that a reader sees whole lines and a killed writer leaves at most one cut off.
  const std::string text = to_json_text(line) + "\n";
  ssize_t written;
  do {
    written = ::write(log_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(text.size())) return;
  fail("{}: cannot write: {}", log_path(path_).string(),
       std::strerror(written < 0 ? errno : ENOSPC));
}

void RunFolder::sync_log() {
  if (::fsync(log_) != 0) {
    fail("{}: cannot sync: {}", log_path(path_).string(), std::strerror(errno));
  }
}

void RunFolder::truncate_log(int64_t step) {
  std::string kept;
  for (const Json& line : read_log(path_)) {
    if (line.value("step", int64_t{0}) <= step) kept += to_json_text(line) + "\n";
  }
  write_file(log_path(path_), kept);
  ::close(std::exchange(log_, -1));
  open_log();
}

std::vector<Json> read_log(const std::filesystem::path& run) {
  std::vector<Json> lines;
  if (!std::filesystem::exists(log_path(run))) return lines;
  LineReader reader(log_path(run));
  while (reader.next()) {
    Json line = Json::parse(reader.line(), nullptr, false);
    bool numbered =
        line.is_object() && (!line.contains("step") || line["step"].is_number_integer());
    if (numbered) lines.push_back(std::move(line));
  }
  return lines;
}

std::optional<double> last_number(std::span<const Json> log, const char* name) {
  std::optional<double> last;
  for (const Json& line : log) {
    auto found = line.find(name);
    if (found != line.end() && found->is_number()) last = found->get<double>();
  }
  return last;
}

bool is_being_written(const std::filesystem::path& run) {
  int lock = ::open(lock_path(run).c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return false;
  bool held = ::flock(lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(lock);
  return held;
}

RunSummary summarize_run(const std::filesystem::path& folder) {
  const std::filesystem::path run = tidy(folder);
  require(std::filesystem::exists(recipe_path(run)), "{}: holds no run (no recipe.yaml)",
          run.string());
  RunSummary summary;
  summary.path = run;
  summary.name = run.filename().string();
  summary.state = "stopped";
  const std::vector<Json> log = read_log(run);
  for (const Json& line : log)
    summary.step = std::max(summary.step, line.value("step", int64_t{0}));
  summary.steps = static_cast<int64_t>(last_number(log, "steps").value_or(0));
  summary.loss = last_number(log, "loss");
  summary.heldout_bits_per_byte = last_number(log, "heldout_bits_per_byte");
  try {
    Recipe recipe = load_recipe(recipe_path(run));
    summary.task = recipe.task;
    if (summary.steps == 0) summary.steps = recipe.schedule.steps;
  } catch (const Error&) {
    summary.state = "unreadable";
    return summary;
  }
  auto last = latest_checkpoint(run);
  bool finished = last && summary.steps > 0 && last->step >= summary.steps;
  if (finished) summary.state = "finished";
  if (is_being_written(run)) summary.state = "running";
  return summary;
}

std::vector<RunSummary> list_runs(const std::filesystem::path& root) {
  std::vector<RunSummary> runs;
  std::error_code reason;
  auto options = std::filesystem::directory_options::skip_permission_denied;
  std::filesystem::recursive_directory_iterator item(root, options, reason), end;
  for (; !reason && item != end; item.increment(reason)) {
    if (item.depth() > 2) item.disable_recursion_pending();
    bool is_run = item->path().filename() == "recipe.yaml" && item->is_regular_file();
    if (is_run) runs.push_back(summarize_run(item->path().parent_path()));
  }
  std::ranges::sort(runs, {}, [](const RunSummary& run) { return run.path.string(); });
  return runs;
}

}  // namespace millrace
