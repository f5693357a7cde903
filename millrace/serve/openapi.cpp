#include "millrace/serve/openapi.h"

#include <limits>
#include <string>

namespace millrace::serve {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

Json kind(const char* type) {
  return {{"type", type}};
}
Json text() {
  return kind("string");
}
Json boolean() {
  return kind("boolean");
}
Json object() {
  return kind("object");
}
Json anything() {
  return Json::object();
}
Json list(Json items) {
  return {{"type", "array"}, {"items", std::move(items)}};
}
Json number(double low, double high) {
  return {{"type", "number"}, {"minimum", low}, {"maximum", high}};
}
Json integer(int64_t low, int64_t high) {
  return {{"type", "integer"}, {"minimum", low}, {"maximum", high}};
}
Json one_of(std::initializer_list<const char*> words) {
  Json values = Json::array();
  for (const char* word : words) values.push_back(word);
  return {{"type", "string"}, {"enum", std::move(values)}};
}
Json either(Json a, Json b) {
  return {{"anyOf", Json::array({std::move(a), std::move(b)})}};
}

Json stop() {
  return either(text(), list(text()));
}
Json prompt() {
  return {{"anyOf", Json::array({text(), list(text()), list(kind("integer")),
                                 list(list(kind("integer")))})}};
}

/// What most routes that write text read.
Json sampling() {
  return {{"model", text()},
          {"temperature", number(0, 2)},
          {"top_p", number(0, 1)},
          {"top_k", integer(-1, 1'000'000)},
          {"min_p", number(0, 1)},
          {"typical_p", number(0, 1)},
          {"presence_penalty", number(-2, 2)},
          {"frequency_penalty", number(-2, 2)},
          {"repetition_penalty", number(0.01, 100)},
          {"seed", kind("integer")},
          {"logit_bias", {{"type", "object"}, {"additionalProperties", number(-100, 100)}}},
          {"ignore_eos", boolean()},
          {"stream", boolean()},
          {"service_tier", one_of({"auto", "default", "flex", "scale", "priority"})},
          {"user", text()}};
}

Json joined(Json a, const Json& b) {
  a.update(b);
  return a;
}

Json completion_fields() {
  return joined(sampling(), {{"n", integer(1, 128)},
                             {"stop", stop()},
                             {"stream_options", object()},
                             {"response_format", object()},
                             {"grammar", text()},
                             {"regex", text()}});
}

Json chat_fields() {
  return joined(
      completion_fields(),
      {{"messages", list(object())},
       {"tools", list(object())},
       {"tool_choice", anything()},
       {"parallel_tool_calls", boolean()},
       {"max_tokens", integer(1, kMost)},
       {"max_completion_tokens", integer(1, kMost)},
       {"logprobs", boolean()},
       {"top_logprobs", integer(0, 20)},
       {"reasoning_effort", one_of({"none", "minimal", "low", "medium", "high", "xhigh"})},
       {"documents", list(object())},
       {"chat_template_kwargs", object()},
       {"metadata", object()},
       {"store", boolean()}});
}

Json plain_fields() {
  return joined(completion_fields(), {{"prompt", prompt()},
                                      {"max_tokens", integer(0, kMost)},
                                      {"logprobs", integer(0, 100)},
                                      {"echo", boolean()},
                                      {"best_of", integer(1, 128)}});
}

Json responses_fields() {
  return joined(sampling(), {{"input", either(text(), list(object()))},
                             {"instructions", text()},
                             {"tools", list(object())},
                             {"tool_choice", anything()},
                             {"parallel_tool_calls", boolean()},
                             {"max_output_tokens", integer(1, kMost)},
                             {"top_logprobs", integer(0, 20)},
                             {"text", object()},
                             {"reasoning", object()},
                             {"metadata", object()},
                             {"include", list(text())},
                             {"store", boolean()},
                             {"truncation", one_of({"disabled"})}});
}

/// What makes the prompt of Anthropic's API.
Json conversation_fields() {
  return {{"model", text()},
          {"messages", list(object())},
          {"system", either(text(), list(object()))},
          {"tools", list(object())},
          {"tool_choice", object()},
          {"thinking", object()}};
}

Json messages_fields() {
  return joined(joined(sampling(), conversation_fields()), {{"max_tokens", integer(1, kMost)},
                                                            {"stop_sequences", list(text())},
                                                            {"metadata", object()}});
}

Json ollama_fields() {
  return {{"model", text()},          {"format", either(text(), object())},
          {"options", object()},      {"stream", boolean()},
          {"keep_alive", anything()}, {"think", either(boolean(), text())}};
}

Json answer(const char* description, const char* type = "application/json") {
  return {{"description", description}, {"content", {{type, {{"schema", object()}}}}}};
}

Json responses(bool open, bool streams) {
  Json all = {{"200", answer("The answer")}};
  if (streams) {
    all["200"]["content"]["text/event-stream"] = {{"schema", text()}};
    all["429"] = answer("Too many requests wait; Retry-After says when to try again");
    all["503"] = answer("The server is going down");
  }
  if (!open) all["401"] = answer("The key is missing or not a right one");
  all["4XX"] = answer("The request is at fault; `error.param` names the field");
  return all;
}

Json read(const char* summary, bool open = false) {
  Json operation = {{"summary", summary}, {"responses", responses(open, false)}};
  if (open) operation["security"] = Json::array();
  return {{"get", std::move(operation)}};
}

Json write(const char* summary, Json properties, std::initializer_list<const char*> required,
           bool streams = false) {
  Json needed = Json::array();
  for (const char* name : required) needed.push_back(name);
  const Json schema = {
      {"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(needed)}};
  return {{"post",
           {{"summary", summary},
            {"requestBody",
             {{"required", true}, {"content", {{"application/json", {{"schema", schema}}}}}}},
            {"responses", responses(false, streams)}}}};
}

Json model_path() {
  Json path = read("One model");
  path["get"]["parameters"] =
      Json::array({{{"name", "model"}, {"in", "path"}, {"required", true}, {"schema", text()}}});
  return path;
}

Json paths() {
  const Json ranked = {{"model", text()},
                       {"query", text()},
                       {"documents", list(either(text(), object()))},
                       {"top_n", integer(1, 1'000'000)},
                       {"return_documents", boolean()}};
  const auto rerank = [&] {
    return write("Documents by how near they are to a query", ranked,
                 {"model", "query", "documents"});
  };
  return {
      {"/", read("Whether the program runs", true)},
      {"/health", read("Whether the program runs", true)},
      {"/ready", read("Whether the models are loaded", true)},
      {"/metrics", read("Counts for Prometheus")},
      {"/openapi.json", read("This description", true)},
      {"/v1/chat/completions",
       write("Goes on with a chat (OpenAI)", chat_fields(), {"model", "messages"}, true)},
      {"/v1/completions", write("Goes on with a text (OpenAI)", plain_fields(), {"model"}, true)},
      {"/v1/responses",
       write("Answers, storing nothing (OpenAI)", responses_fields(), {"model", "input"}, true)},
      {"/v1/embeddings", write("Texts as vectors (OpenAI)",
                               {{"model", text()},
                                {"input", prompt()},
                                {"encoding_format", one_of({"float", "base64"})},
                                {"dimensions", integer(1, kMost)},
                                {"prompt_name", text()},
                                {"user", text()}},
                               {"model", "input"})},
      {"/v1/rerank", rerank()},
      {"/v2/rerank", rerank()},
      {"/rerank", rerank()},
      {"/v1/models", read("The models")},
      {"/v1/models/{model}", model_path()},
      {"/models/load", write("Loads a model", {{"model", text()}}, {"model"})},
      {"/models/unload", write("Gives a model's memory back", {{"model", text()}}, {"model"})},
      {"/tokenize", write("A text's token ids",
                          {{"model", text()},
                           {"prompt", text()},
                           {"content", text()},
                           {"add_special_tokens", boolean()},
                           {"parse_special", boolean()},
                           {"return_token_strs", boolean()}},
                          {"model"})},
      {"/detokenize",
       write("The text of token ids", {{"model", text()}, {"tokens", list(kind("integer"))}},
             {"model", "tokens"})},
      {"/v1/messages", write("Goes on with a chat (Anthropic)", messages_fields(),
                             {"model", "messages", "max_tokens"}, true)},
      {"/v1/messages/count_tokens",
       write("A chat's tokens (Anthropic)", conversation_fields(), {"model", "messages"})},
      {"/api/chat",
       write("Goes on with a chat (Ollama)",
             joined(ollama_fields(), {{"messages", list(object())}, {"tools", list(object())}}),
             {"model"}, true)},
      {"/api/generate",
       write("Goes on with a text (Ollama)",
             joined(ollama_fields(), {{"prompt", text()}, {"system", text()}, {"raw", boolean()}}),
             {"model"}, true)},
      {"/api/embed", write("Texts as vectors (Ollama)",
                           {{"model", text()}, {"input", prompt()}, {"truncate", boolean()}},
                           {"model", "input"})},
      {"/api/show", write("One model (Ollama)", {{"model", text()}}, {"model"})},
      {"/api/tags", read("The models (Ollama)")},
      {"/api/ps", read("The loaded models (Ollama)")},
      {"/api/version", read("The version (Ollama)")},
  };
}

}  // namespace

Json openapi_document() {
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Millrace"},
        {"version", "0.1.0"},
        {"description",
         "Language models over HTTP, in the words of OpenAI's, Anthropic's and Ollama's APIs. "
         "A field that is not listed here is ignored and named in the response's header "
         "x-millrace-ignored-fields; one of those APIs' that would change the answer and is "
         "not supported is refused by name."}}},
      {"security", Json::array({{{"key", Json::array()}}})},
      {"paths", paths()},
      {"components", {{"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace millrace::serve
