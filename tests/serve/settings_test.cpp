// File, environment and flags: each over the one before.
#include "millrace/serve/settings.h"

#include <gtest/gtest.h>

#include <map>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace::serve {
namespace {

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Settings, LaterSourcesWin) {
  ScratchFolder folder;
  write_file(folder / "serve.yaml", "port: 1\nmax-queue: 2\nmodels: [a=x, b=y]\nlog-text: true\n");
  Settings settings;
  apply(settings, read_settings_file(folder / "serve.yaml"), "file");
  const std::map<std::string, const char*> environment = {
      {"MILLRACE_PORT", "3"}, {"MILLRACE_CORS_ORIGINS", "http://a,http://b"}};
  apply(settings, read_environment([&](const char* name) {
          auto found = environment.find(name);
          return found == environment.end() ? nullptr : found->second;
        }),
        "environment");
  apply(settings, {{"port", "4"}, {"models", "c=z"}}, "command line");
  EXPECT_EQ(settings.port, 4);
  EXPECT_EQ(settings.max_queue, 2);
  EXPECT_TRUE(settings.log_text);
  ASSERT_EQ(settings.models.size(), 1u);
  EXPECT_EQ(settings.models[0].name, "c");
  EXPECT_EQ(settings.cors_origins, (std::vector<std::string>{"http://a", "http://b"}));
}

TEST(Settings, PrintedOnesReadBackTheSameWithoutSecrets) {
  ScratchFolder folder;
  Settings settings;
  apply(settings, {{"models", "a=/m/a"}, {"port", "9"}, {"api-key", "hush"}, {"tls-cert", "c: #d"}},
        "test");
  const std::string text = print_settings(settings);
  EXPECT_EQ(text.find("hush"), std::string::npos);
  write_file(folder / "serve.yaml", text);
  Settings again;
  apply(again, read_settings_file(folder / "serve.yaml"), "file");
  EXPECT_EQ(print_settings(again), text);
  EXPECT_EQ(again.tls_cert, "c: #d");
}

TEST(Settings, ErrorsNameWhereAndWhat) {
  ScratchFolder folder;
  write_file(folder / "serve.yaml", "port: 1\nprot: 2\n");
  const std::string unknown = error_of([&] { read_settings_file(folder / "serve.yaml"); });
  EXPECT_NE(unknown.find("serve.yaml:2"), std::string::npos) << unknown;
  EXPECT_NE(unknown.find("prot"), std::string::npos) << unknown;
  Settings settings;
  for (const auto& one : SettingValues{{"port", "70000"},
                                       {"port", "8o"},
                                       {"port", ""},
                                       {"memory", "nan"},
                                       {"prefix-cache", "maybe"},
                                       {"cache-type", "q4"},
                                       {"numa", ""},
                                       {"seed", "-2"},
                                       {"log-text", "perhaps"},
                                       {"models", "=x"}}) {
    const std::string message = error_of([&] { apply(settings, {one}, "environment"); });
    EXPECT_TRUE(message.starts_with("environment: " + one.first))
        << one.first << "=" << one.second << ": " << message;
  }
}

TEST(Settings, NamesAModelByItsFileOrFolder) {
  EXPECT_EQ(default_model_name("/m/Qwen3.Q4_0.gguf"), "Qwen3.Q4_0");
  EXPECT_EQ(default_model_name("/m/runs/demo/model"), "demo");
  EXPECT_EQ(default_model_name("/m/smollm2/"), "smollm2");
}

}  // namespace
}  // namespace millrace::serve
