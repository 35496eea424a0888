// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules with linear warm-up, as transformers defines them: a factor of the step
// taken so far.
#pragma once
#include <array>
#include <cstdint>

#include "libpref/base/options.h"

namespace pref {

enum class ScheduleKind { linear, cosine, constant, constant_with_warmup };
constexpr std::array<EnumName<ScheduleKind>, 4> enum_names(ScheduleKind) {
  return {{{ScheduleKind::linear, "linear"},
           {ScheduleKind::cosine, "cosine"},
           {ScheduleKind::constant, "constant"},
           {ScheduleKind::constant_with_warmup, "constant_with_warmup"}}};
}

/// The factor of learning_rate for update `step` (0 is the first) of `total`, after `warmup` rising
/// steps:
///   step < warmup: step / warmup;  linear: (total - step) / (total - warmup);
///   cosine: (1 + cos(pi (step - warmup) / (total - warmup))) / 2;  constant: 1 (without warm-up)
double schedule_factor(ScheduleKind kind, int64_t step, int64_t warmup, int64_t total);

}  // namespace pref
