// SPDX-License-Identifier: Apache-2.0
// A weight and the place of its gradient. Operators add their share straight into `gradient` (a
// view of a block's flat buffer): no temporary of the weight's size, and a tied weight's
// contributions meet in one place. Without `gradient` the share is returned to autograd as usual.
#pragma once
#include <ATen/core/TensorBody.h>

namespace pref {

struct Weight {
  at::Tensor value;     ///< a leaf; requires_grad says whether it is trained
  at::Tensor gradient;  ///< same shape, or undefined
};

}  // namespace pref
