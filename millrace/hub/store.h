// The models that were pulled, in MILLRACE_HOME: contents once each in blobs/, by their SHA-256;
// models/ has a folder a model, whose files are hard links to blobs. A blob with a single link is
// one that no model has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/hub/access.h"
#include "millrace/hub/file_lock.h"

namespace millrace::hub {

struct StoredFile {
  std::string path;
  uint64_t size = 0;
  std::string sha256;
  std::string git_oid;  ///< as the hub named it; empty: it did not
  bool operator==(const StoredFile&) const = default;
};

/// What .millrace.json in a model's folder says.
struct Manifest {
  std::string name;      ///< "hf:owner/name"
  std::string source;    ///< the URL or path that it came from
  std::string revision;  ///< what was asked for; empty: the default
  std::string commit;    ///< what it was then; empty: not known
  std::vector<StoredFile> files;

  uint64_t size() const;
  bool operator==(const Manifest&) const = default;
};

struct StoredModel {
  Manifest manifest;
  std::filesystem::path folder;
  std::filesystem::path path;  ///< what verbs open: the folder, or the .gguf file in it
};

/// MILLRACE_HOME, else millrace/ in XDG_DATA_HOME, else ~/.local/share/millrace. Throws Error where
/// there is none of them.
std::filesystem::path home_folder(const Environment& environment);

class Store {
 public:
  explicit Store(std::filesystem::path home) : home_(std::move(home)) {}

  const std::filesystem::path& home() const { return home_; }
  /// The folder of blobs, made when it is not there.
  std::filesystem::path blobs() const;
  std::filesystem::path blob(std::string_view sha256) const { return home_ / "blobs" / sha256; }
  /// Whether the blob is there and has this size. Throws Error where something else is in its
  /// place.
  bool has(std::string_view sha256, uint64_t size) const;

  /// Makes the model's folder, which appears whole, in place of the one that it had. False, and
  /// nothing is changed, where a blob is not there (any more).
  bool publish(const Manifest& manifest) const;

  /// All models, by name.
  std::vector<StoredModel> list() const;
  /// By its name, or by the end of it after a slash or colon where that is one model's alone.
  /// Throws Error where several have it.
  std::optional<StoredModel> find(std::string_view name) const;

  /// Removes a model and the blobs that it alone had; the bytes freed. Throws Error for a name that
  /// no model has.
  uint64_t remove(std::string_view name) const;
  /// Removes downloads that were broken off and blobs that no model has; the bytes freed.
  uint64_t remove_unfinished() const;

 private:
  std::filesystem::path folder_of(std::string_view name) const;
  Descriptor lock() const;

  std::filesystem::path home_;
};

/// What a verb is to open for what it was given: a path that is there, else a pulled model's, else
/// what was given. Throws Error for a hub's model that was not pulled.
std::filesystem::path model_path(const std::string& given);

}  // namespace millrace::hub
