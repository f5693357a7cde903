// The files of a model on a hub: what there is, how large, with which digests, and where.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/hub/access.h"
#include "millrace/hub/http.h"

namespace millrace::hub {

struct RemoteFile {
  std::string path;  ///< checked_path
  std::optional<uint64_t> size;
  std::string sha256;   ///< empty: not known
  std::string git_oid;  ///< the SHA-1 that Git has for it; empty: not known
  std::string url;
};

struct Listing {
  std::string commit;  ///< what the revision stands for now; empty where the hub does not say
  std::vector<RemoteFile> files;
};

/// Asks Hugging Face's API: /api/models/ID/revision/REV, then the pages of
/// /api/models/ID/tree/COMMIT. Everything of a model thus comes from one commit.
Listing list_hugging_face(HttpClient& client, const Access& access, const Reference& reference);

/// Asks ModelScope's API: /api/v1/models/ID/repo/files.
Listing list_model_scope(HttpClient& client, const Access& access, const Reference& reference);

/// GETs a JSON document of a hub, with retries. Throws Error for one of more than 64 MiB.
struct JsonReply {
  Json json;
  Reply reply;
};
JsonReply get_json(HttpClient& client, const Access& access, const std::string& url,
                   const std::string& what);

/// Throws Error when two files have one path, one's path is another's folder, or there are more
/// than any model has.
void check_paths(const std::vector<RemoteFile>& files, const std::string& what);

}  // namespace millrace::hub
