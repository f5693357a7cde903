#include "millrace/generate/scheduler.h"

#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/model/weight_cache.h"

namespace millrace {
namespace {

constexpr size_t kSettledPerStep = size_t{32} << 20;  // bytes of weights: some 5 ms

CacheLayout layout_of(const Model& model) {
  return cache_layout(model.config().attention_shape(), model.cache_dtype(),
                      model.config().num_layers);
}

int64_t max_blocks(const Model& model, const SchedulerOptions& options) {
  return CacheLayout::blocks_for(options.max_positions > 0
                                     ? options.max_positions
                                     : 8 * model.config().max_position_embeddings);
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
    : model_(model), options_(options), cache_(layout_of(model), max_blocks(model, options)) {}

int64_t Scheduler::positions_needed(const SequenceRequest& request) const {
  const int64_t context = model_.config().max_position_embeddings;
  const auto length = static_cast<int64_t>(request.prompt.size());
  return length + std::min(request.max_tokens, context - length);
}

RequestId Scheduler::submit(SequenceRequest request) {
  const ModelConfig& config = model_.config();
  const auto length = static_cast<int64_t>(request.prompt.size());
  require(length > 0, "the prompt has no tokens");
  require(length < config.max_position_embeddings,
          "the prompt has {} tokens; the model's context is {}", length,
          config.max_position_embeddings);
  require(request.max_tokens > 0 || (request.max_tokens == 0 && request.prompt_log_probabilities),
          "max_tokens is {}; it must be positive", request.max_tokens);
  require(request.top_log_probabilities >= 0 && request.top_log_probabilities <= 1000,
          "top_log_probabilities is {}; it must be between 0 and 1000",
          request.top_log_probabilities);
  require(CacheLayout::blocks_for(positions_needed(request)) <= cache_.max_blocks(),
          "prompt and answer need {} positions of cache; there are {}", positions_needed(request),
          cache_.max_blocks() * kPageSize);
  for (int32_t id : request.prompt) {
    require(id >= 0 && id < config.vocab_size, "the prompt has the token id {}; ids are 0 to {}",
            id, config.vocab_size - 1);
  }
  validate(request.sampling, config.vocab_size);
  auto sequence =
      std::make_unique<Sequence>(Sequence{++last_id_, std::move(request), Sampler({}, {}), {}, {}});
  sequence->sampler = Sampler(sequence->request.sampling, sequence->request.prompt);
  sequence->tokens = sequence->request.prompt;
  waiting_.push_back(std::move(sequence));
  return last_id_;
}

bool Scheduler::cancel(RequestId id) {
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (waiting_[i]->id != id) continue;
    std::unique_ptr<Sequence> sequence = std::move(waiting_[i]);
    waiting_.erase(waiting_.begin() + static_cast<int64_t>(i));
    finish(*sequence, FinishReason::cancelled);
    return true;
  }
  for (auto& sequence : running_) {
    if (sequence->id != id || sequence->finished) continue;
    finish(*sequence, FinishReason::cancelled);
    return true;
  }
  return false;
}

SchedulerState Scheduler::state() const {
  SchedulerState state = counts_;
  state.waiting = static_cast<int64_t>(waiting_.size());
  state.running = static_cast<int64_t>(running_.size());
  state.max_blocks = cache_.max_blocks();
  state.used_blocks = cache_.max_blocks() - cache_.free_blocks();
  return state;
}

void Scheduler::admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < options_.max_sequences) {
    Sequence& first = *waiting_.front();
    // All that a sequence may need is taken at once, so that none ever waits for blocks midway.
    if (!cache_.extend(first.cache, positions_needed(first.request))) return;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::add_to_batch(Sequence& sequence, int64_t max_tokens) {
  const auto length = static_cast<int64_t>(sequence.tokens.size());
  const int64_t count = std::min(length - sequence.processed, max_tokens);
  if (count <= 0) return;
  std::span<const int32_t> tokens(sequence.tokens);
  batch_.add_sequence(
      tokens.subspan(static_cast<size_t>(sequence.processed), static_cast<size_t>(count)),
      static_cast<int32_t>(sequence.processed));
  batch_blocks_.push_back(&sequence.cache.blocks);
  batch_adapters_.push_back(sequence.request.adapter.get());
  sequence.processed += count;
  if (sequence.processed < length) return;
  logit_rows_.push_back(batch_.num_tokens() - 1);
  logit_sequences_.push_back(&sequence);
}

void Scheduler::build_batch() {
  batch_.clear();
  batch_blocks_.clear();
  batch_adapters_.clear();
  logit_rows_.clear();
  logit_sequences_.clear();
  // Who only needs a next token goes first, so that a long prompt keeps nobody waiting.
  for (auto& sequence : running_) {
    if (sequence->generated > 0) add_to_batch(*sequence, 1);
  }
  for (auto& sequence : running_) {
    if (sequence->generated == 0) {
      add_to_batch(*sequence, options_.tokens_per_batch - batch_.num_tokens());
    }
  }
}

void Scheduler::finish(Sequence& sequence, FinishReason reason) {
  sequence.finished = true;
  cache_.release(sequence.cache);
  Finish finish;
  finish.reason = reason;
  finish.prompt_tokens = static_cast<int64_t>(sequence.request.prompt.size());
  finish.generated_tokens = sequence.generated;
  if (sequence.request.on_finish) sequence.request.on_finish(finish);
}

void Scheduler::advance(Sequence& sequence, std::span<float> logits) {
  const SequenceRequest& request = sequence.request;
  const int32_t id = sequence.sampler.next(logits);
  const std::vector<int32_t>& ends = request.end_ids;
  if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
    return finish(sequence, FinishReason::stop);
  }
  ++sequence.generated;
  sequence.tokens.push_back(id);
  if (request.on_token && !request.on_token({id, sequence.sampler.log_probability(), {}})) {
    return finish(sequence, FinishReason::stop);
  }
  const auto length = static_cast<int64_t>(sequence.tokens.size());
  if (sequence.generated >= request.max_tokens ||
      length >= model_.config().max_position_embeddings) {
    finish(sequence, FinishReason::length);
  }
}

bool Scheduler::step() {
  std::erase_if(running_, [](const auto& sequence) { return sequence->finished; });
  admit();
  if (running_.empty()) return false;
  settle_weights(model_, kSettledPerStep);
  build_batch();
  EvaluatingContext context(batch_, cache_.layout(), batch_blocks_, workspace_);
  context.set_adapters(batch_adapters_);
  Value out = logits(context, model_, logit_rows_);
  const auto vocab = static_cast<size_t>(out.width());
  for (size_t i = 0; i < logit_sequences_.size(); ++i) {
    if (!logit_sequences_[i]->finished)
      advance(*logit_sequences_[i], out.data.f32().subspan(i * vocab, vocab));
  }
  std::erase_if(running_, [](const auto& sequence) { return sequence->finished; });
  return true;
}

void Scheduler::run() {
  while (step()) {
  }
}

}  // namespace millrace
