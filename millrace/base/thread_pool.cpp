#include "millrace/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace millrace {
namespace {

/// The container's CPU quota in whole processors (cgroup v2), or a large number without one.
int cgroup_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 20;
  return std::max(1, static_cast<int>(std::ceil(std::atof(quota.c_str()) / period)));
}

int default_num_threads() {
  if (const char* text = std::getenv("MILLRACE_THREADS")) {
    int count = std::atoi(text);
    if (count > 0) return std::min(count, 1024);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  int processors = sched_getaffinity(0, sizeof set, &set) == 0
                       ? CPU_COUNT(&set)
                       : static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(std::min(processors, cgroup_quota()), 1, 1024);
}

thread_local bool inside_parallel_for = false;

class Pool {
 public:
  explicit Pool(int count) {
    for (int i = 1; i < count; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void run(int64_t count, FunctionRef<void(int64_t)> body) {
    std::lock_guard one_at_a_time(run_mutex_);
    {
      std::lock_guard lock(mutex_);
      body_ = &body;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_parts();
    for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins > kSpins) {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return running_.load(std::memory_order_acquire) == 0; });
      }
      pause();
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static constexpr int kSpins = 2000;  // some 50 µs: shorter than a sleep and a wake

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  void take_parts() {
    inside_parallel_for = true;
    try {
      for (;;) {
        int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
        if (i >= count_) break;
        (*body_)(i);
      }
    } catch (...) {
      next_.store(count_, std::memory_order_relaxed);
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    inside_parallel_for = false;
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      for (int spins = 0; generation_.load(std::memory_order_acquire) == seen; ++spins) {
        if (spins > kSpins) {
          std::unique_lock lock(mutex_);
          wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
        }
        pause();
      }
      seen = generation_.load(std::memory_order_acquire);
      {
        std::lock_guard lock(mutex_);
        if (stopping_) return;
      }
      take_parts();
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex_);
        done_.notify_one();
      }
    }
  }

  std::vector<std::thread> workers_;
  std::mutex run_mutex_;  // two callers take turns
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> running_{0};
  const FunctionRef<void(int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  bool stopping_ = false;
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
  count = std::clamp(count, 1, 1024);
  if (count != num_threads()) pool() = std::make_unique<Pool>(count);
}

void parallel_for(int64_t count, FunctionRef<void(int64_t)> body) {
  if (count <= 1 || inside_parallel_for || num_threads() == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  pool()->run(count, body);
}

void parallel_ranges(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  grain = std::max<int64_t>(grain, 1);
  parallel_for((count + grain - 1) / grain,
               [&](int64_t part) { body(part * grain, std::min(count, (part + 1) * grain)); });
}

}  // namespace millrace
