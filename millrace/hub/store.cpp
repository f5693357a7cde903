#include "millrace/hub/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>

#include "millrace/base/file.h"
#include "millrace/hub/listing.h"
#include "millrace/hub/safe_path.h"
#include "millrace/hub/selection.h"

namespace millrace::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = ".millrace.json";

Json to_json(const Manifest& manifest) {
  Json files = Json::array();
  for (const StoredFile& file : manifest.files) {
    files.push_back({{"path", file.path},
                     {"size", file.size},
                     {"sha256", file.sha256},
                     {"git_oid", file.git_oid}});
  }
  return {{"name", manifest.name},
          {"source", manifest.source},
          {"revision", manifest.revision},
          {"commit", manifest.commit},
          {"files", files}};
}

Manifest read_manifest(const fs::path& path) {
  const std::string source = path.string();
  const Json json = read_json(path);
  Manifest result;
  result.name = checked_name(json_field<std::string>(json, "name", source));
  result.source = json_field<std::string>(json, "source", source);
  result.revision = json_field<std::string>(json, "revision", source);
  result.commit = json_field<std::string>(json, "commit", source);
  auto files = json.find("files");
  require(files != json.end() && files->is_array(), "{}: field 'files' must be a list", source);
  for (const Json& file : *files) {
    result.files.push_back({checked_path(json_field<std::string>(file, "path", source), source),
                            json_field<uint64_t>(file, "size", source),
                            checked_sha256(json_field<std::string>(file, "sha256", source), source),
                            json_field<std::string>(file, "git_oid", source)});
  }
  return result;
}

/// Folders of the store are made by us; a link in their place would lead elsewhere.
void make_real_folders(const fs::path& home, const fs::path& inner) {
  make_folder(home);
  fs::path path = home;
  for (const fs::path& part : inner) {
    path /= part;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
      make_folder(path);
    } else {
      require(S_ISDIR(status.st_mode), "{}: is not a folder; remove it", path.string());
    }
  }
}

/// The folder, or the .gguf file in it (of a split, its first part) where that is all of a model.
fs::path path_to_open(const fs::path& folder, const Manifest& manifest) {
  std::set<std::string> models;
  std::string first;
  for (const StoredFile& file : manifest.files) {
    if (file.path == "config.json") return folder;
    if (!file.path.ends_with(".gguf")) continue;
    if (models.insert(gguf_model(file.path)).second || file.path < first) first = file.path;
  }
  return models.size() == 1 ? folder / first : folder;
}

void link_file(const fs::path& blob, const fs::path& path) {
  if (::link(blob.c_str(), path.c_str()) == 0) return;
  fail("{}: cannot link to {}: {}; MILLRACE_HOME must be on a file system with hard links",
       path.string(), blob.string(), std::strerror(errno));
}

std::optional<StoredModel> model_in(const fs::path& folder) {
  if (!fs::exists(folder / kManifest)) return std::nullopt;
  StoredModel model{read_manifest(folder / kManifest), folder, {}};
  model.path = path_to_open(folder, model.manifest);
  return model;
}

/// Removes a blob that nothing links to; its size, or 0.
uint64_t free_blob(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink > 1) {
    return 0;
  }
  if (::unlink(path.c_str()) != 0) {
    fail("{}: cannot be removed: {}", path.string(), std::strerror(errno));
  }
  return static_cast<uint64_t>(status.st_size);
}

/// "hf:a/b:Q4@v1" lies in hf/a/b:Q4@v1, a name without a hub in local/; a revision's slashes are
/// none of the folder's.
std::string folder_name(std::string_view name) {
  std::string result(name);
  for (size_t at = result.find('@'); at != std::string::npos && at < result.size(); ++at) {
    if (result[at] == '/') result.replace(at, 1, "%2F");
  }
  if (!names_hub(result)) return "local/" + result;
  result[2] = '/';
  return result;
}

bool ends_name(std::string_view name, std::string_view end) {
  if (name == end) return true;
  if (end.empty() || !name.ends_with(end) || name.size() == end.size()) return false;
  const char before = name[name.size() - end.size() - 1];
  return before == '/' || (before == ':' && names_hub(name) && name.size() == end.size() + 3);
}

}  // namespace

uint64_t Manifest::size() const {
  uint64_t sum = 0;
  for (const StoredFile& file : files) sum += file.size;
  return sum;
}

fs::path home_folder(const Environment& environment) {
  auto value = [&](const char* name) -> std::string {
    const char* text = environment(name);
    return text == nullptr ? "" : text;
  };
  if (!value("MILLRACE_HOME").empty()) return fs::absolute(value("MILLRACE_HOME"));
  if (!value("XDG_DATA_HOME").empty()) return fs::path(value("XDG_DATA_HOME")) / "millrace";
  require(!value("HOME").empty(), "there is no home folder; say by MILLRACE_HOME where models are");
  return fs::path(value("HOME")) / ".local/share/millrace";
}

fs::path Store::blobs() const {
  make_real_folders(home_, "blobs");
  return home_ / "blobs";
}

bool Store::has(std::string_view sha256, uint64_t size) const {
  const fs::path path = blob(sha256);
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return false;
  require(S_ISREG(status.st_mode) && static_cast<uint64_t>(status.st_size) == size,
          "{}: is damaged (not a file of {} bytes); remove it and pull again", path.string(), size);
  return true;
}

fs::path Store::folder_of(std::string_view name) const {
  return home_ / "models" / folder_name(checked_name(name));
}

Descriptor Store::lock() const {
  make_folder(home_);
  return lock_file(home_ / "lock");
}

bool Store::publish(const Manifest& manifest) const {
  const fs::path folder = folder_of(manifest.name);
  const Descriptor held = lock();
  for (const StoredFile& file : manifest.files) {
    if (!has(file.sha256, file.size)) return false;
  }
  const std::optional<StoredModel> before = model_in(folder);
  if (before && before->manifest == manifest) return true;
  require(before || !fs::exists(folder), "{}: other models have names that begin so; give another",
          quote(manifest.name));
  make_real_folders(home_, folder.parent_path().lexically_relative(home_));
  write_folder(folder, [&](const fs::path& inside) {
    std::set<fs::path> folders;
    for (const StoredFile& file : manifest.files) {
      const fs::path path = inside / checked_path(file.path, manifest.name);
      make_folder(path.parent_path());
      link_file(blob(file.sha256), path);
      folders.insert(path.parent_path());
    }
    for (const fs::path& one : folders) sync_folder(one);
    write_file(inside / kManifest, to_json_text(to_json(manifest), 2) + "\n");
  });
  if (before) {
    for (const StoredFile& file : before->manifest.files) free_blob(blob(file.sha256));
  }
  return true;
}

std::vector<StoredModel> Store::list() const {
  std::vector<StoredModel> models;
  std::error_code missing;
  fs::recursive_directory_iterator entry(home_ / "models", missing), end;
  for (; !missing && entry != end; entry.increment(missing)) {
    if (!entry->is_directory() || entry->is_symlink()) continue;
    if (entry->path().filename().string().starts_with('.')) {  // of a pull that is under way
      entry.disable_recursion_pending();
    } else if (std::optional<StoredModel> model = model_in(entry->path())) {
      models.push_back(*std::move(model));
      entry.disable_recursion_pending();
    }
  }
  std::ranges::sort(models, {}, [](const StoredModel& model) { return model.manifest.name; });
  return models;
}

std::optional<StoredModel> Store::find(std::string_view name) const {
  std::vector<StoredModel> found;
  for (StoredModel& model : list()) {
    if (model.manifest.name == name) return std::move(model);
    if (ends_name(model.manifest.name, name)) found.push_back(std::move(model));
  }
  if (found.empty()) return std::nullopt;
  std::vector<std::string> names;
  for (const StoredModel& model : found) names.push_back(model.manifest.name);
  require(found.size() == 1, "{} could be each of {}: give the whole name", quote(name),
          fmt::join(names, ", "));
  return std::move(found.front());
}

uint64_t Store::remove(std::string_view name) const {
  const Descriptor held = lock();
  const std::optional<StoredModel> model = find(name);
  require(model.has_value(), "{}: no model of this name was pulled; `millrace models` lists them",
          quote(name));
  std::error_code reason;
  fs::remove_all(model->folder, reason);
  require(!reason, "{}: cannot be removed: {}", model->folder.string(), reason.message());
  for (fs::path empty = model->folder.parent_path(); empty != home_ / "models" && !reason;
       empty = empty.parent_path()) {
    fs::remove(empty, reason);  // only where nothing else is in it
  }
  uint64_t freed = 0;
  for (const StoredFile& file : model->manifest.files) freed += free_blob(blob(file.sha256));
  return freed;
}

uint64_t Store::remove_unfinished() const {
  const Descriptor held = lock();
  uint64_t freed = 0;
  for (const auto& entry : fs::directory_iterator(blobs())) {
    const fs::path& path = entry.path();
    if (path.extension() == ".partial") {
      const std::optional<Descriptor> mine = try_lock_file(path);
      if (!mine) continue;  // somebody downloads it
      freed += free_blob(path);
      free_blob(fs::path(path).replace_extension(".parts"));
    } else if (path.extension().empty()) {
      freed += free_blob(path);
    }
  }
  return freed;
}

fs::path model_path(const std::string& given) {
  std::error_code ignored;
  if (given.empty() || fs::exists(given, ignored)) return given;
  auto environment = [](const char* name) -> const char* { return std::getenv(name); };
  const bool names_one = names_hub(given);
  if (!names_one && std::getenv("HOME") == nullptr && std::getenv("MILLRACE_HOME") == nullptr) {
    return given;
  }
  const std::optional<StoredModel> model = Store(home_folder(environment)).find(given);
  if (model) return model->path;
  require(!names_one, "{}: was not pulled; first: millrace pull {}", quote(given), given);
  return given;
}

}  // namespace millrace::hub
