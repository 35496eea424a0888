// SPDX-License-Identifier: Apache-2.0
// A large buffer that is kept from call to call and grown when it must be.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace pref::ops {

/// A [rows, columns] view of the front of `buffer`; what stands there is left over.
inline at::Tensor reused(at::Tensor& buffer, int64_t rows, int64_t columns,
                         const at::TensorOptions& options) {
  if (!buffer.defined() || buffer.numel() < rows * columns) {
    buffer.reset();  // before the new one is made: never two at a time
    buffer = at::empty({rows * columns}, options);
  }
  return buffer.narrow(0, 0, rows * columns).view({rows, columns});
}

}  // namespace pref::ops
