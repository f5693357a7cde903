// Tokens: where they are taken from, and to whom they are not given. Proxies.
#include <sys/stat.h>

#include <cstdlib>

#include "millrace/hub/url.h"
#include "tests/hub/hub_test.h"

namespace millrace {
namespace {

class AccessTest : public HubTest {
 protected:
  AccessTest() {
    std::filesystem::create_directories(store_.home());
    server_.add("lab/big", "model.safetensors", random_bytes(300'000, 2));
    server_.add("lab/big", "config.json", "{}", false);
  }

  void write_token(const std::string& name, const std::string& token, mode_t mode = 0600) {
    const std::filesystem::path path = store_.home() / name;
    std::filesystem::remove(path);
    write_file(path, token);
    ::chmod(path.c_str(), mode);
  }

  std::string token(hub::Source source = hub::Source::hugging_face) {
    return hub::access_of(source, store_.home(), environment()).token;
  }
};

TEST_F(AccessTest, TokensComeFromTheEnvironmentOrAFile) {
  EXPECT_EQ(token(), "");
  write_token("hf-token", "of-file\n");
  EXPECT_EQ(token(), "of-file");
  environment_["HF_TOKEN"] = "general";
  EXPECT_EQ(token(), "general");
  environment_["MILLRACE_HF_TOKEN"] = "own";
  EXPECT_EQ(token(), "own");
  EXPECT_EQ(token(hub::Source::model_scope), "");
  environment_["MODELSCOPE_API_TOKEN"] = "ms";
  EXPECT_EQ(token(hub::Source::model_scope), "ms");
  EXPECT_EQ(token(hub::Source::url), "");
}

TEST_F(AccessTest, AFileThatOthersMayReadIsRefused) {
  for (mode_t mode : {0644, 0640, 0604, 0660}) {
    write_token("hf-token", "secret", mode);
    const std::string message = failure("hf:lab/big");
    expect_message(message, {"hf-token", "chmod 600", fmt::format("{:04o}", mode)});
    EXPECT_EQ(message.find("secret"), std::string::npos);
  }
  write_token("hf-token", "two\nlines");
  expect_message(failure("hf:lab/big"), {"hf-token", "more than one line"});
  environment_["HF_TOKEN"] = "a\r\nHost: evil";
  expect_message(failure("hf:lab/big"), {"HF_TOKEN"});
  environment_["HF_TOKEN"] = "";
  environment_["MILLRACE_HF_ENDPOINT"] = "nonsense";
  expect_message(failure("hf:lab/big"), {"MILLRACE_HF_ENDPOINT", "https://"});
}

TEST_F(AccessTest, ATokenNeverGoesToAnotherHost) {
  HubServer cdn;
  server_.token = environment_["HF_TOKEN"] = environment_["MODELSCOPE_API_TOKEN"] = "secret";
  server_.cdn = cdn.url();
  cdn.add("lab/big", "model.safetensors", random_bytes(300'000, 2));
  pull("hf:lab/big");
  pull("ms:lab/big");
  EXPECT_GT(cdn.requests().size(), 0u);
  for (const HubRequest& request : cdn.requests()) {
    EXPECT_EQ(request.header("authorization"), "");
    EXPECT_EQ(request.header("cookie"), "");
  }
  for (const HubRequest& request : server_.requests()) {
    EXPECT_EQ(request.header("authorization"), "Bearer secret");
  }
}

TEST_F(AccessTest, ATokenIsNotSentInClear) {
  ::setenv("http_proxy", server_.url().c_str(), 1);  // so that the server sees what is sent
  environment_["HF_TOKEN"] = "secret";
  environment_["MILLRACE_HF_ENDPOINT"] = "http://hub.invalid";
  const hub::Pulled pulled = pull("hf:lab/big");
  ::unsetenv("http_proxy");
  EXPECT_EQ(read(pulled, "config.json"), "{}");  // proxies are honoured
  for (const HubRequest& request : server_.requests()) {
    EXPECT_TRUE(request.target.starts_with("http://hub.invalid/")) << request.target;
    EXPECT_EQ(request.header("authorization"), "");
  }
}

TEST(Urls, AreTakenApart) {
  EXPECT_EQ(hub::origin_of("https://Hub.example/a"), hub::origin_of("https://hub.example:443/b?c"));
  EXPECT_NE(hub::origin_of("https://hub.example/"), hub::origin_of("http://hub.example/"));
  EXPECT_NE(hub::origin_of("https://hub.example/"), hub::origin_of("https://hub.example:8443/"));
  EXPECT_NE(hub::origin_of("https://hub.example/"), hub::origin_of("https://hub.example.evil/"));
  EXPECT_NE(hub::origin_of("https://hub.example/"),
            hub::origin_of("https://hub.example@evil.example/"));
  EXPECT_EQ(hub::public_url("https://me:word@a.example/x?signature=1#y"), "https://a.example/x");
  EXPECT_EQ(hub::resolved_url("https://a.example/b/c", "../d?e"), "https://a.example/d?e");
  EXPECT_TRUE(hub::is_in_clear("http://127.evil.example/"));
}

}  // namespace
}  // namespace millrace
