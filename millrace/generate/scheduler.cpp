// What goes through the model, and what comes of it. Who runs at all: admission.cpp.
#include "millrace/generate/scheduler.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "millrace/base/error.h"
#include "millrace/generate/likeliest.h"
#include "millrace/kernels/loss.h"
#include "millrace/model/settle_weights.h"

namespace millrace {
namespace {

constexpr size_t kSettledPerStep = size_t{32} << 20;  // bytes of weights: some 5 ms
constexpr int32_t kMaxTopLogProbabilities = 1000;

int64_t max_blocks(const Model& model, const SchedulerOptions& options) {
  return CacheLayout::blocks_for(options.max_positions > 0
                                     ? options.max_positions
                                     : 8 * model.config().max_position_embeddings);
}

/// A limit that was asked for may be used up; without one only so much is kept that is of no use
/// now.
int64_t max_kept_blocks(const Model& model, const SchedulerOptions& options) {
  constexpr size_t kBytes = size_t{256} << 20;
  const int64_t all = max_blocks(model, options);
  if (options.max_positions > 0) return all;
  return std::min(all, static_cast<int64_t>(kBytes / model.cache_layout().block_bytes()));
}

/// Rows of logits held at a time: some 32 MB of them, and as many as run together, as a rule.
int64_t rows_at_once(int64_t vocab) {
  return std::max<int64_t>(64, (int64_t{1} << 23) / vocab);
}

void validate(const SequenceRequest& request, const ModelConfig& config) {
  require_causal(config);
  const auto length = static_cast<int64_t>(request.prompt.size());
  require(length > 0, "the prompt has no tokens");
  const int64_t room = config.max_position_embeddings - length;
  require(room > 0 || (room == 0 && request.max_tokens == 0),
          "the prompt has {} tokens; the model's context is {}", length,
          config.max_position_embeddings);
  for (int32_t id : request.prompt) {
    require(id >= 0 && id < config.vocab_size, "the prompt has the token id {}; ids are 0 to {}",
            id, config.vocab_size - 1);
  }
  require(request.prefix >= 0 && request.prefix <= length,
          "the prefix has {} of the prompt's {} tokens", request.prefix, length);
  require(request.blank < 0 || (request.blank < request.prefix && request.prefix < length),
          "the blank to fill is token {} of a prefix of {}; one token at least must be behind it",
          request.blank, request.prefix);
  require(!request.prompt_log_probabilities || request.prefix == 0,
          "the prompt's tokens see what comes behind them: they have no log-probabilities");
  require(request.max_tokens > 0 || (request.max_tokens == 0 && request.prompt_log_probabilities),
          "max_tokens is {}; it must be positive", request.max_tokens);
  require(request.top_log_probabilities >= 0 &&
              request.top_log_probabilities <= kMaxTopLogProbabilities,
          "top_log_probabilities is {}; it must be between 0 and {}", request.top_log_probabilities,
          kMaxTopLogProbabilities);
  validate(request.sampling, config.vocab_size);
}

/// A prompt for an encoder-decoder is what its encoder reads.
void begin_target(SequenceRequest& request, const ModelConfig& config) {
  if (!config.has_encoder() || request.prompt.empty()) return;
  request.prefix = static_cast<int64_t>(request.prompt.size());
  request.prompt.push_back(config.decoder_start_token_id);
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::deadline:
      return "deadline";
    case FinishReason::failed:
      return "failed";
  }
  return "";
}

Scheduler::Scheduler(Model& model, const SchedulerOptions& options)
    : model_(model),
      options_(options),
      cache_(model.cache_layout(), max_blocks(model, options), max_kept_blocks(model, options)) {
  require(options.tokens_per_batch > 0, "tokens_per_batch is {}; it must be positive",
          options.tokens_per_batch);
  require(options.max_sequences > 0, "max_sequences is {}; it must be positive",
          options.max_sequences);
  if (cache_.layout().num_states > 0) {  // a state does not go back, nor is it that of a beginning
    options_.share_prefixes = false;
    options_.max_draft_tokens = 0;
  }
  if (options.draft_model == nullptr || options_.max_draft_tokens == 0) return;
  require(!model.config().has_encoder() && !options.draft_model->config().has_encoder(),
          "an encoder-decoder cannot be drafted for, nor draft");
  require(options.draft_model->config().num_linear_layers() == 0,
          "a {} model cannot draft for another: its states do not go back behind a wrong guess",
          options.draft_model->config().model_type);
  require(options.draft_model->config().vocab_size == model.config().vocab_size,
          "the draft model has {} tokens, the model {}; they must have the same vocabulary",
          options.draft_model->config().vocab_size, model.config().vocab_size);
  draft_model_ = std::make_unique<DraftModel>(*options.draft_model, cache_.max_blocks(),
                                              options.tokens_per_batch);
}

double Scheduler::seconds_since(TimePoint start) const {
  return std::chrono::duration<double>(options_.clock() - start).count();
}

RequestId Scheduler::submit(SequenceRequest request) {
  begin_target(request, model_.config());
  validate(request, model_.config());
  auto sequence = std::make_unique<Sequence>(last_id_ + 1, std::move(request));
  sequence->scope.rope_length = rope_length(*sequence);
  const int64_t positions = positions_needed(*sequence);
  require(CacheLayout::blocks_for(positions) <= cache_.max_blocks(),
          "prompt and answer need {} positions of cache; there are {}", positions,
          cache_.max_blocks() * kPageSize);
  if (sequence->request.deadline) deadlines_.emplace(*sequence->request.deadline, sequence->id);
  queue_.enter(std::move(sequence));
  ++changes_;
  return ++last_id_;
}

bool Scheduler::cancel(RequestId id) {
  return end(id, FinishReason::cancelled);
}

bool Scheduler::end(RequestId id, FinishReason reason) {
  if (std::unique_ptr<Sequence> waiting = queue_.take(id)) {
    finish(*waiting, reason);
    return true;
  }
  for (const auto& sequence : running_) {
    if (sequence->id != id || sequence->state != Sequence::State::running) continue;
    finish(*sequence, reason);
    return true;
  }
  return false;
}

SchedulerState Scheduler::state() const {
  SchedulerState state = counts_;
  state.waiting = static_cast<int64_t>(queue_.size());
  for (const auto& s : running_) state.running += s->state == Sequence::State::running;
  state.max_blocks = cache_.max_blocks();
  state.used_blocks = cache_.max_blocks() - cache_.free_blocks();
  state.kept_blocks = cache_.kept_blocks();
  return state;
}

bool Scheduler::shares(const Sequence& sequence) const {
  // Keys and values of tokens that see what comes behind them are of one text alone.
  return options_.share_prefixes && sequence.request.reuse_prefix && sequence.request.prefix == 0;
}

/// Gives back what a sequence holds.
void Scheduler::release(Sequence& sequence) {
  cache_.release(sequence.cache);
  if (draft_model_ != nullptr) draft_model_->release(sequence);
  sequence.processed = 0;
}

/// Lets others find what has been computed of a sequence.
void Scheduler::remember(Sequence& sequence) {
  if (!shares(sequence)) return;
  const int64_t known = std::min(sequence.processed, sequence.length());
  cache_.enter(sequence.cache, sequence.scope,
               std::span<const int32_t>(sequence.tokens).first(static_cast<size_t>(known)));
}

void Scheduler::finish(Sequence& sequence, FinishReason reason, std::string error) {
  if (sequence.state == Sequence::State::running) {
    if (reason != FinishReason::failed) remember(sequence);
    --sequence.client->running;
  }
  sequence.state = Sequence::State::finished;
  learn(sequence);
  release(sequence);
  queue_.leave(sequence);
  if (sequence.request.deadline) deadlines_.erase({*sequence.request.deadline, sequence.id});
  ++changes_;
  if (!sequence.request.on_finish) return;
  Finish finish;
  finish.reason = reason;
  finish.error = std::move(error);
  finish.prompt_tokens = sequence.prompt_length();
  finish.cached_prompt_tokens = std::max<int64_t>(0, sequence.cached_prompt_tokens);
  finish.generated_tokens = sequence.generated;
  finish.drafted_tokens = sequence.all_guesses;
  finish.accepted_tokens = sequence.all_accepted;
  sequence.request.on_finish(finish);
}

void Scheduler::build_batch() {
  plan_.clear();
  prefilling_.clear();
  int64_t left = options_.tokens_per_batch;
  // Who only needs a next token goes first, so that a long prompt keeps nobody waiting.
  for (const auto& sequence : running_) {
    if (sequence->length() - sequence->processed > 1) {
      prefilling_.push_back(sequence.get());
      continue;
    }
    plan_.emplace_back(sequence.get(), 1);
    left -= 1 + sequence->drafted;
  }
  std::sort(prefilling_.begin(), prefilling_.end(),
            [](const Sequence* a, const Sequence* b) { return goes_before(*a, *b); });
  left = std::max<int64_t>(left, 1);
  for (Sequence* sequence : prefilling_) {
    if (left <= 0) break;
    const int64_t all = sequence->length() - sequence->processed;
    const int64_t prefix = sequence->processed == 0 ? sequence->request.prefix : 0;
    const int64_t count = std::min(all, std::max(left, prefix + 1));  // prefixes are not cut
    plan_.emplace_back(sequence, count);
    left -= count;
  }
  // Neighbours of the same adapter share its products.
  std::sort(plan_.begin(), plan_.end(), [](const auto& a, const auto& b) {
    const auto* x = a.first->request.adapter.get();
    const auto* y = b.first->request.adapter.get();
    return x != y ? std::less<>()(x, y) : a.first->id < b.first->id;
  });
  batch_.clear();
  for (const auto& [sequence, count] : plan_) {
    batch_.add(*sequence, count);
    sequence->client->served += count;
  }
}

void Scheduler::run_batch() {
  EvaluatingContext context(batch_.tokens, cache_.layout(), batch_.blocks, workspace_,
                            batch_.states);
  context.set_adapters(batch_.adapters);
  Value hidden = model_.family().forward(context, model_);
  ++counts_.batches;
  counts_.batch_tokens += batch_.tokens.num_tokens();
  for (const SequenceBatch::Part& part : batch_.parts) part.sequence->processed += part.count;
  read_logits(context, hidden);
  for (const SequenceBatch::Part& part : batch_.parts) {
    Sequence& sequence = *part.sequence;
    if (sequence.state != Sequence::State::running) continue;
    remember(sequence);
    learn(sequence);
    if (sequence.request.max_tokens == 0 && sequence.processed == sequence.prompt_length()) {
      finish(sequence, FinishReason::length);
    }
  }
}

void Scheduler::read_logits(Context& context, const Value& hidden) {
  const auto vocab = static_cast<size_t>(model_.config().vocab_size);
  const std::span<const SequenceBatch::LogitRow> all(batch_.logit_rows);
  const auto most = static_cast<size_t>(rows_at_once(model_.config().vocab_size));
  for (size_t begin = 0; begin < all.size(); begin += most) {
    const auto rows = all.subspan(begin, std::min(most, all.size() - begin));
    row_numbers_.clear();
    for (const SequenceBatch::LogitRow& row : rows) row_numbers_.push_back(row.row);
    Value logits = head_logits(context, model_, context.gather_rows(hidden, row_numbers_));
    for (size_t i = 0; i < rows.size(); ++i) {
      read_row(rows[i], logits.data.f32().subspan(i * vocab, vocab));
    }
  }
}

void Scheduler::read_row(const SequenceBatch::LogitRow& row, std::span<float> logits) {
  SequenceBatch::Part& part = batch_.parts[row.part];
  Sequence& sequence = *part.sequence;
  if (sequence.state != Sequence::State::running || part.guessed_wrong) return;
  sequence.processed = std::max(sequence.processed, row.position + 1);
  try {
    if (row.position + 1 < sequence.prompt_length()) {
      score_prompt_token(sequence, static_cast<size_t>(row.position) + 1, logits);
    } else {
      sample(part, logits);
    }
  } catch (const std::exception& error) {
    // What is wrong with one sequence ends only that one.
    if (sequence.state == Sequence::State::running) {
      finish(sequence, FinishReason::failed, error.what());
    }
  }
}

void Scheduler::score_prompt_token(Sequence& sequence, size_t index,
                                   std::span<const float> logits) {
  const float total = log_sum_exp(logits.data(), static_cast<int64_t>(logits.size()));
  require(std::isfinite(total), "the model's logits are not finite numbers");
  ++sequence.prompt_scored;
  token_.id = sequence.tokens[index];
  token_.log_probability = logits[static_cast<size_t>(token_.id)] - total;
  likeliest(logits, total, sequence.request.top_log_probabilities, token_.top);
  if (sequence.request.on_prompt_token) sequence.request.on_prompt_token(index, token_);
}

void Scheduler::sample(SequenceBatch::Part& part, std::span<float> logits) {
  Sequence& sequence = *part.sequence;
  const SequenceRequest& request = sequence.request;
  const float total = log_sum_exp(logits.data(), static_cast<int64_t>(logits.size()));
  likeliest(logits, total, request.top_log_probabilities, token_.top);
  std::span<const uint64_t> allowed;
  if (request.constraint) allowed = request.constraint->allowed();
  const int32_t id = sequence.sampler.next(logits, total, allowed);
  if (std::find(request.end_ids.begin(), request.end_ids.end(), id) != request.end_ids.end()) {
    return finish(sequence, FinishReason::stop);
  }
  if (request.constraint) request.constraint->accept(id);
  const auto place = static_cast<size_t>(sequence.length());
  if (sequence.drafted > 0 && sequence.tokens[place] == id) {
    --sequence.drafted;
    ++sequence.accepted;
  } else {
    sequence.tokens.resize(place);
    sequence.tokens.push_back(id);
    sequence.drafted = 0;
    part.guessed_wrong = true;
  }
  ++sequence.generated;
  ++counts_.generated_tokens;
  token_.id = id;
  token_.log_probability = sequence.sampler.log_probability();
  const bool goes_on = !request.on_token || request.on_token(token_);
  if (sequence.state != Sequence::State::running) return;
  if (!goes_on) return finish(sequence, FinishReason::stop);
  if (sequence.generated >= request.max_tokens ||
      sequence.length() >= model_.config().max_position_embeddings) {
    finish(sequence, FinishReason::length);
  }
}

bool Scheduler::step() {
  expire();
  turn_anew();
  sweep();
  admit();
  if (running_.empty()) return false;
  if (counts_.batches > 0) {  // a first token does not wait for that
    settle_weights(model_, kSettledPerStep);
    if (draft_model_ != nullptr) settle_weights(*options_.draft_model, kSettledPerStep);
  }
  grow();
  speculate();
  build_batch();
  // What a pass costs matters to speculation, and only passes that have no prompts tell.
  const bool timed = options_.max_draft_tokens > 0 && prefilling_.empty();
  const TimePoint start = timed ? options_.clock() : TimePoint();
  run_batch();
  if (timed) cost_.add(batch_.tokens.num_tokens(), seconds_since(start));
  return true;
}

void Scheduler::run() {
  while (step()) {
  }
}

}  // namespace millrace
