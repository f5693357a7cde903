#include "millrace/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/processors.h"

namespace millrace {
namespace {

TEST(ThreadPool, RunsEveryIndexOnceAtAnyNumberOfThreads) {
  int before = num_threads();
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    EXPECT_EQ(num_threads(), threads);
    std::vector<std::atomic<int>> seen(1000);
    for (int round = 0; round < 50; ++round) {
      parallel_for(1000, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
    }
    for (const auto& count : seen) EXPECT_EQ(count, 50);
  }
  set_num_threads(before);
}

TEST(ThreadPool, ThreadsKeepToTheProcessorsThatWereChosen) {
  const int before = num_threads();
  const std::vector<int> allowed = allowed_processors();
  std::thread([&] {  // its own affinity changes
    choose_processors(allowed);
    set_num_threads(before + 1);
    std::atomic<int> here{0}, pinned{0};
    const std::thread::id caller = std::this_thread::get_id();
    parallel_for(before + 1, [&](int64_t) {  // one each: nobody goes on before all are there
      ++here;
      while (here <= before) std::this_thread::yield();
      const std::vector<int> own = allowed_processors();
      if (std::this_thread::get_id() == caller) {
        EXPECT_EQ(own, allowed);
      } else {
        EXPECT_EQ(own.size(), 1u);
        ++pinned;
      }
    });
    EXPECT_EQ(pinned, before);
    EXPECT_THROW(choose_processors({1023}), Error);
    EXPECT_EQ(chosen_processors(), allowed);
    choose_processors({});
    set_num_threads(before);
  })
      .join();
}

TEST(ThreadPool, RangesCoverTheWholeWithoutOverlap) {
  std::vector<std::atomic<int>> seen(103);
  parallel_ranges(103, 10, [&](int64_t begin, int64_t end) {
    EXPECT_LE(end - begin, 10);
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  for (const auto& count : seen) EXPECT_EQ(count, 1);
}

TEST(ThreadPool, RethrowsTheFirstExceptionAndGoesOnWorking) {
  EXPECT_THROW(parallel_for(100,
                            [](int64_t i) {
                              if (i == 37) throw std::runtime_error("thirty-seven");
                            }),
               std::runtime_error);
  std::atomic<int> count = 0;
  parallel_for(100, [&](int64_t) { ++count; });
  EXPECT_EQ(count, 100);
}

TEST(ThreadPool, NestedCallsRunSerially) {
  std::atomic<int> count = 0;
  parallel_for(10, [&](int64_t) { parallel_for(10, [&](int64_t) { ++count; }); });
  EXPECT_EQ(count, 100);
}

TEST(ThreadPool, EveryTaskOfManyShortRoundsRunsOnceAndIsDoneAtTheEnd) {
  const int before = num_threads();
  for (int threads : {2, 3, 5}) {
    set_num_threads(threads);
    std::vector<int> times(40);  // not atomic: a round must be over before the next begins
    int64_t expected = 0;
    for (int round = 0; round < 3000; ++round) {
      const int64_t count = 2 + round % 39;
      parallel_for(count, [&](int64_t i) { ++times[static_cast<size_t>(i)]; });
      expected += count;
    }
    EXPECT_EQ(std::accumulate(times.begin(), times.end(), int64_t{0}), expected);
  }
  set_num_threads(before);
}

TEST(ThreadPool, RoundsWithErrorsLeaveThePoolInOrder) {
  const int before = num_threads();
  set_num_threads(3);
  for (int round = 0; round < 500; ++round) {
    std::atomic<int> ran = 0;
    const auto body = [&](int64_t i) {
      ++ran;
      if (i % 7 == round % 7) fail("task {}", i);
    };
    EXPECT_THROW(parallel_for(50, body), Error);
    EXPECT_GT(ran, 0);
    std::atomic<int> all = 0;
    parallel_for(50, [&](int64_t) { ++all; });
    EXPECT_EQ(all, 50);
  }
  set_num_threads(before);
}

}  // namespace
}  // namespace millrace
