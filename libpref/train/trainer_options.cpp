// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/trainer_options.h"


namespace pref {

TrainerOptions resolved(TrainerOptions options, const Placement& placement) {
  const bool device = ops::on_device(placement.device);
  if (options.tokens_per_microbatch == 0) options.tokens_per_microbatch = device ? 8192 : 1024;
  if (options.logits_budget_mb == 0) options.logits_budget_mb = device ? 4096 : 256;
  return options;
}

}  // namespace pref
