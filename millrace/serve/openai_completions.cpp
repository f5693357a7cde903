// POST /v1/completions.
#include "millrace/serve/call.h"
#include "millrace/serve/chat.h"
#include "millrace/serve/openai.h"
#include "millrace/serve/openai_writers.h"
#include "millrace/serve/prompts.h"

namespace millrace::serve {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

void complete(const CallPtr& call, ModelHandle model, const std::string& name) {
  Fields fields(call->body);
  AnswerRequest request;
  call->fill(request);
  const Tokenizer& tokenizer = model.model->language.tokenizer;
  request.model = std::move(model);
  request.model_name = name;
  fields.accept({"model", "user"});
  const Json* prompt = fields.any("prompt");
  request.prompts = read_prompts(prompt == nullptr ? Json("") : *prompt, "prompt", tokenizer);
  const std::string suffix = fields.text("suffix").value_or("");
  if (!suffix.empty()) add_suffix(request.prompts, suffix, tokenizer);
  // A beginning from nothing, as OpenAI has it.
  for (auto& ids : request.prompts) {
    if (ids.empty()) ids.push_back(std::max(tokenizer.bos(), std::max(tokenizer.eos(), 0)));
  }
  read_sampling(fields, request);
  const int64_t best_of = fields.integer("best_of", 1, 128).value_or(request.n);
  if (best_of != request.n) {
    throw invalid_request("best_of", "is not supported but as n", "unsupported_parameter");
  }
  CompletionsOptions options;
  const auto scores = fields.integer("logprobs", 0, 100);
  request.scores = options.scores = scores.has_value();
  request.top_scores = static_cast<int32_t>(scores.value_or(0));
  const bool echo = fields.boolean("echo").value_or(false);
  request.max_tokens = fields.integer("max_tokens", 0, kMostTokens).value_or(16);
  request.prompt_scores = echo && (request.scores || request.max_tokens == 0);
  if (request.max_tokens == 0 && !echo) {
    throw invalid_request("max_tokens", "is 0; only with echo may nothing be written");
  }
  if (echo) {
    for (const auto& ids : request.prompts) {
      for (int64_t k = 0; k < request.n; ++k) options.echo.push_back(tokenizer.decode(ids));
    }
  }
  if (const Json* stream_options = fields.object("stream_options")) {
    Fields inner(*stream_options, "stream_options");
    if (!request.stream) throw invalid_request("stream_options", "needs stream to be true");
    options.stream_usage = inner.boolean("include_usage").value_or(false);
    inner.boolean("include_obfuscation");
  }
  set_format(request, read_format(fields));
  call->answer(std::move(request), completions_writer(std::move(options)),
               Call::ignored_header(fields));
}

}  // namespace

void completions(const CallPtr& call) {
  Fields fields(call->body);
  const std::string name = fields.required_text("model");
  call->with_model(name,
                   [call, name](ModelHandle model) { complete(call, std::move(model), name); });
}

}  // namespace millrace::serve
