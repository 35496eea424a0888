// SPDX-License-Identifier: Apache-2.0
// Batches of rows for pair_losses: random rows, their arrays on the device, and what the objective
// itself gives for each of them on the host.
#pragma once
#include <vector>

#include "kernels/cuda/runtime.h"
#include "libpref/objectives/objective.h"
#include "libpref/objectives/pair_loss.h"

namespace pref::device_check {

/// A row that every objective takes, but for the margin. Random: uniform(low, high), normal(),
/// integer(low, high) with both ends, coin().
template <class Random>
Row<double> random_row(Random& random, int branches) {
  Row<double> row;
  row.branches = branches;
  row.weight = random.uniform(0.1, 3);
  row.margin = random.uniform(-1, 1);
  row.label = random.coin() ? 1 : -1;
  for (int k = 0; k < branches; ++k) {
    const double n = static_cast<double>(random.integer(1, 30));
    row.branch[k] = {.logp = -n * random.uniform(0.05, 2),
                     .ref_logp = -n * random.uniform(0.05, 2),
                     .num_tokens = n,
                     .collision = -random.uniform(0.1, 3),
                     .max_logp = -random.uniform(0.1, 2),
                     .win_probability = random.uniform(0, 1),
                     .score = 0.8 * (branches - k) + random.uniform(0, 0.7),  // best first
                     .marked = random.normal(),
                     .ref_marked = random.normal(),
                     .unlikely = -random.uniform(0, 3),
                     .coupled = random.normal()};
  }
  return row;
}

/// `count` rows that the objective takes, margins and lists included where it has a place for them.
template <class T, class Random>
std::vector<Row<double>> random_rows(Random& random, const T&, int count) {
  std::vector<Row<double>> out;
  for (int i = 0; i < count; ++i) {
    const int fewest = T::min_branches > 2 ? T::min_branches : 2;
    out.push_back(random_row(random, fewest + (T::min_branches > 2 ? i % 3 : 0)));
    if (!has(T::accepts, Accepts::margin)) out.back().margin = 0;
  }
  return out;
}

/// Rows as pair_losses takes them.
class RowsOnDevice {
 public:
  explicit RowsOnDevice(const std::vector<Row<double>>& rows);
  DeviceRows arrays() const;
  int64_t rows() const { return weight_.size(); }
  int64_t sequences() const { return logp_.size(); }

 private:
  template <class T>
  using Array = kernels::cuda::DeviceArray<T>;
  Array<int64_t> first_sequence_, first_label_;
  Array<double> logp_, ref_logp_, collision_, max_logp_, win_probability_, score_, weight_, margin_;
  Array<double> marked_, ref_marked_, unlikely_, coupled_;
  Array<int32_t> label_;
};

/// Everything that pair_losses writes, one value a row or a sequence.
struct PairLosses {
  std::vector<double> loss, exploration, pair_weight, d_logp, reward, d_marked, d_unlikely;
  /// visit(name, member) for each.
  template <class Visit>
  static void each(const Visit& visit) {
    visit("loss", &PairLosses::loss);
    visit("exploration", &PairLosses::exploration);
    visit("pair_weight", &PairLosses::pair_weight);
    visit("d_logp", &PairLosses::d_logp);
    visit("reward", &PairLosses::reward);
    visit("d_marked", &PairLosses::d_marked);
    visit("d_unlikely", &PairLosses::d_unlikely);
  }
};
/// By the kernel; outputs are NaN before.
PairLosses losses_on_device(const Objective& objective, const Normalizers& normalizers,
                            const RowsOnDevice& rows);
/// By the objective itself.
PairLosses losses_on_host(const Objective& objective, const Normalizers& normalizers,
                          const std::vector<Row<double>>& rows);

/// Sequence::coupled of the batch by the kernel, one value a sequence; `state` takes the batch in.
/// `failed`: an update before it was not finite.
std::vector<double> coupled_on_device(const Objective& objective, const RowsOnDevice& rows,
                                      CouplingState& state, bool failed = false);
/// The same by the objective itself.
std::vector<double> coupled_on_host(const Objective& objective, std::vector<Row<double>> rows,
                                    CouplingState& state);

}  // namespace pref::device_check
