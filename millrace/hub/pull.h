// millrace pull: a model from a hub, a URL, a folder or an archive into the store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/hub/download.h"
#include "millrace/hub/import.h"
#include "millrace/hub/reference.h"

namespace millrace::hub {

struct PullRequest {
  Reference reference;
  std::vector<std::string> include, exclude;  ///< Patterns
  std::string name;                           ///< to call it; empty: Reference::name
  std::string sha256;  ///< that a URL's or a path's single file must have; empty: any
};

struct Pulled {
  StoredModel model;
  uint64_t fetched_bytes = 0;  ///< that came over the network
};

/// Brings a model into the store, or the newest state of one that is there; what did not change is
/// not fetched again. Throws Error, which leaves the model as it was.
Pulled pull(const Store& store, const PullRequest& request, const Environment& environment,
            const DownloadOptions& options);

}  // namespace millrace::hub
