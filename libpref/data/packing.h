// SPDX-License-Identifier: Apache-2.0
// The packed ragged batch as a plan of plain integers: no padding, the prompt stored once and
// shared by its branches.
//
//   row:       [ prompt | branch 0 | branch 1 | ... ]     positions of every branch start at the
//              prompt's length
//   segments:  {prompt + branch 0}, {branch 1, prefix = prompt}, ...
//
// A label (row, token, sequence) says: hidden state `row` predicts `token`, which belongs to
// `sequence`. The prompt's
// last hidden state therefore serves the first token of every branch.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "libpref/data/rows.h"

namespace pref {

/// A run of tokens that attends to itself causally and, before that, to all of [prefix_start,
/// prefix_start + prefix_length).
struct Segment {
  int64_t start = 0, length = 0;
  int64_t prefix_start = 0, prefix_length = 0;
  int32_t row = 0, branch = 0;
};

/// T tokens, L labels, S sequences (branches), B rows. Sequences are ordered by row, then branch;
/// labels by sequence, then position.
struct PackingPlan {
  std::vector<int64_t> tokens, positions;       // [T]
  std::vector<Segment> segments;                // [S], in sequence order
  std::vector<int64_t> label_row, label_token;  // [L]
  std::vector<int64_t> sequence_first_label;    // [S + 1]
  std::vector<int64_t> row_first_sequence;      // [B + 1]
  std::vector<int64_t> row_ids;                 // [B] index of the row in its data set
  std::vector<double> row_weight, row_margin;   // [B]
  std::vector<int32_t> row_label;  // [B] unpaired feedback: 1 desirable, -1 undesirable, 0 none
  std::vector<double> sequence_score, sequence_win_probability;  // [S]; 0 and -1: not given
  std::vector<double> label_mark;                                // [L], or empty (Marks::none)
  int64_t num_rows() const { return static_cast<int64_t>(row_ids.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(segments.size()); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_labels() const { return static_cast<int64_t>(label_row.size()); }
};

/// What marks a completion's tokens for objectives that look at single ones.
enum class Marks {
  none,
  tail,          ///< 1 beyond the length of the shorter of branches 0 and 1, else 0
  token_rewards  ///< TokenizedRow::token_rewards
};

/// Packs rows (by index into `rows`) in the order given. Throws ErrorKind::data for an empty prompt
/// or branch, and for token rewards that are missing or not one per token.
PackingPlan pack_rows(std::span<const TokenizedRow> rows, std::span<const int64_t> indices,
                      Marks marks = Marks::none);

/// Splits `indices`, in order, into groups of whole rows of at most `max_tokens` packed tokens; a
/// row larger than that stands alone.
std::vector<std::vector<int64_t>> split_by_tokens(std::span<const TokenizedRow> rows,
                                                  std::span<const int64_t> indices,
                                                  int64_t max_tokens);

}  // namespace pref
