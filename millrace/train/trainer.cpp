#include "millrace/train/trainer.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/interrupt.h"
#include "millrace/base/progress.h"
#include "millrace/base/thread_pool.h"
#include "millrace/generate/export.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/peak_rate.h"
#include "millrace/train/checkpoints.h"
#include "millrace/train/flops.h"
#include "millrace/train/gradients.h"
#include "millrace/train/heldout.h"
#include "millrace/train/inputs.h"
#include "millrace/train/report.h"
#include "millrace/train/schedule.h"
#include "millrace/train/training_state.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

RouterLosses router_losses(const ExpertsRecipe& recipe, const Model& model) {
  const float own = model.config().experts.balance_loss;
  return {recipe.balance_loss < 0 ? own : static_cast<float>(recipe.balance_loss),
          static_cast<float>(recipe.z_loss)};
}

double peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

std::vector<TrainedParameter> trained_parameters(LanguageModel& language_model) {
  Model& model = *language_model.model;
  if (language_model.adapter == nullptr) return train_all_weights(model);
  return train_adapter_only(model, *language_model.adapter);
}

/// Documents that do not fit into one sequence, and are cut (or truncated, in fine-tuning).
int64_t count_long_documents(const TokenDataset& dataset, int64_t sequence_length) {
  int64_t count = 0;
  for (int64_t i = 0; i < dataset.num_documents(); ++i) {
    if (static_cast<int64_t>(dataset.tokens(i).size()) - 1 > sequence_length) ++count;
  }
  return count;
}

/// The pieces of a data set whose examples fit the recipe's sequences.
std::vector<Piece> pieces_of(const DataRecipe& data, const TokenDataset& dataset,
                             const Objective& objective) {
  int64_t length = data.sequence_length;  // of a piece, which has a token more
  while (length > 0 && objective.most_inputs(length + 1) > data.sequence_length) --length;
  require(length > 0, "data.sequence_length: {} leaves no room for the objective's own tokens",
          data.sequence_length);
  return make_pieces(dataset, length, long_documents(data));
}

PieceStream training_stream(const Recipe& recipe, const TokenDataset& dataset,
                            const Objective& objective) {
  std::vector<Piece> pieces = pieces_of(recipe.data, dataset, objective);
  require(!pieces.empty(), "data.train: {} has nothing to learn from",
          fmt::join(recipe.data.train, ", "));
  return PieceStream(std::move(pieces), static_cast<uint64_t>(recipe.data.shuffle_seed));
}

/// The schedule with the number of steps that the epochs ask for.
ScheduleRecipe resolved_schedule(const Recipe& recipe, const PieceStream& stream) {
  ScheduleRecipe schedule = recipe.schedule;
  if (schedule.steps == 0) {
    schedule.steps = count_steps(stream, recipe.data.batch_tokens, recipe.data.epochs);
  }
  schedule.warmup_steps = std::min(schedule.warmup_steps, schedule.steps);
  return schedule;
}

/// One run while it is in memory.
class Training {
 public:
  Training(RunFolder& run, const TrainingOptions& options);
  TrainingResult go();

 private:
  void log_start();
  void step();
  void log_step();
  void evaluate();
  Json samples();
  void save();
  /// How pieces become examples; null: each next token, where it is scored.
  const Objective* objective() const {
    return objective_.options().kind == ObjectiveKind::causal ? nullptr : &objective_;
  }
  bool every(int64_t period) const { return period > 0 && state_.step % period == 0; }
  std::filesystem::path write_model();
  TrainingResult result() const;

  RunFolder& run_;
  const Recipe recipe_;
  const std::optional<Checkpoint> resumed_from_;
  LanguageModel language_model_;
  const TokenLengths lengths_;
  const Objective objective_;
  TokenDataset train_, heldout_;
  PieceStream stream_;
  std::vector<Piece> heldout_pieces_;
  ScheduleRecipe schedule_;
  Optimizer optimizer_;
  TrainingState state_;
  TrainingWorkspace training_workspace_;
  std::optional<Progress> progress_;
  double peak_rate_;

  // Of the last step, and since the last line of the log.
  LossSum loss_;
  double gradient_norm_ = 0;
  double flops_since_ = 0, seconds_since_ = 0;
  int64_t tokens_since_ = 0;
};

Training::Training(RunFolder& run, const TrainingOptions& options)
    : run_(run),
      recipe_(run.recipe()),
      resumed_from_(latest_checkpoint(run.path())),
      language_model_(open_model_to_train(recipe_, run.path(), resumed_from_)),
      lengths_(token_lengths(language_model_.tokenizer)),
      objective_(objective_of(recipe_.data, language_model_)),
      train_(open_dataset(recipe_.data, recipe_.data.train, language_model_,
                          run.path() / "train.tokens")),
      heldout_(open_dataset(recipe_.data, recipe_.data.heldout, language_model_,
                            run.path() / "heldout.tokens")),
      stream_(training_stream(recipe_, train_, objective_)),
      heldout_pieces_(
          first_pieces(pieces_of(recipe_.data, heldout_, objective_), recipe_.eval.tokens)),
      schedule_(resolved_schedule(recipe_, stream_)),
      optimizer_(recipe_.optimizer, trained_parameters(language_model_),
                 language_model_.model->arithmetic()),
      peak_rate_(peak_rate(language_model_.model->arithmetic(), num_threads())) {
  if (resumed_from_) {
    state_ = load_training_state(resumed_from_->path, optimizer_);
    stream_ = PieceStream(stream_.pieces(), static_cast<uint64_t>(recipe_.data.shuffle_seed),
                          state_.cursor);
  }
  if (options.show_progress) progress_.emplace(recipe_.name, schedule_.steps);
}

void Training::log_start() {
  run_.truncate_log(state_.step);
  prune_checkpoints(run_.path(), recipe_.checkpoint.keep);
  run_.log({{"step", state_.step},
            {"event", resumed_from_ ? "resumed" : "started"},
            {"steps", schedule_.steps},
            {"parameters", language_model_.model->num_parameters()},
            {"train_tokens", train_.num_tokens()},
            {"train_documents", train_.num_documents()},
            {"long_documents", count_long_documents(train_, recipe_.data.sequence_length)},
            {"heldout_tokens", heldout_.num_tokens()},
            {"threads", num_threads()},
            {"isa", isa_name(isa())},
            {"peak_flops", peak_rate_}});
}

void Training::step() {
  const Clock::time_point start = Clock::now();
  const std::vector<Piece> pieces = stream_.next_step(recipe_.data.batch_tokens);
  const GradientOptions options{recipe_.data.micro_batch_tokens, recipe_.recompute, objective(),
                                router_losses(recipe_.experts, *language_model_.model)};
  loss_ = accumulate_gradients(*language_model_.model, language_model_.adapter_map(), train_,
                               pieces, options, training_workspace_);
  require(
      std::isfinite(loss_.nll),
      "step {}: the loss is {}; resume with a lower optimizer.lr, or from an earlier checkpoint",
      state_.step + 1, loss_.nll);
  // Without a scored token there is no gradient, and the weights stay as they are.
  if (loss_.tokens > 0) gradient_norm_ = optimizer_.step(lr_factor(schedule_, state_.step));
  ++state_.step;
  state_.cursor = stream_.cursor();
  int64_t tokens = 0;
  for (const Piece& piece : pieces) tokens += piece.length();
  state_.tokens += tokens;
  tokens_since_ += tokens;
  const double seconds = seconds_since(start);
  seconds_since_ += seconds;
  state_.seconds += seconds;
  flops_since_ += step_flops(*language_model_.model, language_model_.adapter.get(), pieces);
}

void Training::log_step() {
  const double speed = static_cast<double>(tokens_since_) / seconds_since_;
  run_.log({{"step", state_.step},
            {"loss", loss_.mean()},
            {"lr", recipe_.optimizer.lr * lr_factor(schedule_, state_.step - 1)},
            {"grad_norm", gradient_norm_},
            {"epoch", state_.cursor.epoch},
            {"tokens", state_.tokens},
            {"tokens_per_second", speed},
            {"mfu", flops_since_ / seconds_since_ / peak_rate_},
            {"memory_bytes", peak_memory_bytes()},
            {"seconds", state_.seconds}});
  if (progress_) {
    progress_->update(state_.step,
                      fmt::format("loss {:.3f}  {:.0f} tokens/s", loss_.mean(), speed));
  }
  tokens_since_ = 0;
  flops_since_ = seconds_since_ = 0;
}

void Training::evaluate() {
  training_workspace_ = {};  // room for what follows
  Json line = {{"step", state_.step}};
  if (!heldout_pieces_.empty()) {
    Workspace workspace;
    // Whole texts are what models that continue them are compared by.
    const ObjectiveKind kind = objective_.options().kind;
    const bool whole = kind == ObjectiveKind::causal || kind == ObjectiveKind::fill_in_the_middle;
    HeldoutLoss heldout = heldout_loss(*language_model_.model, language_model_.adapter_map(),
                                       heldout_, heldout_pieces_, recipe_.data.micro_batch_tokens,
                                       lengths_, workspace, whole ? nullptr : &objective_);
    line["heldout_loss"] = heldout.loss.mean();
    line["heldout_bits_per_byte"] = heldout.bits_per_byte();
    line["heldout_bits_per_character"] = heldout.bits_per_character();
  }
  if (!recipe_.samples.prompts.empty()) line["samples"] = samples();
  if (line.size() > 1) run_.log(line);
}

Json Training::samples() {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<GenerationOptions> options;
  for (const std::string& text : recipe_.samples.prompts) {
    const bool chat = recipe_.task == "finetune";
    prompts.push_back(
        chat ? chat_prompt(language_model_, Json::array({{{"role", "user"}, {"content", text}}}))
             : language_model_.tokenizer.encode(text));
    GenerationOptions one;
    one.max_tokens = recipe_.samples.max_tokens;
    one.sampling.temperature = static_cast<float>(recipe_.samples.temperature);
    one.sampling.seed = static_cast<uint64_t>(recipe_.seed + state_.step) + prompts.size();
    options.push_back(std::move(one));
  }
  // Tokens come one by one, which reads every weight for each: packed, it is read as it is used.
  std::span<Parameter> parameters = language_model_.model->parameters();
  for (Parameter& parameter : parameters) {
    if (parameter.trained()) pack_for_running(parameter, parameter.arithmetic);
  }
  std::vector<Generation> generations = generate_all(language_model_, std::move(prompts), options);
  for (Parameter& parameter : parameters) {
    if (parameter.trained()) parameter.packed = {};
  }
  Json result = Json::array();
  for (size_t i = 0; i < generations.size(); ++i) {
    result.push_back({{"prompt", recipe_.samples.prompts[i]}, {"text", generations[i].text}});
  }
  return result;
}

void Training::save() {
  run_.sync_log();
  save_checkpoint(run_.path(), state_.step, [&](const std::filesystem::path& folder) {
    save_training_state(folder, language_model_, recipe_.model.init_from, optimizer_, state_);
  });
  prune_checkpoints(run_.path(), recipe_.checkpoint.keep);
}

std::filesystem::path Training::write_model() {
  const bool lora = language_model_.adapter != nullptr;
  const std::filesystem::path path = run_.path() / (lora ? "adapter" : "model");
  write_folder(path, [&](const std::filesystem::path& folder) {
    if (lora) {
      language_model_.adapter->save(folder, recipe_.model.init_from);
    } else {
      export_folder(language_model_, folder, language_model_.model->config().dtype);
    }
  });
  return path;
}

TrainingResult Training::result() const {
  const std::vector<Json> log = read_log(run_.path());
  TrainingResult result;
  result.finished = state_.step >= schedule_.steps;
  result.step = state_.step;
  result.steps = schedule_.steps;
  result.loss = last_number(log, "loss").value_or(0);
  result.heldout_loss = last_number(log, "heldout_loss");
  result.heldout_bits_per_byte = last_number(log, "heldout_bits_per_byte");
  result.heldout_bits_per_character = last_number(log, "heldout_bits_per_character");
  return result;
}

TrainingResult Training::go() {
  Interrupt interrupt;
  log_start();
  while (state_.step < schedule_.steps && !interrupt.requested()) {
    step();
    const bool last = state_.step == schedule_.steps;
    if (last || state_.step == 1 || every(recipe_.log_every)) log_step();
    if (last || every(recipe_.eval.every)) evaluate();
    if (last || every(recipe_.checkpoint.every)) save();
  }
  TrainingResult done = result();
  if (done.finished) {
    done.model = write_model();
  } else {
    save();
  }
  write_report(run_.path());
  return done;
}

}  // namespace

TrainingResult train(RunFolder& run, const TrainingOptions& options) {
  return Training(run, options).go();
}

}  // namespace millrace
