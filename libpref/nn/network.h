// SPDX-License-Identifier: Apache-2.0
// What a trainer needs of a network: three members. Our decoders implement it, and so may anybody's
// network.
#pragma once
#include <ATen/core/TensorBody.h>

#include "libpref/nn/parameter_store.h"
#include "libpref/ops/packed_batch.h"

namespace pref {

class Network {
 public:
  virtual ~Network() = default;
  /// Hidden states [T, D] f32 of the packed tokens, after the final norm; differentiable where grad
  /// mode is on.
  virtual at::Tensor hidden(const PackedBatch& batch) = 0;
  /// The matrix [V, D] that turns hidden states into logits.
  virtual Weight lm_head() = 0;
  /// Every parameter, in flat buffers.
  virtual ParameterStore& parameters() = 0;
};

}  // namespace pref
