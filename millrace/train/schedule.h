// The learning rate as a function of the step: warm-up, then cosine or stable and decay.
#pragma once

#include <cstdint>

#include "millrace/train/recipe.h"

namespace millrace {

/// The factor, in [0, 1], by which every peak learning rate is multiplied at `step`, the first
/// step being 0 and `schedule.steps` their number.
///
/// Warm-up: (step + 1) / warmup_steps, so that no step is spent at zero. Then, with m =
/// min_lr_ratio and t in [0, 1) the part of the falling stretch that lies behind,
///   cosine: m + (1 - m) (1 + cos(pi t)) / 2          (Loshchilov and Hutter 2016, 1608.03983)
///   wsd:    1, and over the last decay_fraction of all steps m + (1 - m) (1 - sqrt(t))
///                                                    (Hägele et al. 2024, 2405.18392)
/// From `schedule.steps` on it is m.
double lr_factor(const ScheduleRecipe& schedule, int64_t step);

}  // namespace millrace
