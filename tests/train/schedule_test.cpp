#include "millrace/train/schedule.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

ScheduleRecipe schedule(const char* name, int64_t steps, int64_t warmup, double decay,
                        double floor) {
  return {.name = name,
          .steps = steps,
          .warmup_steps = warmup,
          .decay_fraction = decay,
          .min_lr_ratio = floor};
}

TEST(Schedule, CosineEqualsHandComputedValues) {
  ScheduleRecipe cosine = schedule("cosine", 110, 10, 0, 0.1);
  EXPECT_DOUBLE_EQ(lr_factor(cosine, 0), 0.1);
  EXPECT_DOUBLE_EQ(lr_factor(cosine, 4), 0.5);
  EXPECT_DOUBLE_EQ(lr_factor(cosine, 9), 1);
  EXPECT_DOUBLE_EQ(lr_factor(cosine, 10), 1);
  EXPECT_NEAR(lr_factor(cosine, 35), 0.1 + 0.9 * 0.853553390593274, 1e-12);  // cos(45°)
  EXPECT_NEAR(lr_factor(cosine, 60), 0.55, 1e-12);
  EXPECT_NEAR(lr_factor(cosine, 85), 0.1 + 0.9 * 0.146446609406726, 1e-12);
  EXPECT_DOUBLE_EQ(lr_factor(cosine, 110), 0.1);
  EXPECT_DOUBLE_EQ(lr_factor(cosine, 1000), 0.1);
}

TEST(Schedule, WsdHoldsThenFallsAsOneMinusSqrt) {
  ScheduleRecipe wsd = schedule("wsd", 100, 4, 0.2, 0.05);
  EXPECT_DOUBLE_EQ(lr_factor(wsd, 0), 0.25);
  EXPECT_DOUBLE_EQ(lr_factor(wsd, 3), 1);
  EXPECT_DOUBLE_EQ(lr_factor(wsd, 50), 1);
  EXPECT_DOUBLE_EQ(lr_factor(wsd, 80), 1);
  EXPECT_NEAR(lr_factor(wsd, 85), 0.05 + 0.95 * 0.5, 1e-12);
  EXPECT_NEAR(lr_factor(wsd, 96), 0.05 + 0.95 * 0.105572809000084, 1e-12);  // 1 - sqrt(0.8)
  EXPECT_DOUBLE_EQ(lr_factor(wsd, 100), 0.05);
}

TEST(Schedule, EdgesAreDefined) {
  EXPECT_DOUBLE_EQ(lr_factor(schedule("cosine", 1, 0, 0, 0), 0), 1);
  EXPECT_DOUBLE_EQ(lr_factor(schedule("wsd", 10, 0, 0, 0.5), 9), 1);
  EXPECT_DOUBLE_EQ(lr_factor(schedule("wsd", 10, 5, 1, 0), 5), 1);  // falls right after warm-up
  EXPECT_LT(lr_factor(schedule("wsd", 10, 5, 1, 0), 6), 1);
  EXPECT_DOUBLE_EQ(lr_factor(schedule("cosine", 5, 5, 0, 0.1), 5), 0.1);
}

}  // namespace
}  // namespace millrace
