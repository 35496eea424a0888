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
  const auto fits = [](std::span<const double> values, int64_t count) {
    return values.empty() || static_cast<int64_t>(values.size()) == count;
  };
  require(fits(inputs.ref_logp, labels.num_sequences()), ErrorKind::option, objective.name(),
          "one reference log-prob per sequence (", labels.num_sequences(), ") is required, got ",
          inputs.ref_logp.size(), ".");
  require(fits(inputs.weight, labels.num_rows()) && fits(inputs.margin, labels.num_rows()),
          ErrorKind::option, objective.name(), "one weight and margin per row (", labels.num_rows(),
          ") is required, got ", inputs.weight.size(), " and ", inputs.margin.size(), ".");
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

void RowLosses::operator()(const SequenceStatistics& statistics, int64_t first_row, int64_t end_row,
                           std::span<double> d_logp) {
  for (int64_t r = first_row; r < end_row; ++r) {
    const int64_t first = labels_.row_first_sequence[r];
    Row<double> row;
    row.branches = static_cast<int>(labels_.row_first_sequence[r + 1] - first);
    if (!inputs_.weight.empty()) row.weight = inputs_.weight[r];
    if (!inputs_.margin.empty()) row.margin = inputs_.margin[r];
    for (int k = 0; k < row.branches; ++k) {
      const double n = statistics.num_tokens[first + k];
      row.branch[k] = {.logp = statistics.logp[first + k],
                       .ref_logp = inputs_.ref_logp.empty() ? 0.0 : inputs_.ref_logp[first + k],
                       .num_tokens = n,
                       .collision = statistics.collision[first + k] / n,
                       .max_logp = statistics.max_logp[first + k] / n};
    }
    const RowLoss<double> value = objective_(row, normalizers_);
    row_loss_[r] = value.loss;
    if (!exploration_.empty()) exploration_[r] = value.exploration * normalizers_.rows;
    if (!pair_weight_.empty()) pair_weight_[r] = value.pair_weight;
    for (int k = 0; k < row.branches; ++k) {
      d_logp[first + k] = value.d_logp[k];
      rewards_[first + k] = value.reward[k];
    }
  }
}

double RowLosses::loss() const { return std::accumulate(row_loss_.begin(), row_loss_.end(), 0.0); }

}  // namespace pref
