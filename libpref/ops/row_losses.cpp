// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/row_losses.h"

#include <numeric>

#include "libpref/base/error.h"

namespace pref {

RowLosses::RowLosses(const Objective& objective, const Normalizers& normalizers,
                     const Labels& labels, const RowInputs& inputs)
    : objective_(objective),
      normalizers_(normalizers),
      labels_(labels),
      inputs_(inputs),
      row_loss_(labels.num_rows(), 0.0),
      rewards_(labels.num_sequences(), 0.0),
      exploration_(objective.explores() ? labels.num_rows() : 0, 0.0),
      pair_weight_(objective.modifiers().weighting ? labels.num_rows() : 0, 0.0) {
  const auto fits = [](const auto& values, int64_t count) {
    return values.empty() || static_cast<int64_t>(values.size()) == count;
  };
  for (const auto& per_sequence :
       {inputs.score, inputs.win_probability, inputs.ref_marked, inputs.coupled})
    require(fits(per_sequence, labels.num_sequences()), ErrorKind::option, objective.name(),
            "one score, win probability, marked reference sum and coupled value per sequence (",
            labels.num_sequences(), ") is required, got ", per_sequence.size(), ".");
  require(fits(inputs.ref_logp, labels.num_sequences()), ErrorKind::option, objective.name(),
          "one reference log-prob per sequence (", labels.num_sequences(), ") is required, got ",
          inputs.ref_logp.size(), ".");
  require(fits(inputs.weight, labels.num_rows()) && fits(inputs.margin, labels.num_rows()) &&
              fits(inputs.label, labels.num_rows()),
          ErrorKind::option, objective.name(), "one weight, margin and label per row (",
          labels.num_rows(), ") is required, got ", inputs.weight.size(), ", ",
          inputs.margin.size(), " and ", inputs.label.size(), ".");
  const Needs needs = objective.needs();
  const bool marks = has(needs, Needs::tail) || has(needs, Needs::token_rewards);
  require(labels.num_rows() == 0 || !marks || !labels.mark.empty(), ErrorKind::option,
          objective.name(), "marks of tokens are required (Labels::mark), none came.");
  require(labels.num_rows() == 0 || !has(needs, Needs::tail) || !inputs.ref_marked.empty(),
          ErrorKind::option, objective.name(),
          "marked reference sums are required (RowInputs::ref_marked), none came.");
  require(labels.num_rows() == 0 || !objective.couples() || !inputs.coupled.empty(),
          ErrorKind::option, objective.name(),
          "values coupled over the batch are required (Objective::couple), none came.");
  require(
      !has(objective.needs(), Needs::reference) || !inputs.ref_logp.empty() ||
          labels.num_rows() == 0,
      ErrorKind::option, objective.name(),
      "reference log-probs are required, none came. Compute them with the reference policy first.");
  for (int64_t r = 0; r < labels.num_rows(); ++r) {
    const int64_t branches = labels.row_first_sequence[r + 1] - labels.row_first_sequence[r];
    require(branches >= objective.min_branches() && branches <= kMaxBranches, ErrorKind::option,
            objective.name(), "row ", r, " has ", branches, " branches; ", objective.min_branches(),
            " to ", kMaxBranches, " are required.");
  }
}

RowInputs row_inputs(const PackingPlan& plan) {
  return {.weight = plan.row_weight,
          .margin = plan.row_margin,
          .label = plan.row_label,
          .score = plan.sequence_score,
          .win_probability = plan.sequence_win_probability};
}

Row<double> RowLosses::row_of(const SequenceStatistics& statistics, int64_t r) const {
  const auto given = [](std::span<const double> values, int64_t i, double otherwise) {
    return values.empty() ? otherwise : values[static_cast<size_t>(i)];
  };
  const int64_t first = labels_.row_first_sequence[r];
  Row<double> row;
  row.branches = static_cast<int>(labels_.row_first_sequence[r + 1] - first);
  row.weight = given(inputs_.weight, r, 1);
  row.margin = given(inputs_.margin, r, 0);
  row.label = inputs_.label.empty() ? 0 : inputs_.label[static_cast<size_t>(r)];
  for (int k = 0; k < row.branches; ++k) {
    const int64_t s = first + k;
    const double n = statistics.num_tokens[s];
    row.branch[k] = {.logp = statistics.logp[s],
                     .ref_logp = given(inputs_.ref_logp, s, 0),
                     .num_tokens = n,
                     .collision = statistics.collision[s] / n,
                     .max_logp = statistics.max_logp[s] / n,
                     .win_probability = given(inputs_.win_probability, s, -1),
                     .score = given(inputs_.score, s, 0),
                     .marked = statistics.marked[s],
                     .ref_marked = given(inputs_.ref_marked, s, 0),
                     .unlikely = statistics.unlikely[s],
                     .coupled = given(inputs_.coupled, s, 0)};
  }
  return row;
}

void RowLosses::operator()(const SequenceStatistics& statistics) {
  std::vector<double> logp(labels_.num_sequences()), marked = logp, unlikely = logp;
  (*this)(statistics, 0, labels_.num_rows(), {logp, marked, unlikely});
}

void RowLosses::operator()(const SequenceStatistics& statistics, int64_t first_row, int64_t end_row,
                           const SequenceSlopes& slopes) {
  for (int64_t r = first_row; r < end_row; ++r) {
    const int64_t first = labels_.row_first_sequence[r];
    const Row<double> row = row_of(statistics, r);
    const RowLoss<double> value = objective_(row, normalizers_);
    row_loss_[r] = value.loss;
    if (!exploration_.empty()) exploration_[r] = value.exploration * normalizers_.rows;
    if (!pair_weight_.empty()) pair_weight_[r] = value.pair_weight;
    for (int k = 0; k < row.branches; ++k) {
      slopes.logp[first + k] = value.d_logp[k];
      slopes.marked[first + k] = value.d_marked[k];
      slopes.unlikely[first + k] = value.d_unlikely[k];
      rewards_[first + k] = value.reward[k];
    }
  }
}

double RowLosses::loss() const { return std::accumulate(row_loss_.begin(), row_loss_.end(), 0.0); }

}  // namespace pref
