// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/tensor_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/swiglu.h"
#include "kernels/gather.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"
#include "libpref/ops/device.h"

namespace pref::ops {
namespace {

using at::Tensor;
namespace cuda = kernels::cuda;

// Rows per task of `width` elements each: enough work to pay for waking a thread.
int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(width, 1));
}

const float* floats(const Tensor& x) { return x.const_data_ptr<float>(); }
float* floats_of(const Tensor& x) { return x.mutable_data_ptr<float>(); }
const int64_t* integers(const Tensor& x) { return x.const_data_ptr<int64_t>(); }

// Runs f(begin, end, d_weight) over row ranges and adds the ranges' d_weight [width] into `total`
// in range order: the sum depends on the row count alone, not on how many threads ran.
template <class F>
void reduce_over_rows(int64_t rows, int64_t width, float* total, const F& f) {
  constexpr int64_t kRowsPerPart = 128;
  const int64_t parts = (rows + kRowsPerPart - 1) / kRowsPerPart;
  Tensor partial = at::zeros({parts, width}, at::kFloat);
  float* data = floats_of(partial);
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      f(p * kRowsPerPart, std::min(rows, (p + 1) * kRowsPerPart), data + p * width);
  });
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t j = 0; j < width; ++j) total[j] += data[p * width + j];
}

// Where kernels add up in f32: a tensor of that type itself; for another a sum that is added to it
// in the end.
struct FloatSum {
  explicit FloatSum(const Tensor& given)
      : total(given),
        sum(given.scalar_type() == at::kFloat
                ? given
                : at::zeros(given.sizes(), given.options().dtype(at::kFloat))) {}
  void finish() const {
    if (!sum.is_same(total)) total.add_(sum);
  }
  const Tensor total, sum;
};

cuda::HeadShape head_shape(const Tensor& x, const Tensor& weight, const Tensor& inverse_rms) {
  return {x.size(0), inverse_rms.size(0), weight.size(0)};
}
Tensor head_of(const Tensor& x, int64_t head, const cuda::HeadShape& shape) {
  return x.narrow(1, head * shape.width, shape.width);
}

}  // namespace

void rms_norm_rows(const Tensor& x, const Tensor& weight, double eps, const Tensor& y,
                   const Tensor& inverse_rms) {
  const int64_t rows = x.size(0), width = x.size(1), stride_x = x.stride(0), stride_y = y.stride(0);
  if (on_device(x)) {
    cuda::rms_norm_forward(const_pointer(x), nullptr, nullptr, rows, width, stride_x,
                           weight.const_data_ptr(), static_cast<float>(eps), y.mutable_data_ptr(),
                           stride_y, floats_of(inverse_rms), stream_of(x));
    return;
  }
  at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
    kernels::rms_norm_forward(floats(x) + begin * stride_x, end - begin, width, stride_x,
                              floats(weight), static_cast<float>(eps),
                              floats_of(y) + begin * stride_y, stride_y,
                              floats_of(inverse_rms) + begin);
  });
}

void rms_norm_rows_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                            const Tensor& inverse_rms, const Tensor& dx, const Tensor& d_weight) {
  const int64_t rows = x.size(0), width = x.size(1);
  const FloatSum target(d_weight);
  const Tensor& sum = target.sum;
  if (on_device(x)) {
    const Tensor workspace =
        at::empty({cuda::rms_norm_backward_workspace(rows, width)}, inverse_rms.options());
    cuda::rms_norm_backward(const_pointer(dy), dy.stride(0), x.const_data_ptr(), x.stride(0),
                            weight.const_data_ptr(), floats(inverse_rms), rows, width,
                            dx.mutable_data_ptr(), dx.stride(0), false, floats_of(sum),
                            floats_of(workspace), stream_of(x));
  } else {
    reduce_over_rows(rows, width, floats_of(sum), [&](int64_t begin, int64_t end, float* part) {
      kernels::rms_norm_backward(floats(dy) + begin * dy.stride(0), dy.stride(0),
                                 floats(x) + begin * x.stride(0), x.stride(0), floats(weight),
                                 floats(inverse_rms) + begin, end - begin, width,
                                 floats_of(dx) + begin * dx.stride(0), dx.stride(0), false, part);
    });
  }
  target.finish();
}

void head_norm_rows(const Tensor& x, const Tensor& weight, double eps, const Tensor& y,
                    const Tensor& inverse_rms) {
  const cuda::HeadShape shape = head_shape(x, weight, inverse_rms);
  if (on_device(x))
    return cuda::head_norm_forward(const_pointer(x), x.stride(0), shape, weight.const_data_ptr(),
                                   static_cast<float>(eps), y.mutable_data_ptr(), y.stride(0),
                                   floats_of(inverse_rms), stream_of(x));
  for (int64_t h = 0; h < shape.heads; ++h)
    rms_norm_rows(head_of(x, h, shape), weight, eps, head_of(y, h, shape), inverse_rms[h]);
}

void head_norm_rows_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                             const Tensor& inverse_rms, const Tensor& dx, const Tensor& d_weight) {
  const cuda::HeadShape shape = head_shape(x, weight, inverse_rms);
  if (!on_device(x)) {
    for (int64_t h = 0; h < shape.heads; ++h)
      rms_norm_rows_backward(head_of(dy, h, shape), head_of(x, h, shape), weight, inverse_rms[h],
                             head_of(dx, h, shape), d_weight);
    return;
  }
  const FloatSum target(d_weight);
  const Tensor workspace =
      at::empty({cuda::head_norm_backward_workspace(shape)}, inverse_rms.options());
  cuda::head_norm_backward(const_pointer(dy), dy.stride(0), x.const_data_ptr(), x.stride(0), shape,
                           weight.const_data_ptr(), floats(inverse_rms), dx.mutable_data_ptr(),
                           dx.stride(0), floats_of(target.sum), floats_of(workspace), stream_of(x));
  target.finish();
}

void rope_rows(const Tensor& x, const Tensor& positions, const Tensor& cosine, const Tensor& sine,
               int64_t heads, int64_t head_dim, int direction) {
  const int64_t rows = x.size(0), stride = x.stride(0);
  if (on_device(x)) {
    cuda::rope_rotate(const_pointer(x), stride, nullptr, rows, heads, head_dim, integers(positions),
                      floats(cosine), floats(sine), direction, x.mutable_data_ptr(), stride,
                      stream_of(x));
    return;
  }
  at::parallel_for(0, rows, row_grain(x.size(1)), [&](int64_t begin, int64_t end) {
    kernels::rope_rotate(floats_of(x) + begin * stride, end - begin, stride, heads, head_dim,
                         integers(positions) + begin, floats(cosine), floats(sine), direction);
  });
}

Tensor swiglu_rows(const Tensor& gate_up) {
  const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
  Tensor y = at::empty({rows, width}, gate_up.options().requires_grad(false));
  if (on_device(gate_up)) {
    cuda::swiglu_forward(const_pointer(gate_up), rows, width, y.mutable_data_ptr(),
                         stream_of(gate_up));
    return y;
  }
  at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
    kernels::swiglu_forward(floats(gate_up) + begin * 2 * width, end - begin, width,
                            floats_of(y) + begin * width);
  });
  return y;
}

Tensor swiglu_rows_backward(const Tensor& dy, const Tensor& gate_up) {
  const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
  Tensor out = at::empty_like(gate_up);
  if (on_device(gate_up)) {
    cuda::swiglu_backward(const_pointer(dy), gate_up.const_data_ptr(), rows, width,
                          out.mutable_data_ptr(), stream_of(gate_up));
    return out;
  }
  at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
    kernels::swiglu_backward(floats(dy) + begin * width, floats(gate_up) + begin * 2 * width,
                             end - begin, width, floats_of(out) + begin * 2 * width);
  });
  return out;
}

Tensor take_rows(const Tensor& x, const Tensor& index) {
  const int64_t count = index.numel(), width = x.size(1);
  Tensor out = at::empty({count, width}, x.options().requires_grad(false));
  take_rows_into(x, integers(index), out);
  return out;
}

void take_rows_into(const Tensor& x, const int64_t* index, const Tensor& out) {
  const int64_t count = out.size(0), width = x.size(1), stride = x.stride(0);
  if (on_device(x)) {
    cuda::gather_rows(const_pointer(x), stride, width, index, count, pointer(out), stream_of(x));
    return;
  }
  at::parallel_for(0, count, row_grain(width), [&](int64_t begin, int64_t end) {
    kernels::gather_rows(floats(x), width, index + begin, end - begin,
                         floats_of(out) + begin * width);
  });
}

RowGroupTensors row_groups_on(at::Device device, const int64_t* index, int64_t count) {
  const cuda::RowGroups groups = cuda::group_rows(index, count);
  const auto moved = [&](const std::vector<int64_t>& values) {
    return at::tensor(at::ArrayRef<int64_t>(values), at::kLong).to(device);
  };
  return {moved(groups.target), moved(groups.begin), moved(groups.source)};
}

void add_rows(const Tensor& x, const int64_t* index, const RowGroupTensors& groups,
              const Tensor& rows) {
  const int64_t width = x.size(1);
  if (on_device(x)) {
    cuda::sum_row_groups(pointer(x), x.stride(0), width, integers(groups.target),
                         integers(groups.begin), integers(groups.source), groups.target.numel(),
                         const_pointer(rows), true, stream_of(x));
    return;
  }
  // Threads split columns, so that every sum keeps its order.
  at::parallel_for(0, width, 64, [&](int64_t begin, int64_t end) {
    kernels::scatter_add_rows(floats_of(x), width, index, rows.size(0), floats(rows), begin, end);
  });
}

void sum_rows(const Tensor& x, const RowGroupTensors& groups, const Tensor& rows) {
  cuda::sum_row_groups(pointer(x), x.stride(0), x.size(1), nullptr, integers(groups.begin),
                       integers(groups.source), groups.begin.numel() - 1, const_pointer(rows),
                       false, stream_of(x));
}

Tensor joined_master(const Tensor& weight, const Tensor& remainder) {
  Tensor out = at::empty(weight.sizes(), weight.options().dtype(at::kFloat));
  cuda::join_master(static_cast<const cuda::BF16*>(weight.const_data_ptr()),
                    remainder.const_data_ptr<int16_t>(), weight.numel(), floats_of(out),
                    stream_of(weight));
  return out;
}

void split_master(const Tensor& values, const Tensor& weight, const Tensor& remainder) {
  cuda::split_master(floats(values), weight.numel(),
                     static_cast<cuda::BF16*>(weight.mutable_data_ptr()),
                     remainder.mutable_data_ptr<int16_t>(), stream_of(weight));
}

}  // namespace pref::ops
