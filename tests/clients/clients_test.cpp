// Real clients against a running service: the scripts of this folder, with the packages that
// tools/fetch-clients fetches.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tests/served_model.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

fs::path clients_folder() {
  const char* cache = std::getenv("MILLRACE_CACHE");
  const char* home = std::getenv("HOME");
  if (cache != nullptr) return fs::path(cache) / "clients";
  return fs::path(home == nullptr ? "" : home) / ".cache/millrace/clients";
}

std::string quoted(const fs::path& path) {
  return "'" + path.string() + "'";
}

/// What a command prints, and its exit status.
std::pair<std::string, int> run(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer;
  for (size_t size; (size = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    out.append(buffer.data(), size);
  }
  const int status = ::pclose(pipe);
  return {out, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

class Clients : public testing::TestWithParam<const char*> {};

TEST_P(Clients, DoAllTheyCan) {
  if (!fs::exists(clients_folder() / "fetched")) {
    GTEST_SKIP() << "tools/fetch-clients fetches the packages of the clients";
  }
  const fs::path script = fs::path(MILLRACE_SOURCE_DIR) / "tests/clients" / GetParam();
  TinyService service("api-key=a-key");
  const bool node = script.extension() == ".cjs";
  const std::string environment =
      node ? "NODE_PATH=" + quoted(clients_folder() / "node/node_modules") + " timeout 300 node "
           : "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=" + quoted(clients_folder() / "python") +
                 " timeout 300 python3 ";
  const auto [out, status] = run(environment + quoted(script) +
                                 fmt::format(" http://127.0.0.1:{} org/hermes", service.port()));
  EXPECT_EQ(status, 0) << out;
}

INSTANTIATE_TEST_SUITE_P(All, Clients,
                         testing::Values("openai_client.py", "anthropic_client.py",
                                         "ollama_client.py", "langchain_client.py",
                                         "openai_client.cjs", "ollama_client.cjs",
                                         "ai_sdk_client.cjs"),
                         [](const auto& script) {
                           std::string name = script.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace millrace
