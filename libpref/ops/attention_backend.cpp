// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/attention_backend.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "libpref/base/error.h"
#include "libpref/base/log.h"

namespace pref::ops {
namespace {

using at::Tensor;

// --- plain: f32, entry by entry ---

Tensor heads_first(const Tensor& x, int64_t begin, int64_t end, int64_t group) {
  const Tensor part = x.narrow(0, begin, end - begin).to(at::kFloat).transpose(0, 1);
  return group == 1 ? part.contiguous() : part.repeat_interleave(group, 0);
}

// Scores [H, n, m] after scale and soft cap, invisible ones at minus infinity.
Tensor scores_of(const Tensor& q, const Tensor& k, const AttentionShape& shape) {
  const int64_t queries = q.size(1), keys = k.size(1);
  Tensor scores = at::bmm(q, k.transpose(1, 2)).mul_(shape.scale);
  if (shape.soft_cap > 0) scores = at::tanh(scores / shape.soft_cap).mul_(shape.soft_cap);
  const auto options = q.options().dtype(at::kLong);
  const Tensor distance = (at::arange(queries, options) + (keys - queries)).unsqueeze(1) -
                          at::arange(keys, options).unsqueeze(0);
  Tensor hidden = distance < 0;
  if (shape.window > 0) hidden = hidden.logical_or(distance >= shape.window);
  return scores.masked_fill_(hidden, -std::numeric_limits<float>::infinity());
}

struct PlainEntry {
  int64_t q_begin, q_end, k_begin, k_end, group;
  Tensor q, k, v;  // f32 [H, n, d]
};
PlainEntry plain_entry(const Tensor& q, const Tensor& k, const Tensor& v,
                       const VarlenEntries& entries, const AttentionShape& shape, int64_t e) {
  PlainEntry out{entries.cu_q[e], entries.cu_q[e + 1], entries.cu_k[e], entries.cu_k[e + 1],
                 shape.query_heads / shape.key_heads};
  out.q = heads_first(q, out.q_begin, out.q_end, 1);
  out.k = heads_first(k, out.k_begin, out.k_end, out.group);
  out.v = heads_first(v, out.k_begin, out.k_end, out.group);
  return out;
}

AttentionResult plain_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                              const VarlenEntries& entries, const AttentionShape& shape) {
  Tensor out = at::empty_like(q, at::MemoryFormat::Contiguous);
  for (int64_t e = 0; e < entries.entries(); ++e) {
    const PlainEntry p = plain_entry(q, k, v, entries, shape, e);
    const Tensor weights = at::softmax(scores_of(p.q, p.k, shape), -1);
    out.narrow(0, p.q_begin, p.q_end - p.q_begin).copy_(at::bmm(weights, p.v).transpose(0, 1));
  }
  return {out, {}, {}, {}};
}

AttentionGradient plain_backward(const Tensor& d_out, const Tensor& q, const Tensor& k,
                                 const Tensor& v, const AttentionResult& result,
                                 const VarlenEntries& entries, const AttentionShape& shape) {
  const auto empty = [](const Tensor& x) {
    return at::empty_like(x, at::MemoryFormat::Contiguous);
  };
  AttentionGradient grad{empty(q), empty(k), empty(v)};
  for (int64_t e = 0; e < entries.entries(); ++e) {
    const PlainEntry p = plain_entry(q, k, v, entries, shape, e);
    const Tensor scores = scores_of(p.q, p.k, shape), weights = at::softmax(scores, -1);
    const Tensor d_o = heads_first(d_out, p.q_begin, p.q_end, 1),
                 o = heads_first(result.out, p.q_begin, p.q_end, 1);
    Tensor d_scores = weights * (at::bmm(d_o, p.v.transpose(1, 2)) - (d_o * o).sum(-1, true));
    if (shape.soft_cap > 0) {
      const Tensor share = scores.div(shape.soft_cap).masked_fill(weights == 0, 0);
      d_scores = d_scores * (1 - share * share);
    }
    d_scores.mul_(shape.scale);
    // Heads that read one key head are added up.
    const auto put = [&](const Tensor& into, const Tensor& x, int64_t begin, int64_t group) {
      const Tensor sum = x.view({-1, group, x.size(1), x.size(2)}).sum(1);
      into.narrow(0, begin, x.size(1)).copy_(sum.transpose(0, 1));
    };
    put(grad.dq, at::bmm(d_scores, p.k), p.q_begin, 1);
    put(grad.dk, at::bmm(d_scores.transpose(1, 2), p.q), p.k_begin, p.group);
    put(grad.dv, at::bmm(weights.transpose(1, 2), d_o), p.k_begin, p.group);
  }
  return grad;
}

// --- FlashAttention-2 ---

std::optional<int64_t> window_left(const AttentionShape& shape) {
  return shape.window > 0 ? std::optional<int64_t>(shape.window - 1) : std::nullopt;
}

AttentionResult flash_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                              const VarlenEntries& entries, const AttentionShape& shape) {
  auto [out, lse, state, unused, debug] = at::_flash_attention_forward(
      q, k, v, entries.cu_q_device, entries.cu_k_device, entries.max_q, entries.max_k, 0.0, true,
      false, shape.scale, window_left(shape), std::nullopt);
  return {out, lse, state, unused};
}

AttentionGradient flash_backward(const Tensor& d_out, const Tensor& q, const Tensor& k,
                                 const Tensor& v, const AttentionResult& result,
                                 const VarlenEntries& entries, const AttentionShape& shape) {
  auto [dq, dk, dv] = at::_flash_attention_backward(
      d_out, q, k, v, result.out, result.lse, entries.cu_q_device, entries.cu_k_device,
      entries.max_q, entries.max_k, 0.0, true, result.state_a, result.state_b, shape.scale,
      window_left(shape), std::nullopt);
  return {dq, dk, dv};
}

// --- cuDNN, one dense block [B, heads, n, d] ---

Tensor dense(const Tensor& x, const VarlenEntries& entries) {
  return x.view({entries.entries(), entries.max_q, x.size(1), x.size(2)}).transpose(1, 2);
}
Tensor ragged(const Tensor& x) {  // and back to [T, heads, d]
  return x.transpose(1, 2).contiguous().view({-1, x.size(1), x.size(3)});
}

AttentionResult cudnn_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                              const VarlenEntries& entries, const AttentionShape& shape) {
  auto out = at::_scaled_dot_product_cudnn_attention(dense(q, entries), dense(k, entries),
                                                     dense(v, entries), std::nullopt, true, 0.0,
                                                     true, false, shape.scale);
  return {ragged(std::get<0>(out)), std::get<1>(out), std::get<6>(out), std::get<7>(out)};
}

AttentionGradient cudnn_backward(const Tensor& d_out, const Tensor& q, const Tensor& k,
                                 const Tensor& v, const AttentionResult& result,
                                 const VarlenEntries& entries, const AttentionShape& shape) {
  auto [dq, dk, dv] = at::_scaled_dot_product_cudnn_attention_backward(
      dense(d_out, entries), dense(q, entries), dense(k, entries), dense(v, entries),
      dense(result.out, entries), result.lse, result.state_a, result.state_b, Tensor(), Tensor(),
      Tensor(), entries.max_q, entries.max_q, 0.0, true, shape.scale);
  return {ragged(dq), ragged(dk), ragged(dv)};
}

// --- the check before first use ---

VarlenEntries check_entries(bool dense_block, at::Device device) {
  VarlenEntries entries;
  if (dense_block) {
    entries.cu_q = entries.cu_k = {0, 8, 16};
  } else {
    entries.cu_q = {0, 9, 13};  // a prompt with its branch, and a branch behind a prompt
    entries.cu_k = {0, 9, 18};
  }
  const auto moved = [&](const std::vector<int64_t>& values) {
    return at::tensor(at::ArrayRef<int64_t>(values), at::kInt).to(device);
  };
  entries.cu_q_device = moved(entries.cu_q);
  entries.cu_k_device = moved(entries.cu_k);
  entries.max_q = dense_block ? 8 : 9;
  entries.max_k = entries.max_q;
  entries.dense = dense_block;
  return entries;
}

// The largest difference to the plain form, as a share of its largest value; over output and
// gradients.
double difference(AttentionBackend backend, const Tensor& like, const AttentionShape& shape) {
  const VarlenEntries entries = check_entries(backend == AttentionBackend::cudnn, like.device());
  const auto made = [&](int64_t rows, int64_t heads, double phase) {
    const int64_t count = rows * heads * shape.head_dim;
    return (at::arange(count, like.options().dtype(at::kFloat)) * 0.37 + phase)
        .sin()
        .view({rows, heads, shape.head_dim})
        .to(like.scalar_type());
  };
  const Tensor q = made(entries.cu_q.back(), shape.query_heads, 0.1),
               k = made(entries.cu_k.back(), shape.key_heads, 1.3),
               v = made(entries.cu_k.back(), shape.key_heads, 2.9),
               d_out = made(entries.cu_q.back(), shape.query_heads, 4.1);
  const AttentionResult got = attention_forward(backend, q, k, v, entries, shape),
                        want = plain_forward(q, k, v, entries, shape);
  const AttentionGradient got_grad =
                              attention_backward(backend, d_out, q, k, v, got, entries, shape),
                          want_grad = plain_backward(d_out, q, k, v, want, entries, shape);
  double worst = 0;
  const auto compare = [&](const Tensor& a, const Tensor& b) {
    const Tensor x = a.to(at::kFloat), y = b.to(at::kFloat);
    const double share = (x - y).abs().max().item<double>() / y.abs().max().item<double>();
    worst = share <= worst ? worst : share;  // NaN becomes the worst
  };
  compare(got.out, want.out);
  compare(got_grad.dq, want_grad.dq);
  compare(got_grad.dk, want_grad.dk);
  compare(got_grad.dv, want_grad.dv);
  return worst;
}

// bf16 keeps 8 bits; gradients are sums of a few products of rounded values.
constexpr double kCheckTolerance = 0.03;

bool works(AttentionBackend backend, const Tensor& like, const AttentionShape& shape) {
  std::string reason;
  try {
    const double worst = difference(backend, like, shape);
    if (worst <= kCheckTolerance) return true;
    reason = "its results differ from plain attention by " + std::to_string(worst) +
             " of the largest value";
  } catch (const std::exception& error) {
    reason = error.what();
    reason = reason.substr(0, reason.find('\n'));
  }
  log_warning("attention: ", name_of(backend), " is not used for ", shape.query_heads, " and ",
              shape.key_heads, " heads of ", shape.head_dim, ": ", reason);
  return false;
}

}  // namespace

const char* name_of(AttentionBackend backend) {
  switch (backend) {
    case AttentionBackend::flash:
      return "FlashAttention-2";
    case AttentionBackend::cudnn:
      return "cuDNN";
    default:
      return "plain attention";
  }
}

AttentionBackend choose_attention(const Tensor& q, const AttentionShape& shape, bool dense_block) {
  if (!q.is_cuda() || q.scalar_type() != at::kBFloat16 || shape.soft_cap > 0)
    return AttentionBackend::plain;
  // cuDNN's backward pass adds in any order.
  const bool block =
      dense_block && shape.window == 0 && !at::globalContext().deterministicAlgorithms();
  static std::mutex mutex;
  static std::map<std::tuple<int64_t, int64_t, int64_t, int64_t, bool, int>, AttentionBackend>
      known;
  const std::lock_guard lock(mutex);
  const auto key = std::make_tuple(shape.query_heads, shape.key_heads, shape.head_dim, shape.window,
                                   block, static_cast<int>(q.device().index()));
  if (const auto found = known.find(key); found != known.end()) return found->second;
  const c10::NoGradGuard no_grad;
  AttentionBackend chosen = AttentionBackend::plain;
  if (block && works(AttentionBackend::cudnn, q, shape))
    chosen = AttentionBackend::cudnn;
  else if (works(AttentionBackend::flash, q, shape))
    chosen = AttentionBackend::flash;
  log_info("attention: ", name_of(chosen), block ? " (dense batch)" : " (packed batch)",
           ", cuDNN loaded: ", at::detail::getCUDAHooks().versionRuntimeCuDNN());
  return known[key] = chosen;
}

AttentionResult attention_forward(AttentionBackend backend, const Tensor& q, const Tensor& k,
                                  const Tensor& v, const VarlenEntries& entries,
                                  const AttentionShape& shape) {
  switch (backend) {
    case AttentionBackend::flash:
      return flash_forward(q, k, v, entries, shape);
    case AttentionBackend::cudnn:
      return cudnn_forward(q, k, v, entries, shape);
    default:
      return plain_forward(q, k, v, entries, shape);
  }
}

AttentionGradient attention_backward(AttentionBackend backend, const Tensor& d_out, const Tensor& q,
                                     const Tensor& k, const Tensor& v,
                                     const AttentionResult& result, const VarlenEntries& entries,
                                     const AttentionShape& shape) {
  switch (backend) {
    case AttentionBackend::flash:
      return flash_backward(d_out, q, k, v, result, entries, shape);
    case AttentionBackend::cudnn:
      return cudnn_backward(d_out, q, k, v, result, entries, shape);
    default:
      return plain_backward(d_out, q, k, v, result, entries, shape);
  }
}

}  // namespace pref::ops
