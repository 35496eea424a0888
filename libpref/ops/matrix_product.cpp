// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/matrix_product.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

namespace pref::ops {

void product_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  at::Tensor result = out;
  if (out.scalar_type() == a.scalar_type())
    at::mm_out(result, a, b);
  else if (out.is_cuda())
    at::mm_out(result, a, b, out.scalar_type());
  else
    at::mm_out(result, a.to(out.scalar_type()), b.to(out.scalar_type()));
}

void add_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  at::Tensor result = out;
  if (out.scalar_type() == a.scalar_type())
    result.addmm_(a, b);
  else if (out.is_cuda())
    at::addmm_out(result, out, a, b, out.scalar_type(), 1, 1);
  else
    result.addmm_(a.to(out.scalar_type()), b.to(out.scalar_type()));
}

}  // namespace pref::ops
