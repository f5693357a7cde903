#include "millrace/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/base/processors.h"

namespace millrace {
namespace {

/// No more than the container's quota: threads beyond it would all stand still when it is used up.
int limited(int count) {
  static const int quota = processor_quota();
  return std::clamp(std::min(count, quota), 1, 1024);
}

int default_num_threads() {
  if (const char* text = std::getenv("MILLRACE_THREADS")) {
    int count = std::atoi(text);
    if (count > 0) return limited(count);
  }
  const size_t allowed = allowed_processors().size();
  return limited(allowed > 0 ? static_cast<int>(allowed)
                             : static_cast<int>(std::thread::hardware_concurrency()));
}

thread_local bool inside_parallel_for = false;

/// Threads take tasks one by one; who comes late finds none. Nobody waits for a thread that has no
/// task in hand, so a processor that another program uses holds up one task at most.
class Pool {
 public:
  static constexpr int64_t kMaxTasks = (int64_t{1} << 32) - 1;

  /// Worker i keeps to one of the processors that were asked for, round and round. The caller is
  /// left to move among them, and finds the one that is free.
  explicit Pool(int count) {
    const std::vector<int>& processors = chosen_processors();
    for (size_t i = 1; i < static_cast<size_t>(count); ++i) {
      workers_.emplace_back([this, i, &processors] {
        if (!processors.empty()) keep_to({processors[i % processors.size()]});
        work();
      });
    }
  }
  ~Pool() {
    stopping_.store(true);
    publish(0);
    for (std::thread& worker : workers_) worker.join();
  }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// At most kMaxTasks of them.
  void run(int64_t count, FunctionRef<void(int64_t)> body) {
    std::lock_guard one_at_a_time(run_mutex_);
    body_ = &body;
    count_ = count;
    unfinished_.store(count, std::memory_order_relaxed);
    publish(static_cast<uint64_t>(count));
    take_tasks();
    await([&] { return unfinished_.load() == 0; }, caller_sleeps_, done_);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static constexpr int kSpins = 2000;  // some 50 µs: shorter than a sleep and a wake
  static constexpr uint64_t kLeft = 0xffffffff;

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  /// Begins a round of `count` tasks.
  void publish(uint64_t count) {
    tickets_.store(((tickets_.load() | kLeft) + 1) | count);
    if (sleeping_workers_.load() == 0) return;
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }

  /// Spins a while, then sleeps until `ready`; `sleepers` tells who makes it so that they must
  /// notify. All of these are sequentially consistent: either the sleeper sees that it is ready, or
  /// the other sees the sleeper.
  template <typename Ready>
  void await(const Ready& ready, std::atomic<int>& sleepers, std::condition_variable& notified) {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (ready()) return;
      pause();
    }
    std::unique_lock lock(mutex_);
    sleepers.fetch_add(1);
    notified.wait(lock, ready);
    sleepers.fetch_sub(1);
  }

  void finish(int64_t count) {
    if (unfinished_.fetch_sub(count) != count || caller_sleeps_.load() == 0) return;
    std::lock_guard lock(mutex_);
    done_.notify_one();
  }

  /// Gives up the tasks that nobody has taken.
  void drop_tasks() {
    uint64_t tickets = tickets_.load();
    while (!tickets_.compare_exchange_weak(tickets, tickets & ~kLeft)) {
    }
    unfinished_.fetch_sub(static_cast<int64_t>(tickets & kLeft));
  }

  void run_task(int64_t task) {
    try {
      (*body_)(task);
    } catch (...) {
      {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
      drop_tasks();
    }
    finish(1);
  }

  void take_tasks() {
    inside_parallel_for = true;
    uint64_t tickets = tickets_.load();
    while ((tickets & kLeft) != 0) {
      if (!tickets_.compare_exchange_weak(tickets, tickets - 1)) continue;
      // With a task in hand the round cannot end: body_ and count_ are its own.
      run_task(count_ - static_cast<int64_t>(tickets & kLeft));
      tickets = tickets_.load();
    }
    inside_parallel_for = false;
  }

  void work() {
    while (!stopping_.load()) {
      const uint64_t seen = tickets_.load();
      take_tasks();
      const auto changed = [&] {
        const uint64_t tickets = tickets_.load();
        return (tickets & ~kLeft) != (seen & ~kLeft) || (tickets & kLeft) != 0;
      };
      if (!stopping_.load()) await(changed, sleeping_workers_, wake_);
    }
  }

  std::vector<std::thread> workers_;
  std::mutex run_mutex_;  // two callers take turns
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  /// The number of the round, and below it how many of its tasks nobody has taken yet.
  alignas(64) std::atomic<uint64_t> tickets_{0};
  alignas(64) std::atomic<int64_t> unfinished_{0};
  alignas(64) std::atomic<int> sleeping_workers_{0};
  std::atomic<int> caller_sleeps_{0};
  std::atomic<bool> stopping_{false};
  const FunctionRef<void(int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  std::exception_ptr error_;
};

std::unique_ptr<Pool>& pool() {
  static std::unique_ptr<Pool> instance = std::make_unique<Pool>(default_num_threads());
  return instance;
}

}  // namespace

int num_threads() {
  return pool()->size();
}

void set_num_threads(int count) {
  count = limited(count);
  if (count != num_threads()) pool() = std::make_unique<Pool>(count);
}

void parallel_for(int64_t count, FunctionRef<void(int64_t)> body) {
  if (count <= 1 || inside_parallel_for || num_threads() == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  for (int64_t begin = 0; begin < count; begin += Pool::kMaxTasks) {
    pool()->run(std::min(count - begin, Pool::kMaxTasks), [&](int64_t i) { body(begin + i); });
  }
}

void parallel_ranges(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  grain = std::max<int64_t>(grain, 1);
  parallel_for((count + grain - 1) / grain,
               [&](int64_t part) { body(part * grain, std::min(count, (part + 1) * grain)); });
}

}  // namespace millrace
