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
  return reason == FinishReason::stop ? "stop" : "length";
}

Scheduler::Scheduler(Model& model, const SchedulerOptions& options, const LowRankMap* adapter)
    : model_(model),
      options_(options),
      adapter_(adapter),
      cache_(layout_of(model), max_blocks(model, options)) {}

int64_t Scheduler::positions_needed(const SequenceRequest& request) const {
  const int64_t context = model_.config().max_position_embeddings;
  const auto length = static_cast<int64_t>(request.prompt.size());
  return length + std::min(request.max_tokens, context - length);
}

void Scheduler::submit(SequenceRequest request) {
  const ModelConfig& config = model_.config();
  const auto length = static_cast<int64_t>(request.prompt.size());
  require(length > 0, "the prompt has no tokens");
  require(length < config.max_position_embeddings,
          "the prompt has {} tokens; the model's context is {}", length,
          config.max_position_embeddings);
  require(request.max_tokens > 0, "max_tokens is {}; it must be positive", request.max_tokens);
  require(CacheLayout::blocks_for(positions_needed(request)) <= cache_.max_blocks(),
          "prompt and answer need {} positions of cache; there are {}", positions_needed(request),
          cache_.max_blocks() * kPageSize);
  for (int32_t id : request.prompt) {
    require(id >= 0 && id < config.vocab_size, "the prompt has the token id {}; ids are 0 to {}",
            id, config.vocab_size - 1);
  }
  validate(request.sampling, config.vocab_size);
  waiting_.push_back(std::move(request));
}

void Scheduler::admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < options_.max_sequences) {
    SequenceBlocks blocks;
    // All that a sequence may need is taken at once, so that none ever waits for blocks midway.
    if (!cache_.extend(blocks, positions_needed(waiting_.front()))) return;
    SequenceRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    Sampler sampler(request.sampling, request.prompt);
    std::vector<int32_t> tokens = request.prompt;
    running_.push_back(std::make_unique<Sequence>(
        Sequence{std::move(request), std::move(sampler), std::move(blocks), std::move(tokens)}));
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
  batch_blocks_.push_back(&sequence.blocks);
  sequence.processed += count;
  if (sequence.processed < length) return;
  logit_rows_.push_back(batch_.num_tokens() - 1);
  logit_sequences_.push_back(&sequence);
}

void Scheduler::build_batch() {
  batch_.clear();
  batch_blocks_.clear();
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
  cache_.release(sequence.blocks);
  if (sequence.request.on_finish) sequence.request.on_finish(reason);
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
  if (request.on_token && !request.on_token(id, sequence.sampler.log_probability())) {
    return finish(sequence, FinishReason::stop);
  }
  const auto length = static_cast<int64_t>(sequence.tokens.size());
  if (sequence.generated >= request.max_tokens ||
      length >= model_.config().max_position_embeddings) {
    finish(sequence, FinishReason::length);
  }
}

bool Scheduler::step() {
  admit();
  if (running_.empty()) return false;
  settle_weights(model_, kSettledPerStep);
  build_batch();
  EvaluatingContext context(batch_, cache_.layout(), batch_blocks_, workspace_);
  context.set_adapter(adapter_);
  Value out = logits(context, model_, logit_rows_);
  const auto vocab = static_cast<size_t>(out.width());
  for (size_t i = 0; i < logit_sequences_.size(); ++i) {
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
