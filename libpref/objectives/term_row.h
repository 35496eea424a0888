// SPDX-License-Identifier: Apache-2.0
// One term of an objective applied to one row, with what acts on it from outside: the same host and
// device code behind Objective's CPU loop and the CUDA kernel.
#pragma once
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
PREF_HD T pair_weight_of(const RowModifiers& modifiers, const Row<T>& row) {
  return modifiers.weighs ? modifiers.weighting(row) : T(1);
}

/// A row as the modifiers bend it: sums that count tails less, means for sums, phi(h) for h; and the
/// slopes by the original sums.
template <class T>
struct BentRow {
  Row<T> row;
  Row<T> unbent;  ///< as row, but with h itself
  T slope[kMaxBranches];
  PREF_HD BentRow(const Row<T>& from, const RowModifiers& modifiers) : row(from) {
    for (int k = 0; k < row.branches; ++k) {
      if (modifiers.shortens) modifiers.length.apply(row.branch[k]);
      slope[k] = modifiers.averages ? Averaging{}.apply(row.branch[k]) : T(1);
    }
    unbent = row;
    if (!modifiers.diverges) return;
    for (int k = 0; k < row.branches; ++k) {
      const ValueSlope<T> phi = modifiers.divergence(log_ratio(row.branch[k]));
      row.branch[k].logp = phi.value;
      row.branch[k].ref_logp = 0;
      slope[k] *= phi.slope;
    }
  }
};

/// Adds scale * term(row) to `sum`, whose pair_weight is that of the row; the rewards as well, if
/// no term gave them before.
template <class Term, class T>
PREF_HD void add_term(const Term& term, T scale, const Row<T>& row, const RowModifiers& modifiers,
                      bool rewarded, RowLoss<T>& sum) {
  if constexpr (has(Term::accepts, Accepts::weighting)) scale *= sum.pair_weight;
  const auto add = [&](const RowLoss<T>& one, const RowLoss<T>& rewards, const T* slope) {
    sum.loss += scale * one.loss;
    sum.exploration += scale * one.exploration;
    for (int k = 0; k < row.branches; ++k) {
      const T d_logp = scale * one.d_logp[k] * (slope ? slope[k] : T(1));
      sum.d_logp[k] += d_logp;
      sum.d_marked[k] += scale * one.d_marked[k];
      if (slope && modifiers.shortens) sum.d_marked[k] += T(modifiers.length.tail_slope()) * d_logp;
      sum.d_unlikely[k] += scale * one.d_unlikely[k];
      if (!rewarded) sum.reward[k] = rewards.reward[k];
    }
  };
  if (compares<Term>() && modifiers.bends()) {
    const BentRow<T> bent(row, modifiers);
    const RowLoss<T> one = term(bent.row);
    const bool plain = modifiers.diverges &&
                       modifiers.divergence.f_divergence_reward == DivergenceReward::log_ratio;
    add(one, plain && !rewarded ? term(bent.unbent) : one, bent.slope);
  } else {
    const RowLoss<T> one = term(row);
    add(one, one, nullptr);
  }
}

}  // namespace pref
