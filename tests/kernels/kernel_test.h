// What the kernels' tests share: random inputs, comparisons, and running under every instruction
// set and several numbers of threads.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/isa.h"

namespace millrace {

inline std::vector<float> normal_values(int64_t count, uint64_t seed, float spread = 1) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = spread * static_cast<float>(random.normal());
  return values;
}

/// Greatest |a - b| relative to max(1, |b|), and what it was compared to `tolerance` with.
inline void expect_near(const std::vector<float>& actual, const std::vector<float>& expected,
                        double tolerance, const std::string& what = "") {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    double allowed = tolerance * std::max(1.0, std::abs(double{expected[i]}));
    ASSERT_NEAR(actual[i], expected[i], allowed) << what << " at " << i;
  }
}

inline void expect_same_bits(const float* actual, const float* expected, int64_t count,
                             const std::string& what = "") {
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_EQ(std::memcmp(actual + i, expected + i, sizeof(float)), 0)
        << what << " at " << i << ": " << actual[i] << " and " << expected[i];
  }
}

inline void expect_same_bits(const std::vector<float>& actual, const std::vector<float>& expected,
                             const std::string& what = "") {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  expect_same_bits(actual.data(), expected.data(), static_cast<int64_t>(actual.size()), what);
}

/// Runs `body` under each instruction set of this machine.
template <typename Body>
void for_each_isa(const Body& body) {
  const Isa before = isa();
  for (Isa level : {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx}) {
    if (!has_isa(level)) continue;
    SCOPED_TRACE(std::string(isa_name(level)));
    set_isa(level);
    body();
  }
  set_isa(before);
}

/// Runs `compute`, which returns a vector of floats, under each instruction set with 1, 2 and 3
/// threads, and expects the same bits from all three.
template <typename Compute>
void expect_threads_do_not_matter(const Compute& compute) {
  const int before = num_threads();
  for_each_isa([&] {
    set_num_threads(1);
    const std::vector<float> alone = compute();
    for (int threads : {2, 3}) {
      set_num_threads(threads);
      expect_same_bits(compute(), alone, std::to_string(threads) + " threads");
    }
  });
  set_num_threads(before);
}

}  // namespace millrace
