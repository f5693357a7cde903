#include "millrace/hub/download.h"

#include <sys/stat.h>

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "millrace/hub/digest.h"
#include "millrace/hub/partial_file.h"
#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

namespace fs = std::filesystem;

/// A file on its way.
struct Transit {
  RemoteFile file;
  uint64_t size = 0;
  std::string etag;  // that every part must have; empty: digests tell
  std::unique_ptr<PartialFile> partial;
  std::atomic<size_t> parts_left = 0;
  StoredFile result;
};

struct Task {
  size_t file;
  std::optional<size_t> part;  // none: begin with the file
};

/// What "bytes 0-99/1000" says: first byte and size.
struct ContentRange {
  uint64_t begin = 0, size = 0;
};
std::optional<ContentRange> content_range(const Reply& reply) {
  const std::string text = reply.header("content-range").value_or("");
  const size_t dash = text.find('-'), slash = text.find('/');
  if (!text.starts_with("bytes ") || dash == std::string::npos || slash == std::string::npos) {
    return std::nullopt;
  }
  ContentRange range;
  const char* end = text.data() + text.size();
  const bool whole = std::from_chars(text.data() + 6, end, range.begin).ec == std::errc() &&
                     std::from_chars(text.data() + slash + 1, end, range.size).ec == std::errc();
  return whole ? std::optional(range) : std::nullopt;
}

std::optional<uint64_t> content_length(const Reply& reply) {
  const std::string text = reply.header("content-length").value_or("");
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  return error == std::errc() && !text.empty() ? std::optional(size) : std::nullopt;
}

/// The tag without its quotes, where it is a strong one.
std::string strong_tag(const std::optional<std::string>& tag) {
  if (!tag || tag->size() < 2 || tag->front() != '"') return "";
  return tag->substr(1, tag->size() - 2);
}

/// Hugging Face tells size and SHA-256 of a large file once more beside its redirect.
void check_linked(const Reply& reply, const RemoteFile& file) {
  for (const auto& [name, value] : reply.first_headers) {
    const bool wrong =
        (name == "x-linked-size" && file.size && value != std::to_string(*file.size)) ||
        (name == "x-linked-etag" && !file.sha256.empty() && strong_tag(value) != file.sha256);
    require(!wrong, "{}: {} says {}, which is not what the list of files says; pull again",
            public_url(file.url), name, quote(value));
  }
}

/// The bytes of files that still have to come.
uint64_t missing_bytes(const Store& store, std::span<const RemoteFile> files) {
  uint64_t sum = 0;
  for (const RemoteFile& file : files) {
    if (!file.size || (!file.sha256.empty() && store.has(file.sha256, *file.size))) continue;
    struct stat partial {};
    const fs::path path = store.blob(file.sha256).string() + ".partial";
    const bool begun = !file.sha256.empty() && ::stat(path.c_str(), &partial) == 0;
    const auto reserved = begun ? static_cast<uint64_t>(partial.st_blocks) * 512 : 0;
    if (reserved < *file.size) sum += *file.size - reserved;
    require(sum < uint64_t{1} << 60, "{}: {} bytes are more than there can be",
            public_url(file.url), *file.size);
  }
  return sum;
}

class Download {
 public:
  Download(const Store& store, const Access& access, std::span<const RemoteFile> files,
           const DownloadOptions& options)
      : store_(store), access_(access), options_(options), transits_(files.size()) {
    http_ = options.http;
    http_.stop = [this] { return failed_ || (options_.http.stop && options_.http.stop()); };
    for (size_t i = 0; i < files.size(); ++i) {
      transits_[i].file = files[i];
      total_ += files[i].size.value_or(0);
      queue_.push_back({i, std::nullopt});
    }
    unfinished_ = files.size();
  }

  Downloaded run() {
    std::vector<std::jthread> workers;
    const auto count = std::clamp<size_t>(static_cast<size_t>(options_.connections), 1, 64);
    for (size_t i = 0; i < count; ++i) workers.emplace_back([this] { work(); });
    {
      std::unique_lock lock(mutex_);
      while (unfinished_ > 0 && !error_) {
        wake_.wait_for(lock, std::chrono::milliseconds(100));
        if (options_.on_progress) options_.on_progress(done_, total_);
      }
    }
    workers.clear();
    Downloaded result;
    result.fetched_bytes = fetched_;
    for (Transit& transit : transits_) {
      transit.partial.reset();  // of one that failed: its journal is written now
      result.files.push_back(std::move(transit.result));
    }
    if (error_) std::rethrow_exception(error_);
    return result;
  }

 private:
  void work() {
    try {
      HttpClient client(http_);
      while (std::optional<Task> task = next()) {
        Transit& transit = transits_[task->file];
        if (task->part) {
          fetch_part(client, transit, *task->part, task->file);
        } else {
          begin(client, transit, task->file);
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      failed_ = true;
      wake_.notify_all();
    }
  }

  std::optional<Task> next() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return !queue_.empty() || unfinished_ == 0 || failed_; });
    if (failed_ || queue_.empty()) return std::nullopt;
    const Task task = queue_.front();
    queue_.pop_front();
    return task;
  }

  void push(const std::vector<Task>& tasks) {
    const std::lock_guard lock(mutex_);
    queue_.insert(queue_.end(), tasks.begin(), tasks.end());
    wake_.notify_all();
  }

  void finish(Transit& transit, StoredFile result) {
    transit.partial.reset();
    const std::lock_guard lock(mutex_);
    transit.result = std::move(result);
    --unfinished_;
    wake_.notify_all();
  }

  /// Finishes with a file that is there already.
  bool is_there(Transit& transit) {
    const RemoteFile& file = transit.file;
    if (file.sha256.empty() || !file.size || !store_.has(file.sha256, *file.size)) return false;
    done_ += *file.size;
    finish(transit, {file.path, *file.size, file.sha256, file.git_oid});
    return true;
  }

  void begin(HttpClient& client, Transit& transit, size_t index) {
    if (is_there(transit)) return;
    const RemoteFile& file = transit.file;
    const std::string key = !file.sha256.empty()
                                ? file.sha256
                                : sha256_of(file.git_oid.empty() ? file.url : file.git_oid);
    transit.partial = PartialFile::open(store_.blobs() / (key + ".partial"));
    if (!transit.partial) {  // another process fetches it: see later whether it is there
      wait_for(std::chrono::milliseconds(100), http_);
      return push({{index, std::nullopt}});
    }
    if (is_there(transit)) return;
    const bool ranges = probe(client, transit);
    const std::string identity =
        !file.sha256.empty() ? file.sha256 : fmt::format("{} {}", file.git_oid, transit.etag);
    transit.partial->start(transit.size, identity, ranges ? options_.part_bytes : transit.size);
    done_ += transit.partial->done();
    fetch_missing_parts(transit, index);
  }

  /// Asks for a file's first byte where its size or how it may be fetched is not known. Whether it
  /// can be fetched in parts.
  bool probe(HttpClient& client, Transit& transit) {
    const RemoteFile& file = transit.file;
    transit.size = file.size.value_or(0);
    if (file.size && *file.size <= options_.part_bytes) return true;
    bool ranges = false;
    auto on_head = [&](const Reply& reply) {
      check_reply(reply, file);
      const std::optional<ContentRange> range = content_range(reply);
      ranges = reply.status == 206 && range.has_value();
      const std::optional<uint64_t> size =
          ranges ? std::optional(range->size) : content_length(reply);
      require(size.has_value(), "{}: the server does not say how large it is",
              public_url(file.url));
      require(!file.size || *file.size == *size, "{}: has {} bytes; the list of files says {}",
              public_url(file.url), *size, file.size.value_or(0));
      transit.size = *size;
      if (file.sha256.empty()) transit.etag = strong_tag(reply.header("etag"));
      if (!ranges) throw EndOfProbe();
    };
    auto attempt = [&] {
      try {
        client.get({file.url, access_.secrets(), std::pair<uint64_t, uint64_t>{0, 1}}, on_head,
                   [](std::span<const std::byte>) {});
      } catch (const EndOfProbe&) {  // its body would be the whole file
      }
    };
    with_retries(
        http_, [] { return uint64_t{0}; }, attempt);
    if (!file.size) total_ += transit.size;
    return ranges;
  }

  void fetch_missing_parts(Transit& transit, size_t index) {
    std::vector<Task> tasks;
    const std::vector<PartialFile::Part> parts = transit.partial->parts();
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!parts[i].complete()) tasks.push_back({index, i});
    }
    if (tasks.empty()) return check_and_commit(transit, index);
    transit.parts_left = tasks.size();
    push(tasks);
  }

  void fetch_part(HttpClient& client, Transit& transit, size_t part, size_t index) {
    uint64_t furthest = 0;
    auto progress = [&] { return furthest = std::max(furthest, transit.partial->part(part).done); };
    with_retries(http_, progress, [&] { try_part(client, transit, part); });
    if (--transit.parts_left == 0) check_and_commit(transit, index);
  }

  void try_part(HttpClient& client, Transit& transit, size_t index) {
    PartialFile& partial = *transit.partial;
    const PartialFile::Part part = partial.part(index);
    if (part.complete()) return;
    Request request{transit.file.url, access_.secrets(), std::nullopt};
    const uint64_t begin = part.begin + part.done;
    const bool ranged = begin > 0 || part.end < transit.size;
    if (ranged) request.range = {begin, part.end};
    auto on_head = [&](const Reply& reply) {
      check_reply(reply, transit.file);
      if (!ranged || reply.status == 206) return check_head(reply, transit, begin);
      // It sends all of the file. That is of use where the file is one part.
      if (part.end - part.begin < transit.size) {
        throw PassingError(fmt::format("{}: the server sent the whole file instead of a part",
                                       public_url(reply.url)));
      }
      check_head(reply, transit, 0);
      done_ -= part.done;
      partial.restart(index);
    };
    auto on_body = [&](std::span<const std::byte> bytes) {
      const PartialFile::Part now = partial.part(index);
      require(bytes.size() <= now.end - now.begin - now.done,
              "{}: the server sends more than the {} bytes that it should",
              public_url(transit.file.url), now.end - now.begin);
      partial.write(index, bytes);
      done_ += bytes.size();
      fetched_ += bytes.size();
    };
    client.get(request, on_head, on_body);
    if (!partial.part(index).complete()) {
      throw PassingError(fmt::format("{}: ended too early", public_url(transit.file.url)));
    }
  }

  void check_reply(const Reply& reply, const RemoteFile& file) const {
    check_allowed(reply, access_, file.path);
    if (access_.source == Source::hugging_face) check_linked(reply, file);
  }

  /// Whether the bytes to come are those that were asked for.
  void check_head(const Reply& reply, const Transit& transit, uint64_t begin) const {
    const std::string url = public_url(reply.url);
    if (reply.status == 206) {
      const std::optional<ContentRange> range = content_range(reply);
      require(range && range->begin == begin && range->size == transit.size,
              "{}: Content-Range is {}; expected bytes from {} of {}", url,
              quote(reply.header("content-range").value_or("")), begin, transit.size);
    } else {
      const uint64_t size = content_length(reply).value_or(transit.size);
      require(size == transit.size, "{}: has {} bytes; the list of files says {}", url, size,
              transit.size);
    }
    const std::string tag = strong_tag(reply.header("etag"));
    require(transit.etag.empty() || tag.empty() || tag == transit.etag,
            "{}: the file changed while it was fetched; pull again", url);
  }

  void check_and_commit(Transit& transit, size_t index) {
    const RemoteFile& file = transit.file;
    PartialFile& partial = *transit.partial;
    const FileDigests digests = digests_of(partial.path(), http_.stop);
    const bool right = (file.sha256.empty() || digests.sha256 == file.sha256) &&
                       (file.git_oid.empty() || digests.git == file.git_oid);
    if (!right && partial.resumed()) {  // what an earlier process left may be at fault
      done_ -= partial.done();
      partial.start_anew();
      return fetch_missing_parts(transit, index);
    }
    if (!right) {
      partial.discard();
      fail("{}: its bytes are not those that were promised: {} {}, not {}; they were thrown away",
           public_url(file.url), file.sha256.empty() ? "Git's digest is" : "SHA-256 is",
           file.sha256.empty() ? digests.git : digests.sha256,
           file.sha256.empty() ? file.git_oid : file.sha256);
    }
    partial.commit(store_.blob(digests.sha256));
    finish(transit, {file.path, transit.size, digests.sha256, file.git_oid});
  }

  struct EndOfProbe {};

  const Store& store_;
  const Access& access_;
  const DownloadOptions& options_;
  HttpOptions http_;
  std::deque<Transit> transits_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  size_t unfinished_ = 0;
  std::exception_ptr error_;
  std::atomic<bool> failed_ = false;
  std::atomic<uint64_t> done_ = 0, total_ = 0, fetched_ = 0;
};

}  // namespace

Downloaded download(const Store& store, const Access& access, std::span<const RemoteFile> files,
                    const DownloadOptions& options) {
  const uint64_t missing = missing_bytes(store, files);
  const uint64_t available = fs::space(store.blobs()).available;
  require(missing <= available,
          "{}: {:.1f} GB are to come and {:.1f} GB are free; free some, or let MILLRACE_HOME be on "
          "another disk",
          store.home().string(), static_cast<double>(missing) / 1e9,
          static_cast<double>(available) / 1e9);
  return Download(store, access, files, options).run();
}

}  // namespace millrace::hub
