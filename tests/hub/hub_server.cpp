#include "tests/hub/hub_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "millrace/base/json.h"
#include "millrace/hub/digest.h"

namespace millrace {
namespace {

std::string unescaped(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      result +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string git_digest(const std::string& contents) {
  hub::Digest digest(hub::Digest::Kind::sha1);
  digest.add(fmt::format("blob {}", contents.size()));
  digest.add(std::string_view("\0", 1));
  digest.add(contents);
  return digest.hex();
}

HubAnswer json_answer(const Json& json) {
  return {200, {{"Content-Type", "application/json"}}, to_json_text(json), {}, false};
}

HubRequest parse_request(const std::string& head) {
  HubRequest request;
  const size_t begin = head.find(' ') + 1;
  request.target = head.substr(begin, head.find(' ', begin) - begin);
  std::string target = request.target;
  if (target.starts_with("http://")) target = target.substr(target.find('/', 7));  // to a proxy
  const size_t mark = target.find('?');
  request.path = unescaped(target.substr(0, mark));
  for (size_t at = mark; at != std::string::npos;) {
    const size_t end = target.find('&', at + 1);
    const std::string pair = target.substr(at + 1, end - at - 1);
    const size_t equals = pair.find('=');
    request.query[pair.substr(0, equals)] = unescaped(pair.substr(equals + 1));
    at = end;
  }
  for (size_t line = head.find("\r\n"); line != std::string::npos;) {
    const size_t end = head.find("\r\n", line + 2);
    const std::string field = head.substr(line + 2, end - line - 2);
    const size_t colon = field.find(": ");
    if (colon != std::string::npos) {
      std::string name = field.substr(0, colon);
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      request.headers[name] = field.substr(colon + 2);
    }
    line = end;
  }
  return request;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

}  // namespace

std::string HubRequest::header(const std::string& name) const {
  auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

HubServer::HubServer() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
  ::listen(listener_, 64);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { accept_all(); });
}

HubServer::~HubServer() {
  ::shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& talk : talks_) talk.join();
}

std::string HubServer::url() const {
  return fmt::format("http://127.0.0.1:{}", port_);
}

std::string HubServer::commit() {
  return std::string(40, 'c');
}

void HubServer::add(const std::string& model, const std::string& path, const std::string& contents,
                    bool large) {
  models_[model][path] = {contents, large};
  by_digest_[hub::sha256_of(contents)] = contents;
}

void HubServer::add_revision(const std::string& revision) {
  revisions_.insert(revision);
}

std::vector<HubRequest> HubServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

int HubServer::count(const std::string& part) const {
  int found = 0;
  for (const HubRequest& request : requests())
    found += request.path.find(part) != std::string::npos;
  return found;
}

void HubServer::accept_all() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    sockets_.insert(socket);
    talks_.emplace_back([this, socket] { talk(socket); });
  }
}

void HubServer::talk(int socket) {
  std::string received;
  for (bool open = true; open;) {
    char buffer[4096];
    size_t end;
    while ((end = received.find("\r\n\r\n")) == std::string::npos) {
      const ssize_t size = ::recv(socket, buffer, sizeof buffer, 0);
      if (size <= 0) break;
      received.append(buffer, static_cast<size_t>(size));
    }
    if (end == std::string::npos) break;
    const HubRequest request = parse_request(received.substr(0, end));
    received.erase(0, end + 4);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const int now = ++at_once_;
    for (int most = most_at_once_; now > most && !most_at_once_.compare_exchange_weak(most, now);) {
    }
    std::optional<HubAnswer> other = intercept ? intercept(request) : std::nullopt;
    open = send_answer(socket, other ? *other : answer(request));
    --at_once_;
  }
  const std::lock_guard lock(mutex_);
  sockets_.erase(socket);
  ::close(socket);
}

bool HubServer::send_answer(int socket, const HubAnswer& answer) {
  std::string head = fmt::format("HTTP/1.1 {} Answer\r\n", answer.status);
  for (const auto& [name, value] : answer.headers) head += fmt::format("{}: {}\r\n", name, value);
  const bool has_length = std::ranges::any_of(
      answer.headers, [](const auto& header) { return header.first == "Content-Length"; });
  if (!answer.endless && !has_length) {
    head += fmt::format("Content-Length: {}\r\n", answer.body.size());
  }
  if (!send_all(socket, head + "\r\n")) return false;
  while (answer.endless) {
    if (!send_all(socket, answer.body)) return false;
  }
  const std::string_view body = answer.body;
  if (!answer.cut_after) return send_all(socket, body);
  send_all(socket, body.substr(0, *answer.cut_after));
  ::shutdown(socket, SHUT_RDWR);
  return false;
}

HubAnswer HubServer::answer(const HubRequest& request) {
  const std::string& path = request.path;
  if (path.starts_with("/cdn/")) {
    auto found = by_digest_.find(path.substr(5));
    if (found == by_digest_.end()) return {404, {}, "", {}, false};
    return bytes(request, found->second, found->first);
  }
  if (!token.empty() && request.header("authorization") != "Bearer " + token) {
    return {401, {{"X-Error-Code", "RepoNotFound"}}, "", {}, false};
  }
  if (gated) return {403, {{"X-Error-Code", "GatedRepo"}}, "", {}, false};
  if (path.starts_with("/api/models/")) return hugging_face_api(request);
  if (path.starts_with("/api/v1/models/")) return model_scope_api(request);
  const size_t resolve = path.find("/resolve/");
  if (resolve == std::string::npos) return {404, {}, "", {}, false};
  const size_t revision = resolve + 9;
  const size_t slash = path.find('/', revision);
  if (!revisions_.contains(path.substr(revision, slash - revision))) {
    return {404, {{"X-Error-Code", "RevisionNotFound"}}, "", {}, false};
  }
  return file(request, path.substr(1, resolve - 1), path.substr(slash + 1));
}

/// /api/models/ID/revision/REV and /api/models/ID/tree/REV
HubAnswer HubServer::hugging_face_api(const HubRequest& request) {
  const std::string rest = request.path.substr(std::string("/api/models/").size());
  const size_t verb = std::min(rest.find("/revision/"), rest.find("/tree/"));
  if (verb == std::string::npos || !models_.contains(rest.substr(0, verb))) {
    return {404, {{"X-Error-Code", "RepoNotFound"}}, "", {}, false};
  }
  const std::string revision = rest.substr(rest.find('/', verb + 1) + 1);
  if (!revisions_.contains(revision)) {
    return {404, {{"X-Error-Code", "RevisionNotFound"}}, "", {}, false};
  }
  const std::string model = rest.substr(0, verb);
  if (rest[verb + 1] == 'r') return json_answer({{"id", model}, {"sha", commit()}});

  Json entries = Json::array();
  for (const auto& [path, one] : models_[model]) {
    Json entry = {{"type", "file"},
                  {"oid", git_digest(one.contents)},
                  {"size", one.contents.size()},
                  {"path", path}};
    if (one.large) {
      entry["lfs"] = {{"oid", hub::sha256_of(one.contents)},
                      {"size", one.contents.size()},
                      {"pointerSize", 130}};
    }
    entries.push_back(entry);
    if (path.find('/') != std::string::npos) {
      entries.push_back({{"type", "directory"}, {"oid", "d"}, {"size", 0}, {"path", "d"}});
    }
  }
  auto cursor = request.query.find("cursor");
  const size_t begin = cursor == request.query.end() ? 0 : std::stoul(cursor->second);
  Json page = Json::array();
  for (size_t i = begin; i < std::min(begin + page_size, entries.size()); ++i) {
    page.push_back(entries[i]);
  }
  HubAnswer answer = json_answer(page);
  if (begin + page_size < entries.size()) {
    // As a mirror repeats it: with the original's host.
    answer.headers.emplace_back(
        "Link", fmt::format("<https://hub.invalid{}?recursive=true&cursor={}>; rel=\"next\"",
                            request.path, begin + page_size));
  }
  return answer;
}

/// /api/v1/models/ID/repo/files and /api/v1/models/ID/repo
HubAnswer HubServer::model_scope_api(const HubRequest& request) {
  const std::string rest = request.path.substr(std::string("/api/v1/models/").size());
  const std::string model = rest.substr(0, rest.find("/repo"));
  auto revision = request.query.find("Revision");
  if (!models_.contains(model) || revision == request.query.end() ||
      !revisions_.contains(revision->second)) {
    HubAnswer answer = json_answer(
        {{"Code", 10010205001}, {"Message", "model or revision not found"}, {"Success", false}});
    answer.status = models_.contains(model) ? 200 : 404;
    return answer;
  }
  if (!rest.ends_with("/repo/files")) return file(request, model, request.query.at("FilePath"));
  Json files = Json::array();
  for (const auto& [path, one] : models_[model]) {
    files.push_back({{"Name", path.substr(path.rfind('/') + 1)},
                     {"Path", path},
                     {"Type", "blob"},
                     {"Size", one.contents.size()},
                     {"IsLFS", one.large},
                     {"Sha256", hub::sha256_of(one.contents)},
                     {"Revision", commit()}});
  }
  files.push_back({{"Name", "d"}, {"Path", "d"}, {"Type", "tree"}, {"Size", 0}});
  return json_answer({{"Code", 200}, {"Data", {{"Files", files}}}, {"Success", true}});
}

HubAnswer HubServer::file(const HubRequest& request, const std::string& model,
                          const std::string& path) {
  auto found = models_.find(model);
  if (found == models_.end() || !found->second.contains(path)) {
    return {404, {{"X-Error-Code", "EntryNotFound"}}, "", {}, false};
  }
  const File& one = found->second.at(path);
  if (!one.large) return bytes(request, one.contents, git_digest(one.contents));
  const std::string digest = hub::sha256_of(one.contents);
  return {302,
          {{"Location", (cdn.empty() ? "" : cdn) + "/cdn/" + digest + "?signature=secret"},
           {"X-Repo-Commit", commit()},
           {"X-Linked-Size", std::to_string(one.contents.size())},
           {"X-Linked-ETag", "\"" + digest + "\""}},
          "Found. Redirecting",
          {},
          false};
}

HubAnswer HubServer::bytes(const HubRequest& request, const std::string& contents,
                           const std::string& tag) {
  HubAnswer answer{200, {{"ETag", "\"" + tag + "\""}}, contents, {}, false};
  const std::string range = request.header("range");
  if (ranges && !range.empty()) {
    const size_t begin = std::stoul(range.substr(6));
    const size_t end = std::min(std::stoul(range.substr(range.find('-') + 1)) + 1, contents.size());
    if (begin >= contents.size()) return {416, {}, "", {}, false};
    answer.status = 206;
    answer.headers.emplace_back("Content-Range",
                                fmt::format("bytes {}-{}/{}", begin, end - 1, contents.size()));
    answer.body = contents.substr(begin, end - begin);
  }
  file_bytes_ += answer.body.size();
  return answer;
}

}  // namespace millrace
