// The same request gives the same bits alone, among many others whose clients come and go, and
// after its prompt was found in the cache (design.md, idea 3), over HTTP.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "tests/load/answers.h"

namespace millrace {
namespace {

/// Text, tokens and log-probabilities of an answer, as they stand in its bytes.
std::string choices_of(const HttpAnswer& answer) {
  EXPECT_EQ(answer.status, 200) << answer.body;
  const size_t begin = answer.body.find("\"choices\"");
  return answer.body.substr(begin, answer.body.find("\"usage\"") - begin);
}

/// A model and its adapters, whose sequences share batches.
constexpr const char* kNames[] = {"tiny", "tiny:fish", "tiny:bird"};

std::string scored_chat(const std::string& text, int64_t seed, const Json& earlier = Json::array(),
                        const std::string& model = "tiny") {
  Json messages = earlier;
  messages.push_back({{"role", "user"}, {"content", text}});
  return to_json_text({{"model", model},
                       {"messages", messages},
                       {"max_tokens", 60},
                       {"ignore_eos", true},
                       {"temperature", 1},
                       {"seed", seed},
                       {"logprobs", true},
                       {"top_logprobs", 5}});
}

std::string ask(int port, const std::string& body) {
  return choices_of(HttpClient(port).post("/v1/chat/completions", body));
}

/// Words enough to fill several blocks of the cache.
std::string prompt(int which) {
  std::string text;
  for (int i = 0; i < 20 + 7 * which; ++i) text += fmt::format("word{} ", i * which);
  return text;
}

/// Each of the prompts is for each of the models in turn.
std::string request(int which) {
  return scored_chat(prompt(which / 3), 100 + which / 3, Json::array(), kNames[which % 3]);
}

/// A client that asks for a long stream and leaves after some of it.
void come_and_go(int port, int which) {
  HttpClient client(port);
  client.send("POST", "/v1/chat/completions", {{"Content-Type", "application/json"}},
              long_chat(1500, true, 1 + which % 3, prompt(which % 5), which));
  client.head();
  for (int i = 0; i < which % 9 && client.next_event(); ++i) {
  }
}

TEST(Company, ChangesNoBitOfAnAnswer) {
  constexpr int kRequests = 12;
  constexpr int kCompany = 32;
  std::vector<std::string> alone;
  {
    TinyService service("prefix-cache=off");
    for (int i = 0; i < kRequests; ++i) {
      alone.push_back(ask(service.port(), request(i)));
      EXPECT_EQ(std::count(alone.begin(), alone.end(), alone.back()), 1) << kNames[i % 3];
    }
  }
  TinyService service("max-sequences=16 tokens-per-batch=96");
  std::vector<std::string> together(kCompany);
  std::vector<std::thread> clients;
  for (int i = 0; i < kCompany; ++i) {
    clients.emplace_back(
        [&, i] { together[static_cast<size_t>(i)] = ask(service.port(), request(i % kRequests)); });
    clients.emplace_back([&, i] { come_and_go(service.port(), i); });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < kCompany; ++i) {
    EXPECT_EQ(together[i], alone[i % kRequests]) << "client " << i;
  }
  EXPECT_GT(metric(service.port(), "millrace_cached_prompt_tokens_total"), 0)
      << "no prompt was found in the cache, so that was not tested";
}

TEST(Company, ChangesNoBitOfASecondTurn) {
  const Json first = {{{"role", "user"}, {"content", prompt(5)}},
                      {{"role", "assistant"}, {"content", "so it is"}}};
  const std::string second = scored_chat("and then?", 7, first);
  std::string alone, after_first, again;
  {
    TinyService service("prefix-cache=off");
    alone = ask(service.port(), second);
  }
  TinyService service;
  ask(service.port(), scored_chat(prompt(5), 8));
  after_first = ask(service.port(), second);
  again = ask(service.port(), second);
  EXPECT_EQ(after_first, alone);
  EXPECT_EQ(again, alone);
  EXPECT_GT(metric(service.port(), "millrace_cached_prompt_tokens_total"), 100);
}

}  // namespace
}  // namespace millrace
