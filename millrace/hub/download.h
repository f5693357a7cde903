// Files of a hub into the store's blobs: in parallel ranges, resumed, checked.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "millrace/hub/listing.h"
#include "millrace/hub/store.h"

namespace millrace::hub {

struct DownloadOptions {
  HttpOptions http;
  int connections = 4;                       ///< at once
  uint64_t part_bytes = uint64_t{64} << 20;  ///< of a range that one connection fetches
  /// Called now and then from the calling thread; `total` grows where a size was not known.
  std::function<void(uint64_t done, uint64_t total)> on_progress;
};

struct Downloaded {
  std::vector<StoredFile> files;  ///< in the order of those asked for
  uint64_t fetched_bytes = 0;     ///< the others were there already
};

/// Brings files into the store. Each is checked: its size, its SHA-256 or Git's digest where the
/// hub gives one, and that all parts of it are of the same contents. Connections that break are
/// made anew; what is there when this throws stays for the next call. Throws Error for a refusal, a
/// server that sends other bytes than it promised, a full disk; Stopped.
Downloaded download(const Store& store, const Access& access, std::span<const RemoteFile> files,
                    const DownloadOptions& options);

}  // namespace millrace::hub
