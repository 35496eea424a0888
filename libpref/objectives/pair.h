// SPDX-License-Identifier: Apache-2.0
// Lines that the losses of a pair share: log-ratios, means, rewards, and a function of one logit
// turned into derivatives by the two log-probs.
#pragma once
#include "libpref/objectives/logistic.h"
#include "libpref/objectives/row.h"

namespace pref {

/// h = log p / p_ref of the whole completion, nats.
template <class T>
PREF_HD T log_ratio(const Sequence<T>& s) {
  return s.logp - s.ref_logp;
}

/// log p per completion token, nats.
template <class T>
PREF_HD T mean_logp(const Sequence<T>& s) {
  return s.logp / s.num_tokens;
}

/// Rewards beta h of every branch, and nothing else yet.
template <class T>
PREF_HD RowLoss<T> log_ratio_rewards(const Row<T>& row, T beta) {
  RowLoss<T> out;
  for (int k = 0; k < row.branches; ++k) out.reward[k] = beta * log_ratio(row.branch[k]);
  return out;
}

/// Rewards beta logp / n of every branch, and nothing else yet.
template <class T>
PREF_HD RowLoss<T> mean_logp_rewards(const Row<T>& row, T beta) {
  RowLoss<T> out;
  for (int k = 0; k < row.branches; ++k) out.reward[k] = beta * mean_logp(row.branch[k]);
  return out;
}

/// Adds to branch k a loss of its own; `by_logp` is the derivative of its argument by logp.
template <class T>
PREF_HD void add_branch(RowLoss<T>& out, int k, ValueSlope<T> f, T by_logp) {
  out.loss += f.value;
  out.d_logp[k] += f.slope * by_logp;
}

/// Adds a loss f of one logit; `by_chosen` and `by_rejected` are the logit's derivatives by the two
/// log-probs.
template <class T>
PREF_HD void add_pair(RowLoss<T>& out, ValueSlope<T> f, T by_chosen, T by_rejected) {
  out.loss += f.value;
  out.d_logp[0] += f.slope * by_chosen;
  out.d_logp[1] += f.slope * by_rejected;
}

}  // namespace pref
