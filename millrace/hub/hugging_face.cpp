// Hugging Face's API, as its own client and its mirrors speak it.
#include <algorithm>

#include "millrace/hub/listing.h"
#include "millrace/hub/safe_path.h"
#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

std::string commit_of(HttpClient& client, const Access& access, const Reference& reference,
                      const std::string& what) {
  const std::string revision = reference.revision.empty() ? "main" : reference.revision;
  const std::string url = fmt::format("{}/api/models/{}/revision/{}", access.endpoint,
                                      reference.place, escaped(revision));
  const std::string commit =
      json_field<std::string>(get_json(client, access, url, what).json, "sha", public_url(url));
  const bool is_digest = commit.size() >= 40 && commit.size() <= 64 &&
                         commit.find_first_not_of("0123456789abcdef") == std::string::npos;
  require(is_digest, "{}: field 'sha': {} is no commit", public_url(url), quote(commit));
  return commit;
}

RemoteFile file_of(const Json& entry, const std::string& source) {
  RemoteFile file;
  file.path = checked_path(json_field<std::string>(entry, "path", source), source);
  file.size = json_field<uint64_t>(entry, "size", source);
  auto large = entry.find("lfs");
  if (large != entry.end() && large->is_object()) {
    file.sha256 = checked_sha256(json_field<std::string>(*large, "oid", source), source);
    file.size = json_field<uint64_t>(*large, "size", source);
  } else {
    file.git_oid = optional_json_field<std::string>(entry, "oid", source).value_or("");
    if (file.git_oid.size() != 40) file.git_oid.clear();  // of a repository with longer names
  }
  return file;
}

/// The URL of rel="next" in a Link header, at the endpoint: a mirror may repeat its original's
/// links. Empty: this was the last page.
std::string next_page(const Reply& reply, const Access& access) {
  const std::string link = reply.header("link").value_or("");
  for (size_t begin = link.find('<'); begin != std::string::npos; begin = link.find('<', begin)) {
    const size_t end = link.find('>', begin);
    if (end == std::string::npos) break;
    const size_t comma = std::min(link.find(',', end), link.size());
    if (link.substr(end, comma - end).find("rel=\"next\"") != std::string::npos) {
      const std::string url = resolved_url(reply.url, link.substr(begin + 1, end - begin - 1));
      const std::string path = path_and_query(url);
      const size_t api = path.find("/api/models/");
      require(api != std::string::npos, "{}: its next page is {}, which is no list of files",
              public_url(reply.url), quote(public_url(url)));
      return access.endpoint + path.substr(api);
    }
    begin = comma;
  }
  return "";
}

}  // namespace

Listing list_hugging_face(HttpClient& client, const Access& access, const Reference& reference) {
  constexpr int kMaxPages = 1000;
  const std::string what = reference.name();
  Listing result;
  result.commit = commit_of(client, access, reference, what);
  std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true", access.endpoint,
                                reference.place, result.commit);
  for (int pages = 0; !url.empty(); ++pages) {
    require(pages < kMaxPages, "{}: its list of files has more than {} pages", what, kMaxPages);
    const JsonReply page = get_json(client, access, url, what);
    const std::string source = public_url(url);
    require(page.json.is_array(), "{}: must be a list of files", source);
    for (const Json& entry : page.json) {
      if (json_field<std::string>(entry, "type", source) != "file") continue;
      RemoteFile file = file_of(entry, source);
      file.url = fmt::format("{}/{}/resolve/{}/{}", access.endpoint, reference.place, result.commit,
                             escaped(file.path, true));
      result.files.push_back(std::move(file));
    }
    url = next_page(page.reply, access);
  }
  check_paths(result.files, what);
  return result;
}

}  // namespace millrace::hub
