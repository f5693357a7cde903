// Pulls from a hub whose server behaves: what comes, what is chosen, what is not fetched again.
#include <sys/stat.h>

#include "millrace/hub/digest.h"
#include "tests/hub/hub_test.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class Pull : public HubTest {
 protected:
  void add_folder_model(const std::string& model) {
    server_.add(model, "config.json", R"({"model_type": "llama"})", false);
    server_.add(model, "model.safetensors", weights_);
    server_.add(model, "pytorch_model.bin", "the same weights again");
    server_.add(model, "tf_model.h5", "and again");
    server_.add(model, "sub/a b+ü.txt", "in a folder", false);
    server_.add(model, "empty.txt", "", false);
  }

  const std::string weights_ = random_bytes(300'000, 1);
};

TEST(Digests, AreTheKnownOnes) {
  EXPECT_EQ(hub::sha256_of("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const ScratchFolder folder;
  const hub::FileDigests digests = hub::digests_of(folder.write("a", "hello\n"));
  EXPECT_EQ(digests.git, "ce013625030ba8dba906f756967f9e9ca394464a");  // of `git hash-object`
  EXPECT_EQ(hub::digests_of(folder.write("b", "")).git, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

TEST_F(Pull, FromHuggingFaceAFolder) {
  add_folder_model("lab/small");
  server_.page_size = 2;  // so the list has pages
  const hub::Pulled pulled = pull("hf:lab/small");
  EXPECT_EQ(pulled.model.manifest.name, "hf:lab/small");
  EXPECT_EQ(pulled.model.manifest.commit, HubServer::commit());
  EXPECT_EQ(pulled.model.path, pulled.model.folder);
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_EQ(read(pulled, "sub/a b+ü.txt"), "in a folder");
  EXPECT_EQ(read(pulled, "empty.txt"), "");
  EXPECT_FALSE(fs::exists(pulled.model.folder / "pytorch_model.bin"));  // safetensors are there
  EXPECT_FALSE(fs::exists(pulled.model.folder / "tf_model.h5"));
  EXPECT_EQ(server_.count("/resolve/main/"), 0);  // all is of one commit
  EXPECT_EQ(blobs(".partial"), std::vector<std::string>());
  EXPECT_EQ(blobs(".parts"), std::vector<std::string>());
  EXPECT_EQ(blobs().size(), 4u);
}

TEST_F(Pull, FromModelScope) {
  add_folder_model("lab/small");
  const hub::Pulled pulled = pull("ms:lab/small");
  EXPECT_EQ(pulled.model.manifest.name, "ms:lab/small");
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_EQ(read(pulled, "sub/a b+ü.txt"), "in a folder");
  EXPECT_EQ(server_.requests().front().query.at("Revision"), "master");
}

TEST_F(Pull, ARevision) {
  add_folder_model("lab/small");
  server_.add_revision("refs/pr/7");
  for (const char* hub : {"hf:lab/small", "ms:lab/small"}) {
    const hub::Pulled pulled = pull(hub, "refs/pr/7");
    EXPECT_EQ(pulled.model.manifest.name, std::string(hub) + "@refs/pr/7");
    EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
    expect_message(failure(hub, "v9"), {"revision"});
  }
  pull("hf:lab/small");  // beside the other
  EXPECT_EQ(store_.list().size(), 3u);
  for (const char* bad : {"../x", "a b", "/a", "a//b"}) {
    EXPECT_THROW(hub::parse_reference("hf:lab/small", bad), Error) << bad;
  }
}

TEST_F(Pull, WhatIsThereIsNotFetchedAgain) {
  add_folder_model("lab/small");
  EXPECT_GT(pull("hf:lab/small").fetched_bytes, weights_.size());
  const uint64_t sent = server_.file_bytes();
  EXPECT_EQ(pull("hf:lab/small").fetched_bytes, 0u);
  EXPECT_EQ(server_.file_bytes(), sent);
  // Another hub's has the same contents; of a new state only what is new is fetched.
  EXPECT_EQ(pull("ms:lab/small").fetched_bytes, 0u);
  server_.add("lab/small", "config.json", "{}", false);
  server_.add("lab/small", "new.txt", "123", false);
  const hub::Pulled again = pull("hf:lab/small");
  EXPECT_EQ(again.fetched_bytes, 5u);
  EXPECT_EQ(read(again, "config.json"), "{}");
  EXPECT_EQ(blobs().size(), 6u);
  EXPECT_EQ(hard_link_count(again.model.folder / "model.safetensors"), 3u);
}

TEST_F(Pull, IncludeAndExclude) {
  add_folder_model("lab/small");
  request_.include = {"*.safetensors", "*.json"};
  hub::Pulled pulled = pull("hf:lab/small");
  EXPECT_EQ(pulled.model.manifest.files.size(), 2u);
  request_.include = {"*.bin"};
  pulled = pull("hf:lab/small");
  ASSERT_EQ(pulled.model.manifest.files.size(), 1u);
  EXPECT_EQ(pulled.model.manifest.files[0].path, "pytorch_model.bin");
  EXPECT_FALSE(fs::exists(pulled.model.folder / "config.json"));
  EXPECT_EQ(blobs().size(), 1u);  // those that no model has any more are freed
  request_ = {};
  request_.exclude = {"*.safetensors", "sub/*"};
  pulled = pull("hf:lab/small");
  EXPECT_TRUE(fs::exists(pulled.model.folder / "pytorch_model.bin"));  // now the best there is
  EXPECT_FALSE(fs::exists(pulled.model.folder / "sub"));
  request_.include = {"*.none"};
  expect_message(failure("hf:lab/small"), {"hf:lab/small", "6 files", "--include"});
}

TEST_F(Pull, AQuantisationOfAGgufRepository) {
  for (const char* name : {"m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q8_0-00001-of-00002.gguf",
                           "m-Q8_0-00002-of-00002.gguf", "BF16/m-x.gguf"}) {
    server_.add("lab/m-GGUF", name, name);
  }
  server_.add("lab/m-GGUF", "README.md", "words", false);
  const hub::Pulled pulled = pull("hf:lab/m-GGUF:q4_k_m");
  EXPECT_EQ(pulled.model.path, pulled.model.folder / "m-Q4_K_M.gguf");
  EXPECT_EQ(pulled.model.manifest.files.size(), 1u);
  EXPECT_EQ(pull("ms:lab/m-GGUF:Q8_0").model.path.filename(), "m-Q8_0-00001-of-00002.gguf");
  EXPECT_EQ(pull("hf:lab/m-GGUF:BF16").model.path.filename(), "m-x.gguf");
  expect_message(failure("hf:lab/m-GGUF"), {"several models", "m-Q4_K_M", ":Q4_K_M", "--include"});
  expect_message(failure("hf:lab/m-GGUF:Q5_K_M"), {"Q5_K_M", "there are", "m-Q8_0"});
  expect_message(failure("hf:lab/m-GGUF:Q4_K"), {"has no 'Q4_K'"});
  server_.add("lab/m-GGUF", "other-Q4_K_M.gguf", "x");
  expect_message(failure("hf:lab/m-GGUF:Q4_K_M"), {"several models are 'Q4_K_M'", "other-Q4_K_M"});
  request_.include = {"other*"};
  EXPECT_EQ(pull("hf:lab/m-GGUF:Q4_K_M").model.path.filename(), "other-Q4_K_M.gguf");
}

TEST_F(Pull, ALargeFileInParallelRanges) {
  server_.add("lab/big", "model.safetensors", weights_);
  server_.intercept = [&](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.path.starts_with("/cdn/")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    return std::nullopt;
  };
  const hub::Pulled pulled = pull("hf:lab/big");
  EXPECT_EQ(read(pulled, "model.safetensors"), weights_);
  EXPECT_EQ(server_.count("/cdn/"), 1 + 5);  // one to ask, five parts of 64 KiB
  EXPECT_GE(server_.most_at_once(), 2);
  EXPECT_LE(server_.most_at_once(), 4);
}

TEST_F(Pull, ProgressEndsWithAll) {
  add_folder_model("lab/small");
  uint64_t last = 0, whole = 0;
  options_.on_progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    last = done, whole = total;
  };
  const hub::Pulled pulled = pull("hf:lab/small");
  EXPECT_EQ(last, pulled.model.manifest.size());
  EXPECT_EQ(whole, last);
}

TEST_F(Pull, AServerWithoutRangesSendsItWhole) {
  add_folder_model("lab/small");
  server_.ranges = false;
  EXPECT_EQ(read(pull("hf:lab/small"), "model.safetensors"), weights_);
}

TEST_F(Pull, AFileByItsUrl) {
  server_.add("lab/m", "a.Q4_0.gguf", weights_);
  const std::string url = server_.url() + "/lab/m/resolve/main/a.Q4_0.gguf?download=true";
  const hub::Pulled pulled = pull(url);
  EXPECT_EQ(pulled.model.manifest.name, "a.Q4_0");
  EXPECT_EQ(pulled.model.manifest.source, server_.url() + "/lab/m/resolve/main/a.Q4_0.gguf");
  EXPECT_EQ(pulled.model.path, pulled.model.folder / "a.Q4_0.gguf");
  EXPECT_EQ(read_file(pulled.model.path), weights_);
  request_.name = "mine";
  request_.sha256 = hub::sha256_of(weights_);
  EXPECT_EQ(pull(url).model.manifest.name, "mine");
  request_.sha256 = std::string(64, '0');
  expect_message(failure(url), {"SHA-256", "thrown away"});
  request_ = {};
  expect_message(failure(server_.url() + "/lab/m/resolve/main/a.exe"), {"must be a .gguf file"});
  expect_message(failure("http://hub.invalid/a.gguf"), {"use https", "--sha256"});
  expect_message(failure("ftp://hub.invalid/a.gguf"), {"only https and http"});
}

TEST_F(Pull, NamesThatAreNone) {
  for (const char* bad : {"", "hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/..",
                          "hf:a/b:", "hf:a/b c", "hf:a/b:Q4/K", "owner/name", "ms:/b"}) {
    EXPECT_THROW(hub::parse_reference(bad), Error) << bad;
  }
  add_folder_model("lab/small");
  for (const char* bad : {"../x", "/x", "a\\b", ".x", "a/../b"}) {
    request_.name = bad;
    EXPECT_NE(failure("hf:lab/small"), "(no error)") << bad;
  }
  EXPECT_TRUE(store_.list().empty());
}

}  // namespace
}  // namespace millrace
