// ModelScope's API, as its own client speaks it.
#include "millrace/hub/listing.h"
#include "millrace/hub/safe_path.h"
#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

/// The list of files in an answer. ModelScope also says what is wrong in answers of status 200.
const Json& files_in(const Json& json, const std::string& what, const std::string& source) {
  const auto code = optional_json_field<int64_t>(json, "Code", source).value_or(200);
  const auto message = optional_json_field<std::string>(json, "Message", source).value_or("");
  require(code == 200, "{}: {} (code {}): check the name and the revision", what, quote(message),
          code);
  auto data = json.find("Data");
  require(data != json.end() && data->is_object(), "{}: field 'Data' must be an object", source);
  auto files = data->find("Files");
  require(files != data->end() && files->is_array(), "{}: field 'Data.Files' must be a list",
          source);
  return *files;
}

}  // namespace

Listing list_model_scope(HttpClient& client, const Access& access, const Reference& reference) {
  const std::string what = reference.name();
  const std::string revision = reference.revision.empty() ? "master" : reference.revision;
  const std::string api = fmt::format("{}/api/v1/models/{}/repo", access.endpoint, reference.place);
  const std::string source = api + "/files";
  const JsonReply page =
      get_json(client, access,
               fmt::format("{}?Revision={}&Recursive=true", source, escaped(revision)), what);
  Listing result;
  for (const Json& entry : files_in(page.json, what, source)) {
    if (json_field<std::string>(entry, "Type", source) != "blob") continue;
    RemoteFile file;
    file.path = checked_path(json_field<std::string>(entry, "Path", source), source);
    file.size = json_field<uint64_t>(entry, "Size", source);
    const auto digest = optional_json_field<std::string>(entry, "Sha256", source).value_or("");
    if (!digest.empty()) file.sha256 = checked_sha256(digest, source);
    file.url =
        fmt::format("{}?Revision={}&FilePath={}", api, escaped(revision), escaped(file.path));
    result.files.push_back(std::move(file));
  }
  check_paths(result.files, what);
  return result;
}

}  // namespace millrace::hub
