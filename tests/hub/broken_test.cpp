// Pulls that are broken off, refused or lied to: what came stays for the next one, nothing wrong is
// ever kept, and the message says what to do.
#include <sys/stat.h>

#include "millrace/hub/digest.h"
#include "tests/hub/hub_test.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class BrokenPull : public HubTest {
 protected:
  BrokenPull() { server_.add("lab/big", "model.safetensors", weights_); }

  /// Answers of the file's bytes break after `bytes`, at most `times`.
  void cut(size_t bytes, int times) {
    left_ = times;
    server_.intercept = [this, bytes](const HubRequest& request) -> std::optional<HubAnswer> {
      if (!request.path.starts_with("/cdn/") || --left_ < 0) return std::nullopt;
      const std::string range = request.header("range");
      const size_t begin = range.empty() ? 0 : std::stoul(range.substr(6));
      const size_t end =
          range.empty() ? weights_.size() : std::stoul(range.substr(range.find('-') + 1)) + 1;
      HubAnswer answer{
          range.empty() ? 200 : 206, {}, weights_.substr(begin, end - begin), bytes, false};
      if (!range.empty()) {
        answer.headers.emplace_back("Content-Range",
                                    fmt::format("bytes {}-{}/{}", begin, end - 1, weights_.size()));
      }
      return answer;
    };
  }

  /// Every answer of the file's bytes is this.
  void answer_with(HubAnswer answer) {
    server_.intercept = [answer](const HubRequest& request) -> std::optional<HubAnswer> {
      if (!request.path.starts_with("/cdn/")) return std::nullopt;
      return answer;
    };
  }

  const std::string weights_ = random_bytes(300'000, 2);
  std::atomic<int> left_ = 0;
};

TEST_F(BrokenPull, AConnectionThatBreaksGoesOnWhereItWas) {
  options_.part_bytes = 1 << 20;
  cut(100'000, 2);
  const hub::Pulled pulled = pull("hf:lab/big");
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_EQ(pulled.fetched_bytes, weights_.size());
  std::vector<std::string> ranges;
  for (const HubRequest& request : server_.requests()) {
    if (request.path.starts_with("/cdn/")) ranges.push_back(request.header("range"));
  }
  EXPECT_EQ(ranges, (std::vector<std::string>{"", "bytes=100000-299999", "bytes=200000-299999"}));
}

TEST_F(BrokenPull, TheNextPullGoesOnWhereTheLastOneWas) {
  cut(10'000, 1000);
  options_.http.tries = 1;
  expect_message(failure("hf:lab/big"), {"127.0.0.1", "tried 1 times"});
  EXPECT_TRUE(store_.list().empty());
  ASSERT_EQ(blobs(".partial").size(), 1u);
  EXPECT_EQ(blobs(".parts").size(), 1u);
  server_.intercept = nullptr;
  const hub::Pulled pulled = pull("hf:lab/big");
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_LE(pulled.fetched_bytes, weights_.size() - 10'000);
  EXPECT_EQ(blobs(".partial").size() + blobs(".parts").size(), 0u);
}

TEST_F(BrokenPull, WhatIsAskedToStopKeepsWhatCame) {
  std::atomic<bool> stop = false;
  options_.http.stop = [&] { return stop.load(); };
  options_.connections = 1;
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.header("range") == "bytes=131072-196607") stop = true;
    return std::nullopt;
  };
  expect_message(failure("hf:lab/big"), {"stopped"});
  stop = false;
  server_.intercept = nullptr;
  EXPECT_LE(pull("hf:lab/big").fetched_bytes, weights_.size() - 131'072);
}

TEST_F(BrokenPull, ADamagedPartialFileIsBegunAnew) {
  const fs::path partial = store_.blobs() / (hub::sha256_of(weights_) + ".partial");
  const fs::path journal = fs::path(partial).replace_extension(".parts");
  const std::string good =
      fmt::format(R"({{"identity": "{}", "size": 300000, "part_bytes": 300000, "done": [200000]}})",
                  hub::sha256_of(weights_));
  for (const std::string& text :
       {good, std::string("{"), std::string("[]"), std::string(""),
        std::string(R"({"identity": "x", "size": 300000, "part_bytes": 0, "done": []})"),
        fmt::format(R"({{"identity": "{}", "size": 300000, "part_bytes": 300000, "done": [-1]}})",
                    hub::sha256_of(weights_)),
        fmt::format(
            R"({{"identity": "{}", "size": 300000, "part_bytes": 300000, "done": [300001]}})",
            hub::sha256_of(weights_))}) {
    write_file(partial, std::string(300'000, 'x'));  // the journal says that these are right
    write_file(journal, text);
    EXPECT_EQ(read(pull("hf:lab/big"), "model.safetensors"), weights_) << text;
    store_.remove("hf:lab/big");
  }
}

TEST_F(BrokenPull, WrongBytesAreThrownAway) {
  answer_with({200, {}, random_bytes(300'000, 3), {}, false});
  options_.part_bytes = 1 << 20;
  expect_message(failure("hf:lab/big"),
                 {"/lab/big/resolve/", hub::sha256_of(weights_), "thrown away"});
  EXPECT_EQ(blobs().size() + blobs(".partial").size(), 0u);
  server_.add("lab/big", "config.json", "{\"a\": 1}", false);
  server_.intercept = [](const HubRequest& request) -> std::optional<HubAnswer> {
    if (!request.path.ends_with("/config.json")) return std::nullopt;
    return HubAnswer{200, {}, "{\"a\": 2}", {}, false};
  };
  expect_message(failure("hf:lab/big"), {"config.json", "Git's digest"});
  expect_message(failure("ms:lab/big"), {"(no error)"});  // its own list has other paths
}

TEST_F(BrokenPull, AWrongSizeIsRefused) {
  options_.part_bytes = 1 << 20;
  answer_with({200, {}, weights_ + "more", {}, false});
  expect_message(failure("hf:lab/big"), {"300004 bytes", "300000"});
  answer_with({200, {}, weights_.substr(1), {}, false});
  expect_message(failure("hf:lab/big"), {"299999 bytes", "300000"});
  options_.part_bytes = 64 << 10;
  answer_with({206, {{"Content-Range", "bytes 0-0/300004"}}, "x", {}, false});
  expect_message(failure("hf:lab/big"), {"300004 bytes", "300000"});
  answer_with({206, {{"Content-Range", "bytes 0-0/300000"}}, "x", {}, false});  // to any range
  expect_message(failure("hf:lab/big"), {"Content-Range", "expected bytes from"});
}

TEST_F(BrokenPull, AnEndlessBodyEnds) {
  options_.part_bytes = 1 << 20;
  answer_with({200, {}, weights_, {}, true});
  expect_message(failure("hf:lab/big"), {"more than the 300000 bytes"});
  server_.intercept = [](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.path.find("/api/") == std::string::npos) return std::nullopt;
    return HubAnswer{200, {}, std::string(1 << 20, ' '), {}, true};
  };
  expect_message(failure("hf:lab/big"), {"has more than"});
}

TEST_F(BrokenPull, HeadersThatContradictTheListAreRefused) {
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.path.find("/resolve/") == std::string::npos) return std::nullopt;
    return HubAnswer{302,
                     {{"Location", "/cdn/" + hub::sha256_of(weights_)},
                      {"X-Linked-ETag", "\"" + std::string(64, 'a') + "\""}},
                     "",
                     {},
                     false};
  };
  expect_message(failure("hf:lab/big"), {"x-linked-etag", "pull again"});
}

TEST_F(BrokenPull, RedirectsThatLeadAstrayAreRefused) {
  auto redirect = [&](const std::string& target) {
    server_.intercept = [target](const HubRequest& request) -> std::optional<HubAnswer> {
      if (request.path.find("/resolve/") == std::string::npos) return std::nullopt;
      HubHeaders headers;
      if (!target.empty()) headers.emplace_back("Location", target);
      return HubAnswer{302, headers, "", {}, false};
    };
  };
  redirect("/lab/big/resolve/main/model.safetensors");
  expect_message(failure("hf:lab/big"), {"redirects more than 10 times"});
  redirect("file:///etc/passwd");
  expect_message(failure("hf:lab/big"), {"only https and http"});
  redirect("");
  expect_message(failure("hf:lab/big"), {"redirects to nowhere"});
  redirect("http://[broken");
  expect_message(failure("hf:lab/big"), {"no URL"});
}

TEST_F(BrokenPull, ABusyServerIsAskedAgain) {
  std::atomic<int> asked = 0;
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
    if (!request.path.starts_with("/api/") || ++asked > 2) return std::nullopt;
    return HubAnswer{asked == 1 ? 429 : 503, {{"Retry-After", "0"}}, "", {}, false};
  };
  EXPECT_EQ(read(pull("hf:lab/big"), "model.safetensors"), weights_);
  asked = 2;
  server_.intercept = [&](const HubRequest&) -> std::optional<HubAnswer> {
    return HubAnswer{429, {{"Retry-After", "4000"}}, "", {}, false};
  };
  expect_message(failure("hf:lab/big"), {"HTTP 429", "4000 s"});
  server_.intercept = [&](const HubRequest&) -> std::optional<HubAnswer> {
    return HubAnswer{500, {}, "", {}, false};
  };
  expect_message(failure("hf:lab/big"), {"HTTP 500", "tried 3 times"});
  options_.http.tries = 1;
  environment_["MILLRACE_HF_ENDPOINT"] = "http://127.0.0.1:1";
  expect_message(failure("hf:lab/big"), {"127.0.0.1:1", "connect"});
}

TEST_F(BrokenPull, RefusalsSayWhatToDo) {
  expect_message(failure("hf:lab/none"), {"hf:lab/none", "404", "check the name"});
  expect_message(failure("ms:lab/none"), {"ms:lab/none", "404"});
  expect_message(failure("hf:lab/big", "v2"), {"has no such revision"});
  server_.token = "t";
  expect_message(failure("hf:lab/big"), {"private", "HF_TOKEN", "hf-token", "chmod 600"});
  expect_message(failure("ms:lab/big"), {"MODELSCOPE_API_TOKEN", "ms-token"});
  environment_["HF_TOKEN"] = "wrong";
  expect_message(failure("hf:lab/big"), {"the token that was sent"});
  environment_["HF_TOKEN"] = "t";
  EXPECT_EQ(read(pull("hf:lab/big"), "model.safetensors"), weights_);
  server_.gated = true;
  expect_message(failure("hf:lab/big"), {"access is restricted", server_.url()});
}

TEST_F(BrokenPull, AListThatIsNoneIsAnError) {
  const std::vector<std::string> lists = {
      "",
      "{",
      "{}",
      "7",
      R"([{"type": "file"}])",
      R"([{"type": "file", "path": 7, "size": 1}])",
      R"([{"type": "file", "path": "a", "size": -1}])",
      R"([{"type": "file", "path": "a", "size": 1, "lfs": {"oid": "x", "size": 1}}])",
      R"([{"type": "file", "path": "a", "size": 1}, {"type": "file", "path": "a", "size": 1}])",
      R"([{"type": "file", "path": "a", "size": 1}, {"type": "file", "path": "a/b", "size": 1}])"};
  for (const std::string& list : lists) {
    server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
      if (request.path.find("/tree/") == std::string::npos) return std::nullopt;
      return HubAnswer{200, {}, list, {}, false};
    };
    EXPECT_NE(failure("hf:lab/big"), "(no error)") << list;
  }
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.path.find("/tree/") == std::string::npos) return std::nullopt;
    return HubAnswer{200,
                     {{"Link", fmt::format("<{}{}>; rel=\"next\"", server_.url(), request.target)}},
                     "[]",
                     {},
                     false};
  };
  expect_message(failure("hf:lab/big"), {"more than 1000 pages"});
}

TEST_F(BrokenPull, PathsThatLeaveTheFolderAreRefused) {
  for (const std::string& path :
       {std::string("../evil"), std::string("a/../../evil"), std::string("/etc/evil"),
        std::string("a\\..\\evil"), std::string("a\0b", 3), std::string("a//b"), std::string("."),
        std::string("a/./b"), std::string(""), std::string("a\nb"), std::string(300, 'a'),
        std::string(".millrace.json"), std::string("a/.millrace.json"), [] {
          std::string deep;
          for (int i = 0; i < 600; ++i) deep += "a/";
          return deep + "b";
        }()}) {
    server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
      Json json;
      if (request.path.find("/tree/") != std::string::npos) {
        json = Json::array({{{"type", "file"}, {"path", path}, {"size", 4}}});
      } else if (request.path.ends_with("/repo/files")) {
        json = {
            {"Code", 200},
            {"Data", {{"Files", Json::array({{{"Type", "blob"}, {"Path", path}, {"Size", 4}}})}}}};
      } else if (request.path.find("/revision/") != std::string::npos) {
        return std::nullopt;
      } else {
        return HubAnswer{200, {}, "evil", {}, false};
      }
      return HubAnswer{200, {}, to_json_text(json), {}, false};
    };
    expect_message(failure("hf:lab/big"), {"the path", "nothing was written"});
    expect_message(failure("ms:lab/big"), {"the path", "nothing was written"});
  }
  EXPECT_TRUE(store_.list().empty());
  EXPECT_EQ(blobs().size(), 0u);
  EXPECT_FALSE(fs::exists(scratch_ / "evil"));
}

TEST_F(BrokenPull, LinksInTheCacheAreNotFollowed) {
  const fs::path outside = scratch_.write("outside", "precious");
  const fs::path blob = store_.blobs() / hub::sha256_of(weights_);
  fs::create_symlink(outside, blob.string() + ".partial");
  expect_message(failure("hf:lab/big"), {".partial", "cannot open"});
  fs::remove(blob.string() + ".partial");
  fs::create_symlink(outside, blob);
  expect_message(failure("hf:lab/big"), {"is damaged", "remove it"});
  fs::remove(blob);
  fs::create_directories(store_.home() / "models");
  fs::create_directories(scratch_ / "elsewhere");
  fs::create_directory_symlink(scratch_ / "elsewhere", store_.home() / "models/hf");
  expect_message(failure("hf:lab/big"), {"models/hf", "is not a folder"});
  EXPECT_EQ(read_file(outside), "precious");
  EXPECT_TRUE(fs::is_empty(scratch_ / "elsewhere"));
}

TEST_F(BrokenPull, MoreThanTheDiskHoldsIsRefusedBeforeItBegins) {
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.path.find("/tree/") == std::string::npos) return std::nullopt;
    return HubAnswer{200,
                     {},
                     R"([{"type": "file", "path": "a.safetensors", "size": 900000000000000}])",
                     {},
                     false};
  };
  expect_message(failure("hf:lab/big"), {"900000.0 GB are to come", "free", "MILLRACE_HOME"});
  EXPECT_EQ(server_.count("/resolve/"), 0);
}

}  // namespace
}  // namespace millrace
