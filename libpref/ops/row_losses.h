// SPDX-License-Identifier: Apache-2.0
// The objective applied to the rows of a batch: sequence statistics in, losses, rewards and
// coefficients out. Trainer, evaluation and the autograd operator share it.
#pragma once
#include <span>
#include <vector>

#include "libpref/objectives/objective.h"
#include "libpref/ops/preference_head.h"

namespace pref {

/// What rows carry besides their statistics. Empty spans mean reference 0, weight 1, margin 0, no
/// label, score 0, no win probability, nothing coupled.
struct RowInputs {
  std::span<const double> ref_logp{};                  ///< [S], nats
  std::span<const double> weight{}, margin{};          ///< [B]
  std::span<const int32_t> label{};                    ///< [B] unpaired feedback: 1, -1, 0 none
  std::span<const double> score{}, win_probability{};  ///< [S]
  std::span<const double> ref_marked{};                ///< [S], nats
  std::span<const double> coupled{};                   ///< [S] (Objective::couple)
};
/// Those that a packing plan carries.
RowInputs row_inputs(const PackingPlan& plan);

class RowLosses {
 public:
  /// Throws ErrorKind::option when a span has the wrong length, the objective needs a reference,
  /// marks or coupled values that are not given, or a row has fewer branches than the objective asks for or more than
  /// kMaxBranches. `objective` must outlive this.
  RowLosses(const Objective& objective, const Normalizers& normalizers, const Labels& labels,
            const RowInputs& inputs);

  /// Evaluates rows [first_row, end_row); writes their sequences' slopes.
  void operator()(const SequenceStatistics& statistics, int64_t first_row, int64_t end_row,
                  const SequenceSlopes& slopes);
  /// Evaluates all rows, without slopes.
  void operator()(const SequenceStatistics& statistics);

  const Objective& objective() const { return objective_; }
  const RowInputs& inputs() const { return inputs_; }
  double loss() const;  ///< sum over the rows seen, in row order
  const std::vector<double>& row_loss() const {
    return row_loss_;
  }  ///< [B], each divided by the normalizer
  const std::vector<double>& rewards() const { return rewards_; }  ///< [S]
  /// [B] what the row pays for exploring, not divided by the normalizer; empty unless the objective
  /// explores.
  const std::vector<double>& exploration() const { return exploration_; }
  /// [B] WPO's weight of the row; empty without weighting.
  const std::vector<double>& pair_weight() const { return pair_weight_; }

 private:
  Row<double> row_of(const SequenceStatistics& statistics, int64_t r) const;

  const Objective& objective_;
  Normalizers normalizers_;
  Labels labels_;
  RowInputs inputs_;
  std::vector<double> row_loss_, rewards_, exploration_, pair_weight_;
};

}  // namespace pref
