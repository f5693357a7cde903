#include "millrace/serve/engine.h"

#include <algorithm>

#include "millrace/serve/api_error.h"

namespace millrace::serve {

ServedModel::ServedModel(std::string model_name, LanguageModel opened,
                         const SchedulerOptions& options)
    : name(std::move(model_name)),
      language(std::move(opened)),
      syntax(chat_syntax(language)),
      end_ids(language.end_ids()),
      context(language.model->config().max_position_embeddings),
      grammars(std::make_shared<TokenTrie>(language.tokenizer, end_ids,
                                           language.model->config().vocab_size)),
      scheduler(*language.model, options) {}

Engine::Engine(int64_t max_pending, std::function<void(const std::string&)> on_problem)
    : max_pending_(max_pending), on_problem_(std::move(on_problem)), thread_([this] { run(); }) {}

Engine::~Engine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::vector<Ticket> Engine::reserve(size_t count) {
  if (static_cast<int64_t>(count) > max_pending_) {
    throw invalid_request("n", fmt::format("{} answers are asked for; {} are the most at a time",
                                           count, max_pending_));
  }
  std::lock_guard lock(mutex_);
  if (pending_ + static_cast<int64_t>(count) > max_pending_) {
    const double wait = mean_seconds_ * static_cast<double>(pending_) /
                        static_cast<double>(std::max<int64_t>(max_pending_, 1));
    throw overloaded(std::clamp(static_cast<int>(wait) + 1, 1, 60));
  }
  pending_ += static_cast<int64_t>(count);
  std::vector<Ticket> tickets(count);
  for (Ticket& ticket : tickets) ticket = ++last_ticket_;
  return tickets;
}

void Engine::submit(std::vector<Ticket> tickets, std::shared_ptr<ServedModel> model,
                    std::vector<SequenceRequest> requests) {
  // std::function wants what it holds to be copyable.
  auto shared = std::make_shared<std::vector<SequenceRequest>>(std::move(requests));
  post([this, tickets = std::move(tickets), model = std::move(model), shared] {
    for (size_t i = 0; i < tickets.size(); ++i) begin(tickets[i], model, std::move((*shared)[i]));
  });
}

void Engine::release(const std::vector<Ticket>& tickets) {
  std::lock_guard lock(mutex_);
  pending_ -= static_cast<int64_t>(tickets.size());
}

void Engine::cancel(Ticket ticket) {
  post([this, ticket] {
    auto found = running_.find(ticket);
    if (found == running_.end()) return;
    const Running running = found->second;  // finishing removes it
    running.model->scheduler.cancel(running.id);
  });
}

void Engine::cancel_all() {
  post([this] {
    for (const auto& model : active_) cancel_all(*model);
  });
}

void Engine::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  wake_.notify_one();
}

int64_t Engine::pending() const {
  std::lock_guard lock(mutex_);
  return pending_;
}

std::map<std::string, SchedulerState> Engine::states() const {
  std::lock_guard lock(mutex_);
  return states_;
}

void Engine::begin(Ticket ticket, std::shared_ptr<ServedModel> model, SequenceRequest request) {
  auto start = std::chrono::steady_clock::now();
  auto told = [this, ticket, start, tell = std::move(request.on_finish)](const Finish& finish) {
    {
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      std::lock_guard lock(mutex_);
      mean_seconds_ += 0.1 * (seconds.count() - mean_seconds_);
    }
    if (tell) tell(finish);
    finished(ticket);
  };
  request.on_finish = told;
  try {
    const RequestId id = model->scheduler.submit(std::move(request));
    running_.emplace(ticket, Running{model, id});
    if (std::find(active_.begin(), active_.end(), model) == active_.end()) {
      active_.push_back(std::move(model));
    }
  } catch (const Error& error) {
    Finish refused;
    refused.reason = FinishReason::failed;
    refused.error = error.what();
    told(refused);
  }
}

void Engine::finished(Ticket ticket) {
  running_.erase(ticket);
  std::lock_guard lock(mutex_);
  --pending_;
}

void Engine::cancel_all(ServedModel& model) {
  std::vector<RequestId> ids;
  for (const auto& [ticket, running] : running_) {
    if (running.model.get() == &model) ids.push_back(running.id);
  }
  for (RequestId id : ids) model.scheduler.cancel(id);
  model.scheduler.step();  // lets go of them, who hold their model
}

void Engine::publish(const ServedModel& model) {
  const SchedulerState state = model.scheduler.state();
  std::lock_guard lock(mutex_);
  states_[model.name] = state;
}

/// Waits for something to do. False: it is time to stop.
bool Engine::take_work() {
  std::vector<std::function<void()>> work;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return stopping_ || !work_.empty() || !active_.empty(); });
    if (stopping_) return false;
    work.swap(work_);
  }
  for (auto& one : work) {
    try {
      one();
    } catch (const std::exception& error) {
      on_problem_(error.what());
    }
  }
  return true;
}

void Engine::step_models() {
  std::erase_if(active_, [&](const std::shared_ptr<ServedModel>& model) {
    bool more = false;
    try {
      more = model->scheduler.step();
    } catch (const std::exception& error) {
      on_problem_(fmt::format("{}: {}", model->name, error.what()));
      cancel_all(*model);
    }
    publish(*model);
    return !more;
  });
}

void Engine::run() {
  while (take_work()) step_models();
  for (const auto& model : active_) cancel_all(*model);
}

}  // namespace millrace::serve
