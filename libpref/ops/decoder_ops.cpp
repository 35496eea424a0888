// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/decoder_ops.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "kernels/gather.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"
#include "libpref/base/error.h"
#include "libpref/ops/flops.h"

namespace pref::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Rows per task of `width` elements each: enough work to pay for waking a thread.
int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(width, 1));
}

void check_matrix(const Tensor& x, const char* where, int64_t columns) {
  require(x.dim() == 2 && x.size(1) == columns && x.scalar_type() == at::kFloat, ErrorKind::option,
          where, "an f32 matrix with ", columns, " columns is required, got ", x.sizes(), " ",
          x.scalar_type(), ".");
}

// A tensor that autograd does not see as an input: a gradient buffer, which may be undefined.
struct Buffer {
  Tensor tensor;
};

std::optional<Tensor> optional(const Tensor& t) {
  return t.defined() ? std::optional<Tensor>(t) : std::nullopt;
}

// Where a weight's gradient share goes: into the given buffer, or into a fresh one that autograd
// receives.
struct GradientTarget {
  Tensor buffer, returned;
};
GradientTarget gradient_target(const Tensor& value, const Tensor& gradient) {
  if (gradient.defined()) return {gradient, Tensor()};
  Tensor fresh = at::zeros_like(value);
  return {fresh, fresh};
}

struct LinearFunction : Function<LinearFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                        const Buffer& weight_gradient, const Buffer& bias_gradient) {
    context->save_for_backward({x, weight});
    context->saved_data["weight_gradient"] = weight_gradient.tensor;
    context->saved_data["bias_gradient"] = bias_gradient.tensor;
    // Autograd numbers the inputs that are there.
    context->saved_data["bias_input"] = bias ? 2 : -1;
    context->saved_data["residual_input"] = residual ? (bias ? 3 : 2) : -1;
    detail::count_body_flops(2.0 * x.size(0) * weight.numel());
    if (!residual) return bias ? at::addmm(*bias, x, weight.t()) : at::mm(x, weight.t());
    Tensor out = at::addmm(*residual, x, weight.t());
    if (bias) out.add_(*bias);
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const auto needs = [&](const char* input) {
      const int64_t index = context->saved_data[input].toInt();
      return index >= 0 && context->needs_input_grad(index);
    };
    const Tensor dy = grads[0].contiguous();
    Tensor dx, dw, db;
    const double flops = 2.0 * x.size(0) * weight.numel();
    if (context->needs_input_grad(0)) {
      dx = at::mm(dy, weight);
      detail::count_body_flops(flops);
    }
    if (context->needs_input_grad(1)) {
      auto target = gradient_target(weight, context->saved_data["weight_gradient"].toTensor());
      target.buffer.addmm_(dy.t(), x);
      dw = target.returned;
      detail::count_body_flops(flops);
    }
    if (needs("bias_input")) {
      const Tensor column_sum = dy.sum(0);
      const Tensor buffer = context->saved_data["bias_gradient"].toTensor();
      if (buffer.defined())
        buffer.add_(column_sum);
      else
        db = column_sum;
    }
    return {dx, dw, db, needs("residual_input") ? dy : Tensor(), Tensor(), Tensor()};
  }
};

struct EmbeddingFunction : Function<EmbeddingFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& tokens, const Tensor& weight,
                        const Buffer& gradient) {
    context->save_for_backward({tokens, weight});
    context->saved_data["gradient"] = gradient.tensor;
    const int64_t count = tokens.numel(), vocab = weight.size(0), width = weight.size(1);
    const int64_t* ids = tokens.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i)
      require(ids[i] >= 0 && ids[i] < vocab, ErrorKind::data, "embedding", "token[", i,
              "] = ", ids[i], " is outside [0, ", vocab,
              "). Was the tokenizer built for another model?");
    Tensor out = at::empty({count, width}, weight.options().requires_grad(false));
    at::parallel_for(0, count, row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::gather_rows(weight.const_data_ptr<float>(), width, ids + begin, end - begin,
                           out.mutable_data_ptr<float>() + begin * width);
    });
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    if (!context->needs_input_grad(1)) return {Tensor(), Tensor(), Tensor()};
    const Tensor dy = grads[0].contiguous();
    auto target = gradient_target(saved[1], context->saved_data["gradient"].toTensor());
    const int64_t width = dy.size(1);
    // Threads split columns, so that every sum keeps its order.
    at::parallel_for(0, width, 64, [&](int64_t begin, int64_t end) {
      kernels::scatter_add_rows(target.buffer.mutable_data_ptr<float>(), width,
                                saved[0].const_data_ptr<int64_t>(), dy.size(0),
                                dy.const_data_ptr<float>(), begin, end);
    });
    return {Tensor(), target.returned, Tensor()};
  }
};

// Runs f(begin, end, d_weight) over row ranges and adds the ranges' d_weight [width] into `total`
// in range order: the sum depends on the row count alone, not on how many threads ran.
template <class F>
void reduce_over_rows(int64_t rows, int64_t width, float* total, const F& f) {
  constexpr int64_t kRowsPerPart = 128;
  const int64_t parts = (rows + kRowsPerPart - 1) / kRowsPerPart;
  Tensor partial = at::zeros({parts, width}, at::kFloat);
  float* data = partial.mutable_data_ptr<float>();
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      f(p * kRowsPerPart, std::min(rows, (p + 1) * kRowsPerPart), data + p * width);
  });
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t j = 0; j < width; ++j) total[j] += data[p * width + j];
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Buffer& gradient, double eps) {
    const int64_t rows = x.size(0), width = x.size(1);
    Tensor y = at::empty_like(x), inverse_rms = at::empty({rows}, x.options().requires_grad(false));
    at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::rms_norm_forward(x.const_data_ptr<float>() + begin * width, end - begin, width,
                                width, weight.const_data_ptr<float>(), static_cast<float>(eps),
                                y.mutable_data_ptr<float>() + begin * width, width,
                                inverse_rms.mutable_data_ptr<float>() + begin);
    });
    context->save_for_backward({x, weight, inverse_rms});
    context->saved_data["gradient"] = gradient.tensor;
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &inverse_rms = saved[2];
    const Tensor dy = grads[0].contiguous();
    const int64_t rows = x.size(0), width = x.size(1);
    const bool trained = context->needs_input_grad(1);
    Tensor dx = at::empty_like(x);
    const auto target = trained
                            ? gradient_target(weight, context->saved_data["gradient"].toTensor())
                            : GradientTarget{at::zeros({width}, at::kFloat), Tensor()};
    reduce_over_rows(rows, width, target.buffer.mutable_data_ptr<float>(),
                     [&](int64_t begin, int64_t end, float* part) {
                       kernels::rms_norm_backward(
                           dy.const_data_ptr<float>() + begin * width, width,
                           x.const_data_ptr<float>() + begin * width, width,
                           weight.const_data_ptr<float>(),
                           inverse_rms.const_data_ptr<float>() + begin, end - begin, width,
                           dx.mutable_data_ptr<float>() + begin * width, width, false, part);
                     });
    return {dx, target.returned, Tensor(), Tensor()};
  }
};

struct HeadNormFunction : Function<HeadNormFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& qkv, const Tensor& q_weight,
                        const Tensor& k_weight, const Buffer& q_gradient, const Buffer& k_gradient,
                        int64_t query_heads, int64_t key_heads, int64_t head_dim, double eps) {
    const int64_t rows = qkv.size(0), normed = query_heads + key_heads, stride = qkv.size(1);
    Tensor out = qkv.clone();
    Tensor inverse_rms = at::empty({normed, rows}, qkv.options().requires_grad(false));
    at::parallel_for(0, normed, 1, [&](int64_t begin, int64_t end) {
      for (int64_t h = begin; h < end; ++h)
        kernels::rms_norm_forward(
            qkv.const_data_ptr<float>() + h * head_dim, rows, head_dim, stride,
            (h < query_heads ? q_weight : k_weight).const_data_ptr<float>(),
            static_cast<float>(eps), out.mutable_data_ptr<float>() + h * head_dim, stride,
            inverse_rms.mutable_data_ptr<float>() + h * rows);
    });
    context->save_for_backward({qkv, q_weight, k_weight, inverse_rms});
    context->saved_data["q_gradient"] = q_gradient.tensor;
    context->saved_data["k_gradient"] = k_gradient.tensor;
    context->saved_data["query_heads"] = query_heads;
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &qkv = saved[0], &inverse_rms = saved[3];
    const int64_t query_heads = context->saved_data["query_heads"].toInt();
    const int64_t rows = qkv.size(0), normed = inverse_rms.size(0), head_dim = saved[1].size(0),
                  stride = qkv.size(1);
    const Tensor dy = grads[0].contiguous();
    Tensor dx = dy.clone();  // v's part passes through
    Tensor partial = at::zeros({normed, head_dim}, at::kFloat);
    at::parallel_for(0, normed, 1, [&](int64_t begin, int64_t end) {
      for (int64_t h = begin; h < end; ++h)
        kernels::rms_norm_backward(dy.const_data_ptr<float>() + h * head_dim, stride,
                                   qkv.const_data_ptr<float>() + h * head_dim, stride,
                                   saved[h < query_heads ? 1 : 2].const_data_ptr<float>(),
                                   inverse_rms.const_data_ptr<float>() + h * rows, rows, head_dim,
                                   dx.mutable_data_ptr<float>() + h * head_dim, stride, false,
                                   partial.mutable_data_ptr<float>() + h * head_dim);
    });
    variable_list out(9);
    out[0] = dx;
    for (int side = 0; side < 2; ++side) {
      if (!context->needs_input_grad(1 + side)) continue;
      auto target = gradient_target(
          saved[1 + side], context->saved_data[side == 0 ? "q_gradient" : "k_gradient"].toTensor());
      target.buffer.add_(side == 0 ? partial.narrow(0, 0, query_heads).sum(0)
                                   : partial.narrow(0, query_heads, normed - query_heads).sum(0));
      out[1 + side] = target.returned;
    }
    return out;
  }
};

struct RopeFunction : Function<RopeFunction> {
  static Tensor rotate(const Tensor& x, const Tensor& positions, const Tensor& cosine,
                       const Tensor& sine, int64_t heads, int64_t head_dim, int direction) {
    Tensor out = x.clone(at::MemoryFormat::Contiguous);
    const int64_t stride = x.size(1);
    at::parallel_for(0, x.size(0), row_grain(stride), [&](int64_t begin, int64_t end) {
      kernels::rope_rotate(out.mutable_data_ptr<float>() + begin * stride, end - begin, stride,
                           heads, head_dim, positions.const_data_ptr<int64_t>() + begin,
                           cosine.const_data_ptr<float>(), sine.const_data_ptr<float>(), direction);
    });
    return out;
  }
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& positions,
                        const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t head_dim) {
    context->save_for_backward({positions, cosine, sine});
    context->saved_data["heads"] = heads;
    context->saved_data["head_dim"] = head_dim;
    return rotate(x, positions, cosine, sine, heads, head_dim, +1);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    variable_list out(6);
    out[0] = rotate(grads[0], saved[0], saved[1], saved[2], context->saved_data["heads"].toInt(),
                    context->saved_data["head_dim"].toInt(), -1);
    return out;
  }
};

struct SwigluFunction : Function<SwigluFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    context->save_for_backward({gate_up});
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    Tensor y = at::empty({rows, width}, gate_up.options().requires_grad(false));
    at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::swiglu_forward(gate_up.const_data_ptr<float>() + begin * 2 * width, end - begin,
                              width, y.mutable_data_ptr<float>() + begin * width);
    });
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const Tensor gate_up = context->get_saved_variables()[0];
    const Tensor dy = grads[0].contiguous();
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    Tensor out = at::empty_like(gate_up);
    at::parallel_for(0, rows, row_grain(width), [&](int64_t begin, int64_t end) {
      kernels::swiglu_backward(dy.const_data_ptr<float>() + begin * width,
                               gate_up.const_data_ptr<float>() + begin * 2 * width, end - begin,
                               width, out.mutable_data_ptr<float>() + begin * 2 * width);
    });
    return {out};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const Weight& weight, const Weight& bias,
                  const at::Tensor& residual) {
  check_matrix(x, "linear", weight.value.size(1));
  return LinearFunction::apply(x, weight.value, optional(bias.value), optional(residual),
                               Buffer{weight.gradient}, Buffer{bias.gradient});
}

at::Tensor embedding(const at::Tensor& tokens, const Weight& weight) {
  return EmbeddingFunction::apply(tokens, weight.value, Buffer{weight.gradient});
}

at::Tensor rms_norm(const at::Tensor& x, const Weight& weight, double eps) {
  check_matrix(x, "rms_norm", weight.value.size(0));
  return RmsNormFunction::apply(x.contiguous(), weight.value, Buffer{weight.gradient}, eps);
}

at::Tensor head_norm(const at::Tensor& qkv, const Weight& q_weight, const Weight& k_weight,
                     int64_t query_heads, int64_t key_heads, int64_t head_dim, double eps) {
  check_matrix(qkv, "head_norm", (query_heads + 2 * key_heads) * head_dim);
  return HeadNormFunction::apply(qkv.contiguous(), q_weight.value, k_weight.value,
                                 Buffer{q_weight.gradient}, Buffer{k_weight.gradient}, query_heads,
                                 key_heads, head_dim, eps);
}

at::Tensor rope(const at::Tensor& qkv, const at::Tensor& positions, const at::Tensor& cosine,
                const at::Tensor& sine, int64_t heads, int64_t head_dim) {
  return RopeFunction::apply(qkv, positions, cosine, sine, heads, head_dim);
}

at::Tensor swiglu(const at::Tensor& gate_up) { return SwigluFunction::apply(gate_up.contiguous()); }

}  // namespace pref::ops
