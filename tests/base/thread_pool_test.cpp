#include "millrace/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

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

}  // namespace
}  // namespace millrace
