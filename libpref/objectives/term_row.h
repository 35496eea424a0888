// SPDX-License-Identifier: Apache-2.0
// One term of an objective applied to one row, with what acts on it from outside: the same host and
// device code behind Objective's CPU loop and the CUDA kernel.
#pragma once
#include <new>

#include "libpref/objectives/average.h"
#include "libpref/objectives/divergence.h"
#include "libpref/objectives/length.h"
#include "libpref/objectives/weighting.h"

namespace pref {

/// Modifiers as plain values, for a device has no std::optional.
struct RowModifiers {
  Weighting weighting;
  Divergence divergence;
  LengthDesensitization length;
  bool weighs = false, diverges = false, shortens = false, averages = false;
  PREF_HD bool bends() const { return diverges || shortens || averages; }
};

/// Does the term set responses of a row against each other?
template <class Term>
PREF_HD constexpr bool compares() {
  return Term::min_branches > 1 && !has(Term::needs, Needs::label);
}
/// Are the rewards of a row this term's, if it is the first such term of an objective?
template <class Term>
PREF_HD constexpr bool gives_rewards() {
  return Term::min_branches > 1 || has(Term::needs, Needs::label);
}

/// What the row brings has a place in the term, and what the term needs is there: a label, a margin,
/// win probabilities, scores that fall.
template <class Term, class T>
PREF_HD bool row_fits(const Row<T>& row) {
  if (row.branches < Term::min_branches) return false;
  if constexpr (has(Term::needs, Needs::label))
    if (row.label == 0) return false;
  if constexpr (!compares<Term>()) return true;
  constexpr bool kMargin = has(Term::accepts, Accepts::margin);
  if (!kMargin && row.margin != T(0)) return false;
  if constexpr (has(Term::needs, Needs::win_probability))
    for (int k = 0; k < 2; ++k)
      if (!(row.branch[k].win_probability >= T(0) && row.branch[k].win_probability <= T(1)))
        return false;
  if constexpr (has(Term::needs, Needs::score)) {
    for (int k = 1; k < row.branches; ++k)
      if (!(row.branch[k].score <= row.branch[k - 1].score)) return false;
    if (!(row.branch[0].score > row.branch[row.branches - 1].score)) return false;
  }
  return true;
}

/// The weight of the row's pair losses.
template <class T>
PREF_HD_CALL T pair_weight_of(const RowModifiers& modifiers, const Row<T>& row) {
  return modifiers.weighs ? modifiers.weighting(row) : T(1);
}

/// Bends a row as the modifiers of sums do, in place (sums that count tails less, means for sums);
/// slope[k]: the new sum's by the old.
template <class T>
PREF_HD_CALL void bend_sums(Row<T>& row, const RowModifiers& modifiers, T* slope) {
  for (int k = 0; k < row.branches; ++k) {
    if (modifiers.shortens) modifiers.length.apply(row.branch[k]);
    slope[k] = modifiers.averages ? Averaging{}.apply(row.branch[k]) : T(1);
  }
}

/// phi(h) for h, in place; its slopes enter `slope`.
template <class T>
PREF_HD_CALL void bend_ratios(Row<T>& row, const RowModifiers& modifiers, T* slope) {
  if (!modifiers.diverges) return;
  for (int k = 0; k < row.branches; ++k) {
    const ValueSlope<T> phi = modifiers.divergence(log_ratio(row.branch[k]));
    row.branch[k].logp = phi.value;
    row.branch[k].ref_logp = 0;
    slope[k] *= phi.slope;
  }
}

/// Adds scale * one to `sum`: derivatives times `slope` where a row was bent, the rewards of another
/// RowLoss where `rewards` is not null.
template <class T>
PREF_HD_CALL void add_scaled(T scale, const RowLoss<T>& one, int branches, const T* slope,
                             T tail_slope, const T* rewards, RowLoss<T>& sum) {
  sum.loss += scale * one.loss;
  sum.exploration += scale * one.exploration;
  for (int k = 0; k < branches; ++k) {
    const T d_logp = scale * one.d_logp[k] * (slope ? slope[k] : T(1));
    sum.d_logp[k] += d_logp;
    sum.d_marked[k] += scale * one.d_marked[k];
    if (tail_slope != T(0)) sum.d_marked[k] += tail_slope * d_logp;
    sum.d_unlikely[k] += scale * one.d_unlikely[k];
    if (rewards) sum.reward[k] = rewards[k];
  }
}

/// out = term(row), made where it stands: a device's stack is reserved for every thread it can hold.
template <class Term, class T>
PREF_HD_CALL void apply(const Term& term, const Row<T>& row, RowLoss<T>& out) {
  new (&out) RowLoss<T>(term(row));
}

/// Adds scale * term(row) to `sum`, whose pair_weight is that of the row; the rewards as well, if
/// no term gave them before. The modifiers bend the row in place.
template <class Term, class T>
PREF_HD void add_term(const Term& term, T scale, Row<T>& row, const RowModifiers& modifiers,
                      bool rewarded, RowLoss<T>& sum) {
  if constexpr (has(Term::accepts, Accepts::weighting)) scale *= sum.pair_weight;
  RowLoss<T> one;
  if (!compares<Term>() || !modifiers.bends()) {
    apply(term, row, one);
    return add_scaled(scale, one, row.branches, static_cast<const T*>(nullptr), T(0),
                      rewarded ? nullptr : one.reward, sum);
  }
  T slope[kMaxBranches];
  bend_sums(row, modifiers, slope);
  if (!rewarded && modifiers.diverges &&
      modifiers.divergence.f_divergence_reward == DivergenceReward::log_ratio) {
    apply(term, row, one);
    for (int k = 0; k < row.branches; ++k) sum.reward[k] = one.reward[k];
    rewarded = true;
  }
  bend_ratios(row, modifiers, slope);
  apply(term, row, one);
  const T tail = modifiers.shortens ? T(modifiers.length.tail_slope()) : T(0);
  add_scaled(scale, one, row.branches, slope, tail, rewarded ? nullptr : one.reward, sum);
}

}  // namespace pref
