#include "millrace/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace millrace {

double lr_factor(const ScheduleRecipe& schedule, int64_t step) {
  if (step < schedule.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  const bool wsd = schedule.name == "wsd";
  const auto steps = static_cast<double>(schedule.steps);
  const auto warmup = static_cast<double>(schedule.warmup_steps);
  const double falling =
      wsd ? std::min(schedule.decay_fraction * steps, steps - warmup) : steps - warmup;
  const double behind = static_cast<double>(step) - (steps - falling);
  const double floor = schedule.min_lr_ratio;
  if (behind >= falling) return floor;
  if (behind <= 0) return 1;
  const double t = behind / falling;
  const double height = wsd ? 1 - std::sqrt(t) : (1 + std::cos(std::numbers::pi * t)) / 2;
  return floor + (1 - floor) * height;
}

}  // namespace millrace
