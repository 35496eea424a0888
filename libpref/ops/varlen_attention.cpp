// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/varlen_attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "kernels/cuda/rows.h"
#include "libpref/base/error.h"
#include "libpref/ops/flops.h"

namespace pref::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct Columns {
  const Tensor& matrix;  // [T, (H + 2 K) d]
  const AttentionShape& shape;
  Tensor query() const { return matrix.narrow(1, 0, shape.query_heads * shape.head_dim); }
  Tensor key() const { return key_value().narrow(1, 0, shape.key_heads * shape.head_dim); }
  Tensor value() const {
    return key_value().narrow(1, shape.key_heads * shape.head_dim,
                              shape.key_heads * shape.head_dim);
  }
  Tensor key_value() const {
    return matrix.narrow(1, shape.query_heads * shape.head_dim,
                         2 * shape.key_heads * shape.head_dim);
  }
};

struct Inputs {
  Tensor q, k, v;  // [T, H, d], [Tk, K, d]
};
Inputs inputs_of(const Tensor& qkv, const AttentionShape& shape, const VarlenPlan& plan) {
  const Columns columns{qkv, shape};
  const auto heads = [&](const Tensor& x, int64_t count) {
    return x.unflatten(1, {count, shape.head_dim});
  };
  if (!plan.expand.defined())
    return {heads(columns.query(), shape.query_heads), heads(columns.key(), shape.key_heads),
            heads(columns.value(), shape.key_heads)};
  const Tensor expanded = take_rows(columns.key_value(), plan.expand);
  const int64_t width = shape.key_heads * shape.head_dim;
  return {heads(columns.query(), shape.query_heads),
          heads(expanded.narrow(1, 0, width), shape.key_heads),
          heads(expanded.narrow(1, width, width), shape.key_heads)};
}

struct VarlenFunction : Function<VarlenFunction> {
  struct Holder : torch::CustomClassHolder {
    Holder(AttentionShape s, std::shared_ptr<const VarlenPlan> p, AttentionBackend b)
        : shape(s), plan(std::move(p)), backend(b) {}
    AttentionShape shape;
    std::shared_ptr<const VarlenPlan> plan;
    AttentionBackend backend;
  };

  static Tensor forward(AutogradContext* context, const Tensor& qkv, const AttentionShape& shape,
                        const std::shared_ptr<const VarlenPlan>& plan) {
    const auto held =
        c10::make_intrusive<Holder>(shape, plan, choose_attention(qkv, shape, plan->entries.dense));
    const Inputs in = inputs_of(qkv.detach(), shape, *plan);
    const AttentionResult result =
        attention_forward(held->backend, in.q, in.k, in.v, plan->entries, shape);
    const Tensor out = result.out.flatten(1);
    detail::count_attention_flops(4.0 * shape.query_heads * shape.head_dim *
                                  attended_pairs(plan->entries, shape.window));
    context->save_for_backward({qkv, out, result.lse, result.state_a, result.state_b});
    context->saved_data["held"] = c10::IValue::make_capsule(held);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor qkv = saved[0].detach();
    const auto held =
        c10::static_intrusive_pointer_cast<Holder>(context->saved_data["held"].toCapsule());
    const AttentionShape& shape = held->shape;
    const VarlenPlan& plan = *held->plan;
    const auto heads = [&](const Tensor& x) {
      return x.unflatten(1, {shape.query_heads, shape.head_dim});
    };
    const AttentionResult result{heads(saved[1].detach()), saved[2], saved[3], saved[4]};
    const Inputs in = inputs_of(qkv, shape, plan);
    const AttentionGradient grad = attention_backward(
        held->backend, heads(grads[0].contiguous()), in.q, in.k, in.v, result, plan.entries, shape);
    Tensor d_qkv = at::empty_like(qkv);
    const Columns columns{d_qkv, shape};
    columns.query().copy_(grad.dq.flatten(1));
    if (plan.expand.defined()) {
      sum_rows(columns.key(), plan.fold, grad.dk.contiguous().flatten(1));
      sum_rows(columns.value(), plan.fold, grad.dv.contiguous().flatten(1));
    } else {
      columns.key().copy_(grad.dk.flatten(1));
      columns.value().copy_(grad.dv.flatten(1));
    }
    detail::count_attention_flops(8.0 * shape.query_heads * shape.head_dim *
                                  attended_pairs(plan.entries, shape.window));
    return {d_qkv, Tensor(), Tensor()};
  }
};

}  // namespace

VarlenOffsets varlen_offsets(const std::vector<Segment>& segments, int64_t tokens) {
  VarlenOffsets out;
  out.cu_q = out.cu_k = {0};
  bool shared = false;
  // A block of one entry is no denser than that entry, and cuDNN plans each new shape for long.
  out.dense = segments.size() > 1 && segments[0].length > 1;
  for (const Segment& s : segments) {
    require(s.start == out.cu_q.back(), ErrorKind::internal, "attention",
            "segments must follow each other, but one begins at ", s.start, " after ",
            out.cu_q.back(), ".");
    for (int64_t i = 0; i < s.prefix_length; ++i) out.expand.push_back(s.prefix_start + i);
    for (int64_t i = 0; i < s.length; ++i) out.expand.push_back(s.start + i);
    out.cu_q.push_back(s.start + s.length);
    out.cu_k.push_back(static_cast<int64_t>(out.expand.size()));
    out.max_q = std::max(out.max_q, s.length);
    out.max_k = std::max(out.max_k, s.prefix_length + s.length);
    shared = shared || s.prefix_length > 0;
    out.dense = out.dense && s.prefix_length == 0 && s.length == segments[0].length;
  }
  require(out.cu_q.back() == tokens, ErrorKind::internal, "attention", "segments cover ",
          out.cu_q.back(), " of ", tokens, " tokens.");
  if (!shared) {
    out.expand.clear();
    return out;
  }
  // Every token is its own key at least once, so that group u is token u.
  kernels::cuda::RowGroups fold =
      kernels::cuda::group_rows(out.expand.data(), static_cast<int64_t>(out.expand.size()));
  out.fold_begin = std::move(fold.begin);
  out.fold_source = std::move(fold.source);
  return out;
}

double attended_pairs(const VarlenEntries& entries, int64_t window) {
  double pairs = 0;
  for (int64_t e = 0; e < entries.entries(); ++e) {
    const int64_t queries = entries.cu_q[e + 1] - entries.cu_q[e],
                  before = entries.cu_k[e + 1] - entries.cu_k[e] - queries;
    const auto n = static_cast<double>(queries);
    if (window == 0 || before + queries <= window) {
      pairs += n * static_cast<double>(before) + n * n / 2;
    } else {
      for (int64_t i = 0; i < queries; ++i)
        pairs += static_cast<double>(std::min(window, before + i + 1));
    }
  }
  return pairs;
}

at::Tensor varlen_attention(const Tensor& qkv, AttentionShape shape,
                            std::shared_ptr<const VarlenPlan> plan) {
  const int64_t width = (shape.query_heads + 2 * shape.key_heads) * shape.head_dim;
  require(qkv.dim() == 2 && qkv.size(1) == width && qkv.size(0) == plan->entries.cu_q.back(),
          ErrorKind::option, "attention", "qkv [", plan->entries.cu_q.back(), ", ", width,
          "] is required, got ", qkv.sizes(), ".");
  if (shape.scale == 0) shape.scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  return VarlenFunction::apply(qkv.contiguous(), shape, plan);
}

}  // namespace pref::ops
