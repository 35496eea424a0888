// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/head_walk.h"

#include <algorithm>

#include "libpref/base/error.h"

namespace pref {

Labels labels_of(const PackingPlan& plan) {
  return {plan.label_row, plan.label_token, plan.sequence_first_label, plan.row_first_sequence,
          plan.label_mark};
}

void Labels::check(int64_t hidden_rows) const {
  const auto tiles = [](std::span<const int64_t> offsets, int64_t count) {
    return !offsets.empty() && offsets.front() == 0 && offsets.back() == count &&
           std::is_sorted(offsets.begin(), offsets.end());
  };
  require(token.size() == row.size(), ErrorKind::option, "head",
          "label rows and tokens must be equally many, got ", row.size(), " and ", token.size(),
          ".");
  require(tiles(sequence_first_label, num_labels()), ErrorKind::option, "head",
          "sequence offsets must rise from 0 to the number of labels (", num_labels(), ").");
  require(tiles(row_first_sequence, num_sequences()), ErrorKind::option, "head",
          "row offsets must rise from 0 to the number of sequences (", num_sequences(), ").");
  require(mark.empty() || mark.size() == row.size(), ErrorKind::option, "head",
          "one mark per label (", row.size(), ") or none is required, got ", mark.size(), ".");
  for (size_t i = 0; i < row.size(); ++i)
    require(row[i] >= 0 && row[i] < hidden_rows, ErrorKind::option, "head", "label ", i,
            " reads hidden row ", row[i], ", which is outside [0, ", hidden_rows, ").");
}

void Labels::check_tokens(int64_t vocab) const {
  for (size_t i = 0; i < token.size(); ++i)
    require(token[i] >= 0 && token[i] < vocab, ErrorKind::data, "head", "token[", i,
            "] = ", token[i], " is outside [0, ", vocab,
            "). Was the tokenizer built for another model?");
}

namespace {
std::vector<LabelRange> cut(LabelRange range, int64_t chunk) {
  std::vector<LabelRange> out;
  for (int64_t a = range.first; a < range.end; a += chunk)
    out.push_back({a, std::min(range.end, a + chunk)});
  return out;
}
}  // namespace

std::vector<LabelRange> label_chunks(const Labels& labels, int64_t chunk) {
  return cut({0, labels.num_labels()}, chunk);
}

std::vector<HeadGroup> head_groups(const Labels& labels, int64_t budget, int64_t recompute_chunk) {
  const auto first_label = [&](int64_t row) {
    return labels.sequence_first_label[labels.row_first_sequence[row]];
  };
  std::vector<HeadGroup> groups;
  for (int64_t row = 0; row < labels.num_rows();) {
    int64_t end_row = row + 1;
    const int64_t first = first_label(row);
    while (end_row < labels.num_rows() && first_label(end_row + 1) - first <= budget) ++end_row;
    HeadGroup group{row,
                    end_row,
                    labels.row_first_sequence[row],
                    labels.row_first_sequence[end_row],
                    {first, first_label(end_row)}};
    group.recompute = group.labels.count() > budget;
    group.chunks = cut(group.labels, group.recompute ? std::min(budget, recompute_chunk)
                                                     : std::max<int64_t>(group.labels.count(), 1));
    groups.push_back(std::move(group));
    row = end_row;
  }
  return groups;
}

void walk_head(const std::vector<HeadGroup>& groups, HeadSteps& steps) {
  for (const HeadGroup& group : groups) {
    for (const LabelRange& chunk : group.chunks) {
      steps.logits(chunk);
      steps.statistics(chunk);
    }
    steps.coefficients(group);
    for (const LabelRange& chunk : group.chunks) {
      if (group.recompute) steps.logits(chunk);
      steps.gradient(chunk);
    }
  }
}

void walk_head(const std::vector<LabelRange>& chunks, HeadSteps& steps) {
  for (const LabelRange& chunk : chunks) {
    steps.logits(chunk);
    steps.statistics(chunk);
  }
}

}  // namespace pref
