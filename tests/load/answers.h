// What the tests of a service under load ask for and look at.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "millrace/base/json.h"
#include "tests/http_client.h"
#include "tests/served_model.h"

namespace millrace {

/// A chat completion of `n` answers that go on for `tokens` tokens.
inline std::string long_chat(int64_t tokens, bool stream, int64_t n = 1,
                             std::string_view text = "hi", int64_t seed = 1) {
  return to_json_text({{"model", "tiny"},
                       {"messages", {{{"role", "user"}, {"content", text}}}},
                       {"max_tokens", tokens},
                       {"ignore_eos", true},
                       {"n", n},
                       {"seed", seed},
                       {"stream", stream}});
}

/// A number of /metrics, by its name with its labels; 0 when it is not there.
inline double metric(int port, const std::string& name, const HttpHeaders& headers = {}) {
  const std::string text = "\n" + HttpClient(port).ask("GET", "/metrics", headers).body;
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::atof(text.c_str() + at + name.size() + 2);
}

/// Waits, ten seconds at most, until `holds`.
template <typename Condition>
bool eventually(const Condition& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace millrace
