// SPDX-License-Identifier: Apache-2.0
// A packing plan as tensors: what a network's hidden() receives.
#pragma once
#include <ATen/core/TensorBody.h>

#include "libpref/data/packing.h"

namespace pref {

struct PackedBatch {
  PackingPlan plan;      ///< host side: segments, labels, rows
  at::Tensor tokens;     ///< [T] i64
  at::Tensor positions;  ///< [T] i64; every branch starts at its prompt's length
};

PackedBatch make_packed_batch(PackingPlan plan);

}  // namespace pref
