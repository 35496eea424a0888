// SPDX-License-Identifier: Apache-2.0
// Matrix products whose result is wider than their operands: bf16 in, f32 out, as cuBLAS adds them
// up. ATen offers these on CUDA alone; elsewhere the operands are widened first.
#pragma once
#include <ATen/core/TensorBody.h>

namespace pref::ops {

/// out [M, N] = a [M, K] b [K, N]; out f32 or of the operands' type.
void product_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b);
/// out += a b, added up in f32 where out is f32.
void add_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b);

}  // namespace pref::ops
