// SPDX-License-Identifier: Apache-2.0
// The kernels of a decoder block as functions of tensors: on the CPU by kernels/*.h over threads,
// on a device by kernels/cuda. The one place that tells the two apart; no autograd. Matrices are f32
// or (on a device) bf16, rows contiguous, possibly apart (stride(0)); nothing may be undefined.
#pragma once
#include <ATen/core/TensorBody.h>

namespace pref::ops {

/// y [N, D] = RMSNorm of x [N, D] with weight [D]; inverse_rms [N] f32.
void rms_norm_rows(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y,
                   const at::Tensor& inverse_rms);
/// dx [N, D] written; d_weight [D] of any float type is added to, rows in a fixed order.
void rms_norm_rows_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& inverse_rms, const at::Tensor& dx,
                            const at::Tensor& d_weight);

/// Every head of x [T, heads * D] by one weight [D]; inverse_rms [heads, T] f32 names their number.
void head_norm_rows(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y,
                    const at::Tensor& inverse_rms);
/// As rms_norm_rows_backward, head by head.
void head_norm_rows_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse_rms, const at::Tensor& dx,
                             const at::Tensor& d_weight);

/// The first `heads` heads of x [T, W] turned in place by direction times the angles of positions.
void rope_rows(const at::Tensor& x, const at::Tensor& positions, const at::Tensor& cosine,
               const at::Tensor& sine, int64_t heads, int64_t head_dim, int direction);

/// silu(gate) * up of gate_up [N, 2 D]: a new [N, D].
at::Tensor swiglu_rows(const at::Tensor& gate_up);
/// Its gradient from dy [N, D]: a new [N, 2 D].
at::Tensor swiglu_rows_backward(const at::Tensor& dy, const at::Tensor& gate_up);

/// Rows of x [N, D] by index [M] i64 on x's device: a new [M, D], or into `out`. On the CPU x is
/// contiguous.
at::Tensor take_rows(const at::Tensor& x, const at::Tensor& index);
void take_rows_into(const at::Tensor& x, const int64_t* index, const at::Tensor& out);

/// Which rows are added to which, as kernels/cuda/rows.h orders them; on the device. `target`
/// undefined: group u goes to row u.
struct RowGroupTensors {
  at::Tensor target, begin, source;  ///< [G], [G + 1], [M] i64
  bool defined() const { return begin.defined(); }
};
/// Of an index [M] in host memory, on `device`.
RowGroupTensors row_groups_on(at::Device device, const int64_t* index, int64_t count);

/// x[index[i], :] += rows[i, :] in order of i. On the CPU `groups` is not looked at; on a device
/// `index` is not.
void add_rows(const at::Tensor& x, const int64_t* index, const RowGroupTensors& groups,
              const at::Tensor& rows);
/// x[u, :] = sum of the rows of group u (device only): the first columns of wider rows of x.
void sum_rows(const at::Tensor& x, const RowGroupTensors& groups, const at::Tensor& rows);

/// Exact f32 values [n] of bf16 weights [n] and their remainders [n] i16, and back (device only).
at::Tensor joined_master(const at::Tensor& weight, const at::Tensor& remainder);
void split_master(const at::Tensor& values, const at::Tensor& weight, const at::Tensor& remainder);

}  // namespace pref::ops
