// Long prompts: what they need beyond the weights is their keys and values.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "millrace/base/random.h"
#include "millrace/generate/scheduler.h"
#include "tests/tiny_model.h"

namespace millrace {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

/// Bytes of memory that this process holds.
int64_t resident_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == "VmRSS:" && status >> kilobytes) return kilobytes * 1024;
  }
  return -1;
}

void expect_the_cache_alone(int64_t positions) {
  auto model = tiny_model(DType::bf16, 64, "llama", positions + 8);
  SchedulerOptions options;
  options.max_positions = positions + 8;
  Scheduler scheduler(*model, options);
  const int64_t before = resident_memory();
  ASSERT_GT(before, 0);
  SequenceRequest request;
  Random random(1);
  for (int64_t i = 0; i < positions; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random.below(kTinyVocabulary)));
  }
  request.max_tokens = 4;
  int64_t generated = 0, after = 0;
  request.on_token = [&](const GeneratedToken&) {
    if (++generated == 1) after = resident_memory();
    return true;
  };
  scheduler.submit(std::move(request));
  scheduler.run();
  EXPECT_EQ(generated, 4);
  // K and V of two layers with two heads of 16 numbers in bf16, in whole pages; tiles pad K to 32.
  const auto cache = static_cast<int64_t>(scheduler.cache_bytes());
  EXPECT_LE(cache, (positions + 4 + kPageSize) * 2 * 2 * (32 + 16) * 2);
  // The prompt's ids are held and copied; rope's table may be twice as long.
  const int64_t ids = positions * 4 * static_cast<int64_t>(sizeof(int32_t));
  const int64_t rope = positions * 2 * 16 * static_cast<int64_t>(sizeof(float));
  constexpr int64_t kBatch = 12 << 20;
  if (!kSanitized) {  // sanitizers hold memory of their own
    EXPECT_LE(after - before, cache + ids + rope + kBatch);
  }
}

TEST(LongContext, NeedsMemoryForItsCacheAlone) {
  expect_the_cache_alone(kSanitized ? 1 << 10 : 1 << 14);
}

TEST(SlowLongContext, NeedsMemoryForItsCacheAlone) {
  expect_the_cache_alone(1 << 17);
}

}  // namespace
}  // namespace millrace
