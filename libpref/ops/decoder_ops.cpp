// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/decoder_ops.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "libpref/base/error.h"
#include "libpref/ops/device.h"
#include "libpref/ops/flops.h"
#include "libpref/ops/matrix_product.h"

namespace pref::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

void check_matrix(const Tensor& x, const char* where, int64_t columns, const Tensor& weight) {
  require(x.dim() == 2 && x.size(1) == columns && x.scalar_type() == weight.scalar_type() &&
              (x.scalar_type() == at::kFloat || on_device(x)),
          ErrorKind::option, where,
          on_device(x) ? "a matrix of the weight's type" : "an f32 matrix", " with ", columns,
          " columns is required, got ", x.sizes(), " ", x.scalar_type(), ".");
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

Tensor inverse_rms_for(const Tensor& x) {
  return at::empty({x.size(0)}, x.options().dtype(at::kFloat).requires_grad(false));
}

// What stands before a matrix product and is computed again in the backward pass.
enum class Source { plain, norm, swiglu };

// The product's input; inverse_rms [T] is written by a norm.
Tensor input_of(Source source, const Tensor& x, const Tensor& norm_weight, double eps,
                const Tensor& inverse_rms) {
  if (source == Source::swiglu) return swiglu_rows(x);
  if (source == Source::plain) return x;
  Tensor normed = at::empty_like(x);
  rms_norm_rows(x, norm_weight, eps, normed, inverse_rms);
  return normed;
}

struct LinearFunction : Function<LinearFunction> {
  // x: the input, the norm's input, or gate and up.
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                        const std::optional<Tensor>& norm_weight, const Buffer& weight_gradient,
                        const Buffer& bias_gradient, const Buffer& norm_gradient, Source source,
                        double eps) {
    const Tensor norm = norm_weight.value_or(Tensor()),
                 inverse_rms = norm.defined() ? inverse_rms_for(x) : Tensor(),
                 input = input_of(source, x, norm, eps, inverse_rms);
    context->save_for_backward({x, weight, norm, inverse_rms});
    context->saved_data["weight_gradient"] = weight_gradient.tensor;
    context->saved_data["bias_gradient"] = bias_gradient.tensor;
    context->saved_data["norm_gradient"] = norm_gradient.tensor;
    context->saved_data["source"] = static_cast<int64_t>(source);
    context->saved_data["eps"] = eps;
    // Autograd numbers the inputs that are there.
    int64_t next = 2;
    context->saved_data["bias_input"] = bias ? next++ : -1;
    context->saved_data["residual_input"] = residual ? next++ : -1;
    context->saved_data["norm_input"] = norm_weight ? next++ : -1;
    detail::count_body_flops(2.0 * x.size(0) * weight.numel());
    if (!residual) return bias ? at::addmm(*bias, input, weight.t()) : at::mm(input, weight.t());
    Tensor out = at::addmm(*residual, input, weight.t());
    if (bias) out.add_(*bias);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &norm_weight = saved[2],
                 &inverse_rms = saved[3];
    const auto source = static_cast<Source>(context->saved_data["source"].toInt());
    const auto needs = [&](const char* input) {
      const int64_t index = context->saved_data[input].toInt();
      return index >= 0 && context->needs_input_grad(index);
    };
    const Tensor dy = grads[0].contiguous();
    const double flops = 2.0 * x.size(0) * weight.numel();
    Tensor dw, db, d_norm;
    if (context->needs_input_grad(1)) {
      const Tensor input =
          input_of(source, x, norm_weight, context->saved_data["eps"].toDouble(), inverse_rms);
      auto target = gradient_target(weight, context->saved_data["weight_gradient"].toTensor());
      add_product(target.buffer, dy.t(), input);
      dw = target.returned;
      detail::count_body_flops(flops);
    }
    if (needs("bias_input")) {
      const Tensor column_sum = dy.sum(0, false, at::kFloat);
      const Tensor buffer = context->saved_data["bias_gradient"].toTensor();
      if (buffer.defined())
        buffer.add_(column_sum);
      else
        db = column_sum.to(dy.scalar_type());
    }
    Tensor dx;
    if (context->needs_input_grad(0) || needs("norm_input")) {
      dx = at::mm(dy, weight);
      detail::count_body_flops(flops);
      if (source == Source::norm) {
        const auto target =
            needs("norm_input")
                ? gradient_target(norm_weight, context->saved_data["norm_gradient"].toTensor())
                : GradientTarget{at::zeros({norm_weight.size(0)}, inverse_rms.options()), Tensor()};
        rms_norm_rows_backward(dx, x, norm_weight, inverse_rms, dx, target.buffer);
        d_norm = target.returned;
      } else if (source == Source::swiglu) {
        dx = swiglu_rows_backward(dx, x);
      }
    }
    variable_list out(10);
    out[0] = dx;
    out[1] = dw;
    out[2] = db;
    if (needs("residual_input")) out[3] = dy;
    out[4] = d_norm;
    return out;
  }
};

struct EmbeddingFunction : Function<EmbeddingFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& tokens, const Tensor& weight,
                        const Buffer& gradient, const RowGroupTensors& groups) {
    context->save_for_backward({tokens, weight, groups.target, groups.begin, groups.source});
    context->saved_data["gradient"] = gradient.tensor;
    return take_rows(weight, tokens);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    variable_list out(4);
    if (!context->needs_input_grad(1)) return out;
    const Tensor &tokens = saved[0], dy = grads[0].contiguous();
    RowGroupTensors groups{saved[2], saved[3], saved[4]};
    if (on_device(dy) && !groups.defined()) {
      const Tensor ids = tokens.cpu();
      groups = row_groups_on(dy.device(), ids.const_data_ptr<int64_t>(), ids.numel());
    }
    auto target = gradient_target(saved[1], context->saved_data["gradient"].toTensor());
    add_rows(target.buffer, tokens.const_data_ptr<int64_t>(), groups, dy);
    out[1] = target.returned;
    return out;
  }
};

struct RmsNormFunction : Function<RmsNormFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Buffer& gradient, double eps) {
    Tensor y = at::empty_like(x), inverse_rms = inverse_rms_for(x);
    rms_norm_rows(x, weight, eps, y, inverse_rms);
    context->save_for_backward({x, weight, inverse_rms});
    context->saved_data["gradient"] = gradient.tensor;
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &inverse_rms = saved[2];
    Tensor dx = at::empty_like(x);
    const auto target =
        context->needs_input_grad(1)
            ? gradient_target(weight, context->saved_data["gradient"].toTensor())
            : GradientTarget{at::zeros({weight.size(0)}, inverse_rms.options()), Tensor()};
    rms_norm_rows_backward(grads[0].contiguous(), x, weight, inverse_rms, dx, target.buffer);
    return {dx, target.returned, Tensor(), Tensor()};
  }
};

struct HeadNormFunction : Function<HeadNormFunction> {
  /// The parts of q, k and v side by side; side 0 is q, 1 is k.
  struct Sides {
    int64_t query_heads, key_heads, head_dim;
    Tensor columns(const Tensor& x, int side) const {
      return x.narrow(1, side == 0 ? 0 : query_heads * head_dim,
                      (side == 0 ? query_heads : key_heads) * head_dim);
    }
    Tensor heads(const Tensor& x, int side) const {
      return x.narrow(0, side == 0 ? 0 : query_heads, side == 0 ? query_heads : key_heads);
    }
    Tensor values(const Tensor& x) const {  // these pass through
      return x.narrow(1, (query_heads + key_heads) * head_dim, key_heads * head_dim);
    }
  };
  static Tensor forward(AutogradContext* context, const Tensor& qkv, const Tensor& q_weight,
                        const Tensor& k_weight, const Buffer& q_gradient, const Buffer& k_gradient,
                        int64_t query_heads, int64_t key_heads, int64_t head_dim, double eps) {
    const int64_t normed = query_heads + key_heads;
    const Tensor out = at::empty_like(qkv),
                 inverse_rms = at::empty({normed, qkv.size(0)},
                                         qkv.options().dtype(at::kFloat).requires_grad(false));
    const Sides sides{query_heads, key_heads, head_dim};
    for (int side = 0; side < 2; ++side)
      head_norm_rows(sides.columns(qkv, side), side == 0 ? q_weight : k_weight, eps,
                     sides.columns(out, side), sides.heads(inverse_rms, side));
    sides.values(out).copy_(sides.values(qkv));
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
    const int64_t head_dim = saved[1].size(0);
    const Sides sides{query_heads, inverse_rms.size(0) - query_heads, head_dim};
    const Tensor dy = grads[0].contiguous(), dx = at::empty_like(dy);
    GradientTarget targets[2];
    for (int side = 0; side < 2; ++side) {
      targets[side] =
          context->needs_input_grad(1 + side)
              ? gradient_target(
                    saved[1 + side],
                    context->saved_data[side == 0 ? "q_gradient" : "k_gradient"].toTensor())
              : GradientTarget{at::zeros({head_dim}, inverse_rms.options()), Tensor()};
      head_norm_rows_backward(sides.columns(dy, side), sides.columns(qkv, side), saved[1 + side],
                              sides.heads(inverse_rms, side), sides.columns(dx, side),
                              targets[side].buffer);
    }
    sides.values(dx).copy_(sides.values(dy));
    variable_list out(9);
    out[0] = dx;
    out[1] = targets[0].returned;
    out[2] = targets[1].returned;
    return out;
  }
};

struct RopeFunction : Function<RopeFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& positions,
                        const Tensor& cosine, const Tensor& sine, int64_t heads, int64_t head_dim) {
    context->mark_dirty({x});
    context->save_for_backward({positions, cosine, sine});
    context->saved_data["heads"] = heads;
    context->saved_data["head_dim"] = head_dim;
    rope_rows(x, positions, cosine, sine, heads, head_dim, +1);
    return x;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    variable_list out(6);
    // In place where nobody else holds the gradient.
    Tensor dx = std::move(grads[0]);
    if (!dx.is_contiguous() || dx.use_count() > 1) dx = dx.clone(at::MemoryFormat::Contiguous);
    rope_rows(dx, saved[0], saved[1], saved[2], context->saved_data["heads"].toInt(),
              context->saved_data["head_dim"].toInt(), -1);
    out[0] = dx;
    return out;
  }
};

struct SwigluFunction : Function<SwigluFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    context->save_for_backward({gate_up});
    return swiglu_rows(gate_up);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {swiglu_rows_backward(grads[0].contiguous(), context->get_saved_variables()[0])};
  }
};

using Step = std::function<Tensor(const Tensor&)>;

struct RecomputedFunction : Function<RecomputedFunction> {
  struct Holder : torch::CustomClassHolder {
    explicit Holder(Step s) : step(std::move(s)) {}
    Step step;
  };
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& anchor,
                        const Step& step) {
    (void)anchor;
    context->save_for_backward({x});
    context->saved_data["step"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(step));
    return step(x);  // grad mode is off in here
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const bool wanted = context->needs_input_grad(0);
    Tensor x = context->get_saved_variables()[0].detach();
    x.set_requires_grad(wanted);
    Tensor y;
    {
      const at::AutoGradMode on(true);
      y = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["step"].toCapsule())
              ->step(x);
    }
    if (y.requires_grad()) torch::autograd::backward({y}, {grads[0]});
    return {wanted ? x.grad() : Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor linear(const Tensor& x, const Weight& weight, const Weight& bias, const Tensor& residual) {
  check_matrix(x, "linear", weight.value.size(1), weight.value);
  return LinearFunction::apply(x, weight.value, optional(bias.value), optional(residual),
                               std::optional<Tensor>(), Buffer{weight.gradient},
                               Buffer{bias.gradient}, Buffer{}, Source::plain, 0.0);
}

Tensor norm_linear(const Tensor& x, const Weight& norm, double eps, const Weight& weight,
                   const Weight& bias) {
  check_matrix(x, "norm_linear", weight.value.size(1), weight.value);
  return LinearFunction::apply(x.contiguous(), weight.value, optional(bias.value),
                               std::optional<Tensor>(), optional(norm.value),
                               Buffer{weight.gradient}, Buffer{bias.gradient},
                               Buffer{norm.gradient}, Source::norm, eps);
}

Tensor swiglu_linear(const Tensor& gate_up, const Weight& weight, const Weight& bias,
                     const Tensor& residual) {
  check_matrix(gate_up, "swiglu_linear", 2 * weight.value.size(1), weight.value);
  return LinearFunction::apply(gate_up.contiguous(), weight.value, optional(bias.value),
                               optional(residual), std::optional<Tensor>(), Buffer{weight.gradient},
                               Buffer{bias.gradient}, Buffer{}, Source::swiglu, 0.0);
}

void check_tokens(at::ArrayRef<int64_t> tokens, int64_t vocab, const char* where) {
  for (size_t i = 0; i < tokens.size(); ++i)
    require(tokens[i] >= 0 && tokens[i] < vocab, ErrorKind::data, where, "token[", i,
            "] = ", tokens[i], " is outside [0, ", vocab,
            "). Was the tokenizer built for another model?");
}

Tensor embedding(const Tensor& tokens, const Weight& weight, const RowGroupTensors& groups) {
  if (!on_device(weight.value))
    check_tokens({tokens.const_data_ptr<int64_t>(), static_cast<size_t>(tokens.numel())},
                 weight.value.size(0), "embedding");
  return EmbeddingFunction::apply(tokens, weight.value, Buffer{weight.gradient}, groups);
}

Tensor rms_norm(const Tensor& x, const Weight& weight, double eps) {
  check_matrix(x, "rms_norm", weight.value.size(0), weight.value);
  return RmsNormFunction::apply(x.contiguous(), weight.value, Buffer{weight.gradient}, eps);
}

Tensor head_norm(const Tensor& qkv, const Weight& q_weight, const Weight& k_weight,
                 int64_t query_heads, int64_t key_heads, int64_t head_dim, double eps) {
  check_matrix(qkv, "head_norm", (query_heads + 2 * key_heads) * head_dim, q_weight.value);
  return HeadNormFunction::apply(qkv.contiguous(), q_weight.value, k_weight.value,
                                 Buffer{q_weight.gradient}, Buffer{k_weight.gradient}, query_heads,
                                 key_heads, head_dim, eps);
}

Tensor rope(const Tensor& qkv, const Tensor& positions, const Tensor& cosine, const Tensor& sine,
            int64_t heads, int64_t head_dim) {
  return rope_(qkv.clone(at::MemoryFormat::Contiguous), positions, cosine, sine, heads, head_dim);
}

Tensor rope_(const Tensor& qkv, const Tensor& positions, const Tensor& cosine, const Tensor& sine,
             int64_t heads, int64_t head_dim) {
  return RopeFunction::apply(qkv, positions, cosine, sine, heads, head_dim);
}

Tensor swiglu(const Tensor& gate_up) { return SwigluFunction::apply(gate_up.contiguous()); }

Tensor recomputed(const Step& f, const Tensor& x, const Tensor& anchor) {
  return RecomputedFunction::apply(x, anchor, f);
}

}  // namespace pref::ops
