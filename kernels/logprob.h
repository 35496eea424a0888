// SPDX-License-Identifier: Apache-2.0
// Log-probability statistics of logits in one pass over the vocabulary, and their gradient in
// place.
// No objective is known here: the network's side of every preference loss is one coefficient per
// label.
//   y = transform(z);  lse = log sum_v e^y_v;  p = e^(y - lse)          online softmax,
//                      arXiv:1805.02867, algorithm 3
// Any alignment of an f32.
#pragma once
#include <cstdint>

namespace pref::kernels {

/// y = scale z, or soft_cap tanh(scale z / soft_cap) when soft_cap > 0 (Gemma 2). Applied in both
/// directions.
struct LogitTransform {
  float scale = 1;
  float soft_cap = 0;
};

/// Outputs of logprob_statistics, each [N] f32; any but logp and lse may be null.
struct TokenStatistics {
  float* logp = nullptr;       ///< log p(label), nats
  float* lse = nullptr;        ///< log sum_v exp(y_v), nats
  float* collision = nullptr;  ///< log sum_v p_v^2, nats (WPO, arXiv:2406.11827)
  float* entropy = nullptr;    ///< -sum_v p_v log p_v, nats
  float* max_logp = nullptr;   ///< log max_v p_v, nats
  float* hit = nullptr;        ///< 1 when the label's logit is the row maximum (ties count), else 0
  float* mean_logit = nullptr;  ///< mean of y over the vocabulary (TRL's logits/* metric)
};

/// logits [N, stride] f32, the first `vocab` columns used; labels [N] i64 in [0, vocab). Serial;
/// callers split rows over threads. A row's result depends on that row alone. NaN and infinities
/// propagate. Accumulates in f32 lanes. Throws pref::Error (data): label outside [0, vocab).
void logprob_statistics(const float* logits, int64_t rows, int64_t vocab, int64_t stride,
                        const int64_t* labels, LogitTransform transform,
                        const TokenStatistics& out);

/// Overwrites logits with dL/dz, where d_logp[i] = dL/dlogp[i]:
///   dz_v = d_logp (1[v = label] - p_v) dy/dz;  the label's element is d_logp (-expm1(logp)) dy/dz,
///     exact as p -> 1.
/// labels [N] i64; logp, lse, d_logp [N] f32, from logprob_statistics on the same logits. Throws
/// pref::Error (data): label outside [0, vocab).
void logprob_gradient(float* logits, int64_t rows, int64_t vocab, int64_t stride,
                      const int64_t* labels, const float* logp, const float* lse,
                      const float* d_logp, LogitTransform transform);

}  // namespace pref::kernels
