#include "millrace/hub/listing.h"

#include <set>

#include "millrace/hub/url.h"

namespace millrace::hub {

JsonReply get_json(HttpClient& client, const Access& access, const std::string& url,
                   const std::string& what) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  std::string text;
  Reply reply;
  with_retries(
      client.options(), [] { return uint64_t{0}; },
      [&] {
        text.clear();
        reply = client.get(
            {url, access.secrets(), {}},
            [&](const Reply& head) { check_allowed(head, access, what); },
            [&](std::span<const std::byte> bytes) {
              require(text.size() + bytes.size() <= kMaxBytes,
                      "{}: the list at {} has more than {} bytes", what, public_url(url),
                      kMaxBytes);
              text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            });
      });
  return {parse_json(text, public_url(url)), std::move(reply)};
}

void check_paths(const std::vector<RemoteFile>& files, const std::string& what) {
  constexpr size_t kMaxFiles = 100'000;
  require(files.size() <= kMaxFiles, "{}: has more than {} files", what, kMaxFiles);
  std::set<std::string_view> paths;
  for (const RemoteFile& file : files) {
    require(paths.insert(file.path).second, "{}: two files have the path {}", what,
            quote(file.path));
  }
  for (std::string_view path : paths) {
    for (size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
      require(!paths.contains(path.substr(0, slash)), "{}: {} is a file and a folder", what,
              quote(path.substr(0, slash)));
    }
  }
}

}  // namespace millrace::hub
