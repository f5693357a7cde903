#include "millrace/serve/answer_request.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>

#include "millrace/base/error.h"
#include "millrace/generate/text_stream.h"

namespace millrace::serve {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// Turns one sequence's ids into what its reader gets: plain text, or a chat's parts.
class Reader {
 public:
  Reader(const AnswerRequest& request, const std::vector<int32_t>& prompt,
         const std::string& id_seed) {
    const LanguageModel& language = request.model.model->language;
    if (!request.chat) {
      text_.emplace(language.tokenizer, request.stop, place_behind(language.tokenizer, prompt));
      return;
    }
    AnswerOptions options = *request.chat;
    options.id_seed = id_seed;
    options.stop = request.stop;
    chat_.emplace(language.tokenizer, request.model.model->syntax, options);
  }

  AnswerDelta add(int32_t id) {
    if (chat_) return chat_->add(id);
    AnswerDelta delta;
    delta.content = text_->add(id);
    return delta;
  }
  AnswerDelta finish() {
    if (chat_) return chat_->finish();
    AnswerDelta delta;
    delta.content = text_->finish();
    return delta;
  }
  bool stopped() const { return chat_ ? chat_->stopped() : text_->stopped(); }
  const std::string& stop_string() const {
    return chat_ ? chat_->stop_string() : text_->stop_string();
  }

 private:
  std::optional<TextStream> text_;
  std::optional<ChatAnswer> chat_;
};

/// One choice on its way.
struct Part {
  explicit Part(Reader r) : reader(std::move(r)) {}

  Reader reader;
  std::vector<TokenScore> unsent;  // scores of tokens whose text is not yet certain
  std::optional<Clock::time_point> last_token;
  bool finished = false;
};

/// One request that is being answered. After `start` all happens on the engine's thread.
class Running : public std::enable_shared_from_this<Running> {
 public:
  Running(Engine& engine, Metrics& metrics, http::Exchange exchange, http::Headers headers,
          AnswerRequest request, std::unique_ptr<AnswerWriter> writer, OnAnswer on_answer)
      : engine_(engine),
        metrics_(metrics),
        exchange_(std::move(exchange)),
        headers_(std::move(headers)),
        request_(std::move(request)),
        writer_(std::move(writer)),
        on_answer_(std::move(on_answer)),
        begun_(Clock::now()) {
    answer_.id = random_id();
    answer_.model = request_.model_name;
    answer_.created = std::chrono::duration_cast<std::chrono::seconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
    for (const auto& prompt : request_.prompts) {
      answer_.usage.prompt_tokens += static_cast<int64_t>(prompt.size());
    }
  }

  void start() {
    // First: what is refused must not take memory for each of its prompts times n.
    tickets_ = engine_.reserve(request_.prompts.size() * static_cast<size_t>(request_.n));
    std::vector<SequenceRequest> sequences;
    try {
      answer_.choices.resize(tickets_.size());
      for (size_t i = 0; i < tickets_.size(); ++i) {
        parts_.emplace_back(Reader(request_, prompt_of(i), fmt::format("{}{}", answer_.id, i)));
      }
      for (size_t i = 0; i < tickets_.size(); ++i) sequences.push_back(sequence(i));
    } catch (...) {
      engine_.release(tickets_);
      throw;
    }
    if (request_.stream) begin_stream();
    engine_.submit(tickets_, request_.model.model, std::move(sequences));
    exchange_.on_close([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->cancel();
    });
  }

 private:
  void cancel() {
    for (Ticket ticket : tickets_) engine_.cancel(ticket);
  }

  void begin_stream() {
    http::Response head = http::event_stream();
    head.headers.set("Content-Type", writer_->content_type());
    for (const auto& [name, value] : headers_) head.headers.add(name, value);
    head.body = writer_->begin(answer_);
    exchange_.begin_stream(std::move(head));
  }

  const std::vector<int32_t>& prompt_of(size_t choice) const {
    return request_.prompts[choice / static_cast<size_t>(request_.n)];
  }

  SequenceRequest sequence(size_t choice) {
    SequenceRequest result;
    result.prompt = prompt_of(choice);
    const auto length = static_cast<int64_t>(result.prompt.size());
    const int64_t room = request_.model.model->context - length;
    result.max_tokens = std::min(request_.max_tokens.value_or(room), room);
    result.sampling = request_.sampling;
    result.sampling.seed += choice;
    if (!request_.ignore_end) result.end_ids = request_.model.model->end_ids;
    if (request_.constraint) result.constraint = request_.constraint();
    result.adapter = request_.model.adapter;
    // One of an `n` is enough to score the prompt, but each choice shows it.
    result.prompt_log_probabilities = request_.prompt_scores;
    result.top_log_probabilities = request_.top_scores;
    result.client = request_.client;
    result.priority = request_.priority;
    result.deadline = request_.deadline;
    result.cache_scope = request_.cache_scope;
    result.reuse_prefix = request_.reuse_prefix;
    auto self = shared_from_this();
    if (request_.prompt_scores) {
      add_first_of_prompt(choice, result.prompt.front());
      result.on_prompt_token = [self, choice](size_t, const GeneratedToken& token) {
        self->parts_[choice].unsent.push_back(self->score(token));
      };
    }
    result.on_token = [self, choice](const GeneratedToken& token) {
      return self->add(choice, token);
    };
    result.on_finish = [self, choice](const Finish& finish) { self->finish(choice, finish); };
    begin_prompt(request_.model.model->language, result);
    return result;
  }

  TokenScore score(int32_t id, float log_probability) const {
    TokenScore score;
    score.id = id;
    score.bytes = request_.model.model->language.tokenizer.token_bytes(id);
    score.log_probability = log_probability;
    return score;
  }

  TokenScore score(const GeneratedToken& token) const {
    TokenScore result = score(token.id, token.log_probability);
    for (const TokenProbability& other : token.top) {
      result.top.push_back(score(other.id, other.log_probability));
    }
    return result;
  }

  void add_first_of_prompt(size_t choice, int32_t id) {
    TokenScore first = score(id, 0);
    first.log_probability = std::nullopt;
    parts_[choice].unsent.push_back(std::move(first));
  }

  bool add(size_t choice, const GeneratedToken& token) {
    Part& part = parts_[choice];
    const Clock::time_point now = Clock::now();
    if (part.last_token) {
      metrics_.observe_token_gap(seconds_between(*part.last_token, now));
    } else if (!first_token_) {
      first_token_ = now;
      metrics_.observe_first_token(seconds_between(begun_, now));
    }
    part.last_token = now;
    if (request_.scores) part.unsent.push_back(score(token));
    const AnswerDelta delta = part.reader.add(token.id);
    if (!delta.reasoning.empty()) ++answer_.usage.reasoning_tokens;
    tell(choice, delta);
    return !part.reader.stopped();
  }

  /// Adds to the answer what became certain, and sends it.
  void tell(size_t choice, const AnswerDelta& delta) {
    Part& part = parts_[choice];
    if (delta.empty()) return;
    Choice& told = answer_.choices[choice];
    told.reasoning += delta.reasoning;
    told.content += delta.content;
    for (const ToolCallDelta& call : delta.tool_calls) {
      const auto index = static_cast<size_t>(call.index);
      if (index >= told.tool_calls.size()) told.tool_calls.resize(index + 1);
      if (!call.id.empty()) told.tool_calls[index] = {call.id, call.name, ""};
      told.tool_calls[index].arguments += call.arguments;
    }
    send(choice, delta);
    part.unsent.clear();
  }

  void send(size_t choice, const AnswerDelta& delta) {
    const std::vector<TokenScore>& scores = parts_[choice].unsent;
    if (request_.stream) exchange_.write(writer_->add(answer_, {choice, delta, scores}));
    std::vector<TokenScore>& kept = answer_.choices[choice].scores;
    kept.insert(kept.end(), scores.begin(), scores.end());
  }

  void finish(size_t choice, const Finish& finish) {
    Part& part = parts_[choice];
    part.finished = true;
    if (choice % static_cast<size_t>(request_.n) == 0) {
      answer_.usage.cached_tokens += finish.cached_prompt_tokens;
    }
    answer_.usage.completion_tokens += finish.generated_tokens;
    metrics_.count_tokens(finish);
    tell(choice, part.reader.finish());
    if (!part.unsent.empty()) send(choice, {});
    part.unsent.clear();
    if (std::optional<ApiError> error = failure(finish)) return fail(*error);
    Choice& told = answer_.choices[choice];
    told.finish_reason = reason(part, told, finish);
    told.stop_sequence = part.reader.stop_string();
    if (request_.stream) exchange_.write(writer_->end_choice(answer_, choice));
    if (std::all_of(parts_.begin(), parts_.end(), [](const Part& p) { return p.finished; })) {
      complete();
    }
  }

  std::string reason(const Part& part, const Choice& choice, const Finish& finish) const {
    if (finish.reason == FinishReason::length && !part.reader.stopped()) return "length";
    if (!choice.tool_calls.empty() && !request_.named_call) return "tool_calls";
    return "stop";
  }

  static std::optional<ApiError> failure(const Finish& finish) {
    switch (finish.reason) {
      case FinishReason::deadline:
        return ApiError(504, "server_error", "timeout", "the request took longer than it may");
      case FinishReason::cancelled:
        return unavailable("the server has ended the request");
      case FinishReason::failed:
        return ApiError(500, "server_error", "failed", finish.error);
      default:
        return std::nullopt;
    }
  }

  /// The first failure ends the whole request.
  void fail(const ApiError& error) {
    if (std::exchange(ended_, true)) return;
    cancel();
    if (request_.stream) {
      exchange_.write(writer_->error(error));
      exchange_.finish();
    } else {
      exchange_.respond(error_response(error, writer_->error_json(error)));
    }
  }

  void complete() {
    if (std::exchange(ended_, true)) return;
    const Clock::time_point now = Clock::now();
    const Clock::time_point first = first_token_.value_or(now);
    answer_.usage.prefill_seconds = seconds_between(begun_, first);
    answer_.usage.decode_seconds = seconds_between(first, now);
    if (on_answer_) on_answer_(answer_);  // first: what a client has been told is on record
    if (request_.stream) {
      exchange_.write(writer_->end(answer_));
      exchange_.finish();
    } else {
      http::Response response{200, headers_, to_json_text(writer_->whole(answer_))};
      response.headers.set("Content-Type", "application/json");
      exchange_.respond(std::move(response));
    }
  }

  Engine& engine_;
  Metrics& metrics_;
  http::Exchange exchange_;
  http::Headers headers_;
  AnswerRequest request_;
  std::unique_ptr<AnswerWriter> writer_;
  OnAnswer on_answer_;
  Answer answer_;
  std::vector<Part> parts_;
  std::vector<Ticket> tickets_;
  Clock::time_point begun_;
  std::optional<Clock::time_point> first_token_;
  bool ended_ = false;
};

void check(const AnswerRequest& request) {
  const ServedModel& model = *request.model.model;
  try {
    require_causal(model.language.model->config());
  } catch (const Error& error) {
    throw invalid_request("model", error.what());
  }
  const int64_t vocab = model.language.model->config().vocab_size;
  for (const auto& [id, bias] : request.sampling.logit_bias) {
    if (id < vocab) continue;
    throw invalid_request("logit_bias",
                          fmt::format("names the token {}; ids are 0 to {}", id, vocab - 1));
  }
  for (const std::vector<int32_t>& prompt : request.prompts) {
    const auto length = static_cast<int64_t>(prompt.size());
    if (length == 0) throw invalid_request("prompt", "has no tokens");
    // One that fills the context may be scored still.
    if (length > model.context || (length == model.context && request.max_tokens != 0)) {
      throw invalid_request(
          request.chat ? "messages" : "prompt",
          fmt::format("the prompt has {} tokens; the model's context is {}", length, model.context),
          "context_length_exceeded");
    }
    for (int32_t id : prompt) {
      if (id >= 0 && id < vocab) continue;
      throw invalid_request("prompt",
                            fmt::format("has the token id {}; ids are 0 to {}", id, vocab - 1));
    }
  }
}

}  // namespace

std::string random_id() {
  static constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::string id;
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

void start_answer(Engine& engine, Metrics& metrics, http::Exchange exchange,
                  http::Headers extra_headers, AnswerRequest request,
                  std::unique_ptr<AnswerWriter> writer, OnAnswer on_answer) {
  check(request);
  std::make_shared<Running>(engine, metrics, std::move(exchange), std::move(extra_headers),
                            std::move(request), std::move(writer), std::move(on_answer))
      ->start();
}

}  // namespace millrace::serve
