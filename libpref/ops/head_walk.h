// SPDX-License-Identifier: Apache-2.0
// The order in which a head goes through its labels, for every device: groups of whole rows within
// a budget of logits, each group logits -> statistics -> coefficients -> gradient without computing
// anything twice; a row beyond the budget takes the recompute form, its logits in chunks, once for
// the statistics and once more for the gradient.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "libpref/data/packing.h"

namespace pref {

/// Which hidden state predicts which token, of which sequence, of which row. Host arrays: [L], [L],
/// [S + 1], [B + 1].
struct Labels {
  std::span<const int64_t> row, token;
  std::span<const int64_t> sequence_first_label;
  std::span<const int64_t> row_first_sequence;
  std::span<const double> mark{};  ///< [L] weights of `marked` and `unlikely`, or empty
  int64_t num_labels() const { return static_cast<int64_t>(row.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(sequence_first_label.size()) - 1; }
  int64_t num_rows() const { return static_cast<int64_t>(row_first_sequence.size()) - 1; }
  /// Throws ErrorKind::option when the offsets do not tile the labels or a row index is outside [0,
  /// hidden_rows); ErrorKind::data: a token outside [0, vocab).
  void check(int64_t hidden_rows) const;
  void check_tokens(int64_t vocab) const;
};
Labels labels_of(const PackingPlan& plan);

struct LabelRange {
  int64_t first = 0, end = 0;
  int64_t count() const { return end - first; }
};

struct HeadGroup {
  int64_t first_row = 0, end_row = 0, first_sequence = 0, end_sequence = 0;
  LabelRange labels;
  bool recompute = false;
  std::vector<LabelRange> chunks;  ///< of `labels`; one unless recompute
};
/// Groups of whole rows of at most `budget` labels; larger rows alone, in chunks of at most
/// `recompute_chunk`.
std::vector<HeadGroup> head_groups(const Labels& labels, int64_t budget, int64_t recompute_chunk);
/// All labels in chunks, for statistics alone.
std::vector<LabelRange> label_chunks(const Labels& labels, int64_t chunk);

/// What a device does for a range of labels.
class HeadSteps {
 public:
  virtual ~HeadSteps() = default;
  virtual void logits(LabelRange range) = 0;      ///< into the one buffer
  virtual void statistics(LabelRange range) = 0;  ///< of the tokens, from the buffer
  virtual void coefficients(const HeadGroup& group) = 0;
  virtual void gradient(LabelRange range) = 0;  ///< from the buffer, which it overwrites
};
void walk_head(const std::vector<HeadGroup>& groups, HeadSteps& steps);
void walk_head(const std::vector<LabelRange>& chunks, HeadSteps& steps);  ///< statistics alone

}  // namespace pref
