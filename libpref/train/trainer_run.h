// SPDX-License-Identifier: Apache-2.0
// What fit() holds while it runs; between the files of the trainer alone.
#pragma once
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "libpref/base/progress.h"
#include "libpref/data/row_order.h"
#include "libpref/train/checkpoint.h"
#include "libpref/train/health.h"
#include "libpref/train/run_directory.h"
#include "libpref/train/trainer.h"

namespace pref {

inline StepOptions step_options_of(const TrainerOptions& options) {
  return {.tokens_per_microbatch = options.tokens_per_microbatch,
          .head = {.logits_bytes = options.logits_budget_mb << 20},
          .logits = options.logits_dtype};
}

struct PreferenceTrainer::Run {
  struct EvalSet {
    std::string name;  // "eval" or "eval_<name>"
    const PreferenceData* data;
    ReferenceLogps reference;
  };
  const PreferenceData& train;
  ReferenceLogps reference;
  std::vector<EvalSet> evals;
  bool policy_is_reference = false;  // at step 0
  int64_t batch_rows = 0, steps_per_epoch = 0, total_steps = 0, warmup_steps = 0;
  int64_t epoch = -1;
  std::vector<int64_t> order;  // of `epoch`
  TrainingState state;
  Health health;
  std::optional<RunDirectory> directory;
  std::optional<Progress> progress;
  std::chrono::steady_clock::time_point interval_start = std::chrono::steady_clock::now();
  double interval_tokens = 0;
  std::string last_status;
  int64_t last_saved = -1, last_evaluated = -1;

  std::span<const int64_t> rows_of(int64_t step, const TrainerOptions& options) {
    const int64_t count = static_cast<int64_t>(train.rows.size());
    if (step / steps_per_epoch != epoch) {
      epoch = step / steps_per_epoch;
      order = epoch_order(count, static_cast<uint64_t>(options.seed), epoch, options.shuffle);
    }
    const int64_t first = (step % steps_per_epoch) * batch_rows;
    return std::span(order).subspan(first, std::min(batch_rows, count - first));
  }
  bool due(Interval interval, int64_t every, int64_t step) const {
    return interval == Interval::steps ? step % every == 0
                                       : interval == Interval::epoch && step % steps_per_epoch == 0;
  }
};

}  // namespace pref
