// SPDX-License-Identifier: Apache-2.0
// What does not fit one row at a time: a quantity of the whole batch that enters every row's loss
// without a gradient, as KTO's estimate of the divergence, BCO's running mean of rewards, aot's
// sort. Such a term has two members more,
//   bool couples() const;
//   template <class T> void couple(std::span<Row<T>> batch, CouplingState& state) const;
// and the trainer one forward pass more: statistics of the global batch, couple(), then the usual
// walk. couple() writes Sequence::coupled and may keep a running value in `state`, which
// checkpoints save.
#pragma once
#include <algorithm>
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
  void add(double value) {
    if (frozen) return;
    count += 1;
    mean += (value - mean) / count;
  }
  bool operator==(const CouplingState&) const = default;
};

template <class Term>
concept Coupled = requires(const Term& term, std::span<Row<double>> batch, CouplingState& state) {
  { term.couples() } -> std::same_as<bool>;
  term.couple(batch, state);
};

/// Rows by rising value(row); equal values keep their order.
template <class T, class Value>
std::vector<size_t> ranked(std::span<const Row<T>> batch, const Value& value) {
  std::vector<size_t> order(batch.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return value(batch[a]) < value(batch[b]); });
  return order;
}

/// BCO's shift: the batch's mean reward beta h of its first `branches` joins the running mean, which
/// every response of the batch then gets.
template <class T>
void shift_by_running_reward(std::span<Row<T>> batch, T beta, int branches, CouplingState& state) {
  if (batch.empty()) return;
  T sum = 0;
  for (const Row<T>& row : batch)
    for (int k = 0; k < branches; ++k) sum += beta * log_ratio(row.branch[k]);
  state.add(static_cast<double>(sum) / (static_cast<double>(batch.size()) * branches));
  for (Row<T>& row : batch)
    for (int k = 0; k < branches; ++k) row.branch[k].coupled = T(state.mean);
}

}  // namespace pref
