// SPDX-License-Identifier: Apache-2.0
#include "libpref/train/couple_batch.h"

#include "libpref/base/error.h"

namespace pref {

std::vector<double> couple_batch(const Objective& objective, std::span<const TokenizedRow> rows,
                                 std::span<const int64_t> indices, const ReferenceLogps& reference,
                                 const SequenceLogps& logps, CouplingState& state) {
  std::vector<Row<double>> batch(indices.size());
  size_t sequence = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    const auto& branches = rows[static_cast<size_t>(indices[i])].branches;
    require(branches.size() >= static_cast<size_t>(objective.min_branches()) &&
                branches.size() <= kMaxBranches,
            ErrorKind::option, objective.name(), "row ", indices[i], " has ", branches.size(),
            " branches; ", objective.min_branches(), " to ", kMaxBranches, " are required.");
    const auto ref = reference.row(indices[i]), ref_marked = reference.marked_row(indices[i]);
    batch[i].branches = static_cast<int>(branches.size());
    for (size_t k = 0; k < branches.size(); ++k, ++sequence)
      batch[i].branch[k] = {.logp = logps.logp.at(sequence),
                            .ref_logp = ref[k],
                            .num_tokens = static_cast<double>(branches[k].size()),
                            .marked = logps.marked.empty() ? 0 : logps.marked.at(sequence),
                            .ref_marked = ref_marked.empty() ? 0 : ref_marked[k]};
  }
  objective.couple(batch, state);
  std::vector<double> coupled;
  for (const Row<double>& row : batch)
    for (int k = 0; k < row.branches; ++k) coupled.push_back(row.branch[k].coupled);
  return coupled;
}

}  // namespace pref
