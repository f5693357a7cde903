// The thread that runs the models: takes requests, steps each model's scheduler in turn.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "millrace/serve/served_model.h"

namespace millrace::serve {

/// One sequence that was submitted.
using Ticket = uint64_t;

/// Any thread may call it; callbacks of requests come on its own.
class Engine {
 public:
  /// At most `max_pending` sequences wait or run; `on_problem` is told of failures.
  Engine(int64_t max_pending, std::function<void(const std::string&)> on_problem);
  /// Cancels what is left.
  ~Engine();

  /// Makes room for `count` sequences. Throws ApiError 429 when too many are there already, 400
  /// when there never is room for so many.
  std::vector<Ticket> reserve(size_t count);
  /// The sequences of one request, for which `tickets` were reserved: they begin together, so that
  /// a cancel that comes after this reaches all. A sequence's place is free again when it finishes;
  /// one that the scheduler refuses finishes as `failed`.
  void submit(std::vector<Ticket> tickets, std::shared_ptr<ServedModel> model,
              std::vector<SequenceRequest> requests);
  void cancel(Ticket ticket);
  /// All that wait or run.
  void cancel_all();
  /// Gives reserved places back that nothing was submitted for.
  void release(const std::vector<Ticket>& tickets);

  /// Runs `work` between two steps.
  void post(std::function<void()> work);

  /// Sequences that wait or run.
  int64_t pending() const;
  /// By model's name: of the models that ran since the beginning and are loaded still.
  std::map<std::string, SchedulerState> states() const;

 private:
  struct Running {
    std::shared_ptr<ServedModel> model;
    RequestId id;
  };

  void run();
  bool take_work();
  void step_models();
  void begin(Ticket ticket, std::shared_ptr<ServedModel> model, SequenceRequest request);
  void finished(Ticket ticket);
  void cancel_all(ServedModel& model);
  void publish(const ServedModel& model);

  const int64_t max_pending_;
  const std::function<void(const std::string&)> on_problem_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void()>> work_;
  std::map<std::string, SchedulerState> states_;
  int64_t pending_ = 0;
  double mean_seconds_ = 1;  // of a sequence, from its beginning to its end
  bool stopping_ = false;
  Ticket last_ticket_ = 0;

  // Of the engine's thread.
  std::vector<std::shared_ptr<ServedModel>> active_;  // have something to do
  std::unordered_map<Ticket, Running> running_;

  std::thread thread_;
};

}  // namespace millrace::serve
