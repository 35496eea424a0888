// SPDX-License-Identifier: Apache-2.0
#include "libpref/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pref {

double schedule_factor(ScheduleKind kind, int64_t step, int64_t warmup, int64_t total) {
  if (kind == ScheduleKind::constant) return 1;
  if (step < warmup)
    return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
  if (kind == ScheduleKind::constant_with_warmup) return 1;
  const double span = static_cast<double>(std::max<int64_t>(1, total - warmup));
  const double progress = std::min(1.0, static_cast<double>(step - warmup) / span);
  return kind == ScheduleKind::linear ? 1 - progress
                                      : 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace pref
