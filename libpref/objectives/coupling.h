// SPDX-License-Identifier: Apache-2.0
// What does not fit one row at a time: a quantity of the whole batch that enters every row's loss
// without a gradient, as KTO's estimate of the divergence, BCO's running mean of rewards, aot's
// sort. Such a term has two members more,
//   bool couples() const;
//   template <class Rows> PREF_HD void couple(Rows&& batch, CouplingState& state) const;
// and the trainer one forward pass more: statistics of the global batch, couple(), then the usual
// walk. couple() writes Sequence::coupled through the batch's mean(), each() and match(), which a
// device has its own of (pair_loss.cu); it may keep a running value in `state`, which checkpoints
// save.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <numeric>
#include <span>
#include <vector>

#include "libpref/objectives/pair.h"

namespace pref {

struct CouplingState {
  double mean = 0;      ///< running mean over batches
  double count = 0;     ///< batches seen
  bool frozen = false;  ///< evaluation: nothing is taken in
  /// Takes in one batch's value.
  PREF_HD void add(double value) {
    if (frozen) return;
    count += 1;
    mean += (value - mean) / count;
  }
  bool operator==(const CouplingState&) const = default;
};

/// What rows are ranked by: NaN comes last.
template <class T>
PREF_HD T rank_key(T value) {
  return value == value ? value : T(INFINITY);
}

/// A global batch on the host.
class HostRows {
 public:
  explicit HostRows(std::span<Row<double>> rows) : rows_(rows) {}
  /// The mean of value(row), added up in order; 0 for no rows.
  template <class Value>
  double mean(const Value& value) const {
    double sum = 0;
    for (const Row<double>& row : rows_) sum += value(row);
    return rows_.empty() ? 0 : sum / static_cast<double>(rows_.size());
  }
  /// change(row) for every row.
  template <class Change>
  void each(const Change& change) {
    for (Row<double>& row : rows_) change(row);
  }
  /// set(row, other(partner)) for every row: the partner's rank by `other` is the row's by `key`.
  /// Rows of equal value rank in their order. Neither looks at what set() changes.
  template <class Key, class Other, class Set>
  void match(const Key& key, const Other& other, const Set& set) {
    const std::vector<size_t> by_key = ranked(key), by_other = ranked(other);
    for (size_t i = 0; i < rows_.size(); ++i) set(rows_[by_key[i]], other(rows_[by_other[i]]));
  }

 private:
  template <class Value>
  std::vector<size_t> ranked(const Value& value) const {
    std::vector<size_t> order(rows_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return rank_key(value(rows_[a])) < rank_key(value(rows_[b]));
    });
    return order;
  }
  std::span<Row<double>> rows_;
};

template <class Term>
concept Coupled = requires(const Term& term, HostRows& batch, CouplingState& state) {
  { term.couples() } -> std::same_as<bool>;
  term.couple(batch, state);
};

/// BCO's shift: the batch's mean reward beta h of its first `branches` joins the running mean, which
/// each of them then gets.
template <class Rows>
PREF_HD void shift_by_running_reward(Rows&& batch, double beta, int branches,
                                     CouplingState& state) {
  state.add(beta / branches * batch.mean([branches](const auto& row) {
    double sum = 0;
    for (int k = 0; k < branches; ++k) sum += log_ratio(row.branch[k]);
    return sum;
  }));
  const double mean = state.mean;
  batch.each([branches, mean](auto& row) {
    for (int k = 0; k < branches; ++k) row.branch[k].coupled = mean;
  });
}

}  // namespace pref
