// A hub to test against: speaks Hugging Face's and ModelScope's APIs as far as a pull uses them,
// over plain sockets, so that it can also break every rule.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace millrace {

using HubHeaders = std::vector<std::pair<std::string, std::string>>;

struct HubRequest {
  std::string target;  ///< as it was sent
  std::string path;    ///< without the query, escapes taken out
  std::map<std::string, std::string> query;
  std::map<std::string, std::string> headers;  ///< names in small letters
  std::string header(const std::string& name) const;
};

struct HubAnswer {
  int status = 200;
  HubHeaders headers;
  std::string body;
  std::optional<size_t> cut_after;  ///< the connection breaks after so many bytes of the body
  bool endless = false;             ///< the body, without a length, again and again
};

class HubServer {
 public:
  HubServer();
  ~HubServer();
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  std::string url() const;

  /// A file of a model, "owner/name". Large ones have a SHA-256 in lists and are redirected to the
  /// `cdn`; small ones have Git's digest.
  void add(const std::string& model, const std::string& path, const std::string& contents,
           bool large = true);
  /// What a revision stands for; main and master are there from the start.
  void add_revision(const std::string& revision);
  static std::string commit();

  /// Where redirects of large files lead: another server, or (empty) this one.
  std::string cdn;
  size_t page_size = 1000;  ///< of lists of files
  bool ranges = true;       ///< or always the whole file
  std::string token;        ///< that is asked for; empty: none
  bool gated = false;       ///< 403 with X-Error-Code: GatedRepo

  /// May answer in place of the server; called on its threads.
  std::function<std::optional<HubAnswer>(const HubRequest&)> intercept;

  /// What came so far.
  std::vector<HubRequest> requests() const;
  /// How many requests had paths that hold this.
  int count(const std::string& part) const;
  /// Bytes of files that were sent.
  uint64_t file_bytes() const { return file_bytes_; }
  /// The most answers at once.
  int most_at_once() const { return most_at_once_; }

 private:
  struct File {
    std::string contents;
    bool large;
  };

  void accept_all();
  void talk(int socket);
  bool send_answer(int socket, const HubAnswer& answer);
  HubAnswer answer(const HubRequest& request);
  HubAnswer hugging_face_api(const HubRequest& request);
  HubAnswer model_scope_api(const HubRequest& request);
  HubAnswer file(const HubRequest& request, const std::string& model, const std::string& path);
  HubAnswer bytes(const HubRequest& request, const std::string& contents, const std::string& tag);

  std::map<std::string, std::map<std::string, File>> models_;
  std::map<std::string, std::string> by_digest_;
  std::set<std::string> revisions_ = {"main", "master", commit()};

  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<HubRequest> requests_;
  std::set<int> sockets_;
  std::vector<std::thread> talks_;
  std::atomic<uint64_t> file_bytes_ = 0;
  std::atomic<int> at_once_ = 0, most_at_once_ = 0;
  std::thread accepting_;
};

}  // namespace millrace
