// SPDX-License-Identifier: Apache-2.0
// Rows to one packed run of tokens; see packing.h for the layout.
#include "libpref/data/packing.h"

#include <algorithm>

#include "libpref/base/error.h"

namespace pref {
namespace {

const TokenizedRow& row_at(std::span<const TokenizedRow> rows, int64_t index) {
  require(index >= 0 && index < static_cast<int64_t>(rows.size()), ErrorKind::option, "packing",
          "row index ", index, " is outside [0, ", rows.size(), ")");
  return rows[static_cast<size_t>(index)];
}

/// Appends `ids` at positions from `first_position` on; returns where they start in the plan.
int64_t append_tokens(PackingPlan& plan, const std::vector<int32_t>& ids, int64_t first_position) {
  const int64_t start = plan.num_tokens();
  plan.tokens.insert(plan.tokens.end(), ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i)
    plan.positions.push_back(first_position + static_cast<int64_t>(i));
  return start;
}

/// Appends the marks of branch `b`'s tokens.
void append_marks(PackingPlan& plan, const TokenizedRow& row, size_t b, Marks marks) {
  const size_t length = row.branches[b].size();
  if (marks == Marks::tail) {
    const size_t shorter =
        row.branches.size() < 2 ? length : std::min(row.branches[0].size(), row.branches[1].size());
    for (size_t i = 0; i < length; ++i) plan.label_mark.push_back(i >= shorter ? 1 : 0);
  } else if (marks == Marks::token_rewards) {
    require(b < row.token_rewards.size() && row.token_rewards[b].size() == length, ErrorKind::data,
            "packing", row.place, ": branch ", b, " has ", length,
            " tokens, which need one token reward each (\"token_rewards\"), got ",
            b < row.token_rewards.size() ? row.token_rewards[b].size() : 0, ".");
    plan.label_mark.insert(plan.label_mark.end(), row.token_rewards[b].begin(),
                           row.token_rewards[b].end());
  }
}

}  // namespace

PackingPlan pack_rows(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                      Marks marks) {
  PackingPlan plan;
  plan.sequence_first_label.push_back(0);
  plan.row_first_sequence.push_back(0);
  for (const int64_t index : indices) {
    const TokenizedRow& row = row_at(rows, index);
    require(!row.prompt.empty(), ErrorKind::data, "packing", row.place,
            ": the prompt has no token");
    require(!row.branches.empty(), ErrorKind::data, "packing", row.place,
            ": the row has no branch");
    const auto prompt_length = static_cast<int64_t>(row.prompt.size());
    const int64_t prompt_start = append_tokens(plan, row.prompt, 0);
    for (size_t b = 0; b < row.branches.size(); ++b) {
      const std::vector<int32_t>& branch = row.branches[b];
      require(!branch.empty(), ErrorKind::data, "packing", row.place, ": branch ", b,
              " has no token");
      const auto branch_length = static_cast<int64_t>(branch.size());
      const int64_t start = append_tokens(plan, branch, prompt_length);
      Segment segment{.start = start,
                      .length = branch_length,
                      .prefix_start = prompt_start,
                      .prefix_length = prompt_length,
                      .row = static_cast<int32_t>(plan.num_rows()),
                      .branch = static_cast<int32_t>(b)};
      if (b == 0) {  // branch 0 follows its prompt directly, so the two are one causal run
        segment.start = prompt_start;
        segment.length = prompt_length + branch_length;
        segment.prefix_length = 0;
      }
      plan.segments.push_back(segment);
      // The prompt's last hidden state predicts the first token of every branch.
      plan.label_row.push_back(prompt_start + prompt_length - 1);
      for (int64_t i = 0; i + 1 < branch_length; ++i) plan.label_row.push_back(start + i);
      plan.label_token.insert(plan.label_token.end(), branch.begin(), branch.end());
      plan.sequence_first_label.push_back(plan.num_labels());
      append_marks(plan, row, b, marks);
      plan.sequence_score.push_back(b < row.facts.scores.size() ? row.facts.scores[b] : 0);
      plan.sequence_win_probability.push_back(
          b < row.facts.win_probability.size() ? row.facts.win_probability[b] : -1);
    }
    plan.row_first_sequence.push_back(plan.num_sequences());
    plan.row_ids.push_back(index);
    plan.row_weight.push_back(row.facts.weight);
    plan.row_margin.push_back(row.facts.margin);
    plan.row_label.push_back(row.facts.desirable ? (*row.facts.desirable ? 1 : -1) : 0);
  }
  return plan;
}

std::vector<std::vector<int64_t>> split_by_tokens(std::span<const TokenizedRow> rows,
                                                  std::span<const int64_t> indices,
                                                  int64_t max_tokens) {
  require(max_tokens >= 1, ErrorKind::option, "packing", "max_tokens must be at least 1, got ",
          max_tokens);
  std::vector<std::vector<int64_t>> groups;
  int64_t used = 0;
  for (const int64_t index : indices) {
    const int64_t tokens = row_at(rows, index).num_tokens();
    if (groups.empty() || tokens > max_tokens - used) {
      groups.emplace_back();
      used = 0;
    }
    groups.back().push_back(index);
    used += tokens;
  }
  return groups;
}

}  // namespace pref
