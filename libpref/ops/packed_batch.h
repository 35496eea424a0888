// SPDX-License-Identifier: Apache-2.0
// A packing plan as tensors: what a network's hidden() receives.
#pragma once
#include <ATen/core/TensorBody.h>

#include <memory>

#include "libpref/data/packing.h"

namespace pref {

struct DeviceBatch;

struct PackedBatch {
  PackingPlan plan;      ///< host side: segments, labels, rows
  at::Tensor tokens;     ///< [T] i64, where the network is
  at::Tensor positions;  ///< [T] i64; every branch starts at its prompt's length
  std::shared_ptr<const DeviceBatch> on_device{};  ///< device_batch.h; null on the CPU
};

/// On the CPU.
PackedBatch make_packed_batch(PackingPlan plan);

}  // namespace pref
