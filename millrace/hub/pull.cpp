#include "millrace/hub/pull.h"

#include <map>

#include "millrace/base/file.h"
#include "millrace/hub/archive.h"
#include "millrace/hub/digest.h"
#include "millrace/hub/safe_path.h"
#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

namespace fs = std::filesystem;

/// One way to bring files into the store, from beginning to end.
class Pull {
 public:
  Pull(const Store& store, const PullRequest& request, const Environment& environment,
       const DownloadOptions& options)
      : store_(store), request_(request), environment_(environment), options_(options) {
    manifest_.name = checked_name(request.name.empty() ? request.reference.name() : request.name);
    manifest_.source = public_source();
    manifest_.revision = request.reference.revision;
  }

  Pulled run() {
    constexpr int kMaxRounds = 3;
    for (int round = 0; round < kMaxRounds; ++round) {
      bring_files();
      if (store_.publish(manifest_)) {
        return {store_.find(manifest_.name).value(), fetched_};
      }
      // `millrace rm` took a blob that this model shared with one that was removed.
    }
    fail("{}: its files are removed as fast as they come; try again", manifest_.name);
  }

 private:
  std::string public_source() const {
    const Reference& reference = request_.reference;
    if (reference.source == Source::path) return fs::absolute(reference.place).string();
    return reference.source == Source::url ? public_url(reference.place) : reference.name();
  }

  void bring_files() {
    const Reference& reference = request_.reference;
    if (reference.is_hub()) return from_hub();
    if (reference.source == Source::url) return from_url();
    from_path(reference.place);
  }

  ImportOptions import_options() const {
    ImportOptions result;
    result.patterns = {request_.include, request_.exclude, request_.reference.variant};
    result.stop = options_.http.stop;
    result.on_progress = options_.on_progress;
    return result;
  }

  void from_hub() {
    const Reference& reference = request_.reference;
    require(request_.sha256.empty(), "--sha256 is for one file; a hub tells those of its files");
    const Access access = access_of(reference.source, store_.home(), environment_);
    HttpClient client(options_.http);
    Listing listing = reference.source == Source::hugging_face
                          ? list_hugging_face(client, access, reference)
                          : list_model_scope(client, access, reference);
    std::vector<RemoteFile> files = select_files(
        listing.files, {request_.include, request_.exclude, reference.variant}, reference.name());
    add_known_digests(files);
    Downloaded downloaded = download(store_, access, files, options_);
    manifest_.commit = listing.commit;
    manifest_.files = std::move(downloaded.files);
    fetched_ += downloaded.fetched_bytes;
  }

  /// Of small files Hugging Face tells Git's digest only; an earlier pull knows the other one.
  void add_known_digests(std::vector<RemoteFile>& files) const {
    const std::optional<StoredModel> before = store_.find(manifest_.name);
    if (!before) return;
    std::map<std::string, const StoredFile*> known;
    for (const StoredFile& file : before->manifest.files) known[file.git_oid] = &file;
    for (RemoteFile& file : files) {
      auto found = known.find(file.git_oid);
      if (file.git_oid.empty() || found == known.end() || !file.sha256.empty()) continue;
      if (found->second->size == file.size) file.sha256 = found->second->sha256;
    }
  }

  void from_url() {
    const std::string& url = request_.reference.place;
    require(!is_in_clear(url) || !request_.sha256.empty(),
            "{}: what comes over http can be changed on the way: use https, or say what it must be "
            "by --sha256",
            public_url(url));
    const std::string file = checked_path(file_name_of(url), public_url(url));
    require(is_archive(file) || file.ends_with(".gguf"),
            "{}: must be a .gguf file or an archive ({})", public_url(url),
            fmt::join(kArchiveEndings, ", "));
    RemoteFile wanted{file, std::nullopt, "", "", url};
    if (!request_.sha256.empty()) wanted.sha256 = checked_sha256(request_.sha256, "--sha256");
    Downloaded downloaded = download(store_, Access(), {&wanted, 1}, options_);
    fetched_ += downloaded.fetched_bytes;
    manifest_.files = std::move(downloaded.files);
    if (is_archive(file)) unpack(store_.blob(manifest_.files.front().sha256));
  }

  /// An archive that was downloaded is not kept.
  void unpack(const fs::path& archive) {
    manifest_.files = import_archive(store_, archive, import_options());
    std::error_code ignored;
    if (fs::hard_link_count(archive, ignored) == 1) fs::remove(archive, ignored);
  }

  void from_path(const fs::path& path) {
    if (fs::is_directory(path)) {
      require(request_.sha256.empty(), "--sha256 is for one file; {} is a folder", path.string());
      manifest_.files = import_folder(store_, path, import_options());
      return;
    }
    const std::string file = path.filename().string();
    require(is_archive(file) || file.ends_with(".gguf"),
            "{}: must be a folder, a .gguf file or an archive ({})", path.string(),
            fmt::join(kArchiveEndings, ", "));
    check_sha256(path);
    if (is_archive(file)) {
      manifest_.files = import_archive(store_, path, import_options());
    } else {
      manifest_.files = {import_file(store_, path, file, import_options())};
    }
  }

  void check_sha256(const fs::path& path) const {
    if (request_.sha256.empty()) return;
    const std::string wanted = checked_sha256(request_.sha256, "--sha256");
    const std::string found = digests_of(path, options_.http.stop).sha256;
    require(found == wanted, "{}: its SHA-256 is {}, not {}", path.string(), found, wanted);
  }

  const Store& store_;
  const PullRequest& request_;
  const Environment& environment_;
  const DownloadOptions& options_;
  Manifest manifest_;
  uint64_t fetched_ = 0;
};

}  // namespace

Pulled pull(const Store& store, const PullRequest& request, const Environment& environment,
            const DownloadOptions& options) {
  return Pull(store, request, environment, options).run();
}

}  // namespace millrace::hub
