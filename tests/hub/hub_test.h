// What the tests of pulls share: a server, a store, and a pull that does not wait long.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/hub/pull.h"
#include "tests/hub/hub_server.h"
#include "tests/scratch.h"

namespace millrace {

/// Bytes that no compression or luck makes equal to others.
inline std::string random_bytes(size_t size, uint64_t seed) {
  Random random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.bits());
  return bytes;
}

class HubTest : public testing::Test {
 protected:
  HubTest() {
    options_.part_bytes = 64 << 10;
    options_.http.first_wait = std::chrono::milliseconds(1);
    options_.http.tries = 3;
    options_.http.connect_timeout = std::chrono::milliseconds(2000);
    environment_["MILLRACE_HF_ENDPOINT"] = server_.url();
    environment_["MILLRACE_MS_ENDPOINT"] = server_.url() + "/";
  }

  hub::Environment environment() const {
    return [this](const char* name) {
      auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    };
  }

  hub::Pulled pull(const std::string& source, const std::string& revision = "") {
    hub::PullRequest request = request_;
    request.reference = hub::parse_reference(source, revision);
    return hub::pull(store_, request, environment(), options_);
  }

  /// The message of the Error that a pull ends with.
  std::string failure(const std::string& source, const std::string& revision = "") {
    try {
      pull(source, revision);
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  }

  std::string read(const hub::Pulled& pulled, const std::string& path) {
    return read_file(pulled.model.folder / path);
  }

  /// Names of files in blobs/ that end so.
  std::vector<std::string> blobs(std::string_view ending = "") const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(store_.blobs())) {
      const std::string name = entry.path().filename().string();
      if (ending.empty() ? name.find('.') == std::string::npos : name.ends_with(ending)) {
        names.push_back(name);
      }
    }
    return names;
  }

  void expect_message(const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << part << "\nis not in: " << message;
    }
  }

  ScratchFolder scratch_;
  HubServer server_;
  hub::Store store_{scratch_ / "home"};
  std::map<std::string, std::string> environment_;
  hub::PullRequest request_;
  hub::DownloadOptions options_;
};

}  // namespace millrace
