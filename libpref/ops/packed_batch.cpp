// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/packed_batch.h"

#include <ATen/ops/tensor.h>

namespace pref {

PackedBatch make_packed_batch(PackingPlan plan) {
  PackedBatch batch;
  batch.tokens = at::tensor(at::ArrayRef<int64_t>(plan.tokens), at::kLong);
  batch.positions = at::tensor(at::ArrayRef<int64_t>(plan.positions), at::kLong);
  batch.plan = std::move(plan);
  return batch;
}

}  // namespace pref
