#include "bench/load/requests.h"

#include "millrace/base/error.h"
#include "millrace/base/json.h"

namespace millrace::load {
namespace {

std::string words(int64_t count, Random& random) {
  static constexpr std::string_view kWords[] = {"river", "the",   "mill", "turns", "water",  "and",
                                                "grain", "of",    "a",    "wheel", "slowly", "in",
                                                "old",   "house", "by",   "night"};
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    text += kWords[random() % std::size(kWords)];
  }
  return text;
}

std::string head(const RequestOptions& options, std::string_view method, std::string_view path) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", method, path, options.host);
  if (!options.key.empty()) text += fmt::format("Authorization: Bearer {}\r\n", options.key);
  return text;
}

std::string post(const RequestOptions& options, std::string_view path, const Json& body) {
  const std::string text = to_json_text(body);
  return fmt::format("{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                     head(options, "POST", path), text.size(), text);
}

std::string plain_request(const RequestOptions& options, Random& random) {
  Random always(1);
  // Prompts that differ from their first word on: no cache knows them.
  const std::string text =
      options.same_prompt
          ? words(options.prompt_words, always)
          : fmt::format("{} {}", random() % 100000,
                        words(std::max<int64_t>(options.prompt_words - 1, 0), random));
  return post(options, "/v1/chat/completions",
              {{"model", options.model},
               {"messages", {{{"role", "user"}, {"content", text}}}},
               {"max_tokens", options.max_tokens},
               {"ignore_eos", true},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}}});
}

std::string mixed_request(const RequestOptions& options, Random& random) {
  const int64_t length =
      1 + static_cast<int64_t>(random() % static_cast<uint64_t>(options.prompt_words));
  const int64_t tokens =
      1 + static_cast<int64_t>(random() % static_cast<uint64_t>(options.max_tokens));
  const bool stream = random() % 2 == 0;
  // Every second prompt begins as many others do.
  Random few(random() % 4);
  const std::string text = random() % 2 == 0 ? words(length, few) : words(length, random);
  const Json messages = {{{"role", "user"}, {"content", text}}};
  const Json common = {{"model", options.model}, {"stream", stream}};
  auto with = [&](const Json& more) {
    Json body = common;
    body.update(more);
    return body;
  };
  switch (random() % 10) {
    case 0:
    case 1:
    case 2:
      return post(options, "/v1/chat/completions",
                  with({{"messages", messages},
                        {"max_tokens", tokens},
                        {"n", 1 + random() % 3},
                        {"logprobs", random() % 2 == 0}}));
    case 3:
      return post(options, "/v1/completions",
                  with({{"prompt", {text, "b"}},
                        {"max_tokens", tokens},
                        {"echo", true},
                        {"logprobs", 2},
                        {"stop", {"zz"}}}));
    case 4:
      return post(options, "/v1/responses", with({{"input", text}, {"max_output_tokens", tokens}}));
    case 5:
      return post(options, "/v1/messages", with({{"messages", messages}, {"max_tokens", tokens}}));
    case 6:
      return post(options, "/api/chat",
                  with({{"messages", messages}, {"options", {{"num_predict", tokens}}}}));
    case 7:
      return post(options, "/v1/embeddings", {{"model", options.model}, {"input", {text, "b"}}});
    case 8:
      return post(
          options, "/v1/chat/completions",
          with({{"messages", messages},
                {"max_tokens", 200},
                {"response_format",
                 {{"type", "json_schema"},
                  {"json_schema",
                   {{"name", "s"},
                    {"schema",
                     {{"type", "object"},
                      {"properties", {{"n", {{"enum", {static_cast<int64_t>(random() % 50), 2}}}}}},
                      {"required", {"n"}},
                      {"additionalProperties", false}}}}}}}}));
    default:
      return post(options, "/v1/chat/completions",
                  with({{"messages", "none"}, {"temperature", "hot"}}));
  }
}

}  // namespace

std::string next_request(const RequestOptions& options, Random& random) {
  return options.mixed ? mixed_request(options, random) : plain_request(options, random);
}

std::string get_request(const RequestOptions& options, std::string_view path) {
  return head(options, "GET", path) + "\r\n";
}

}  // namespace millrace::load
