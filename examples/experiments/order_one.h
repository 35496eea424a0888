// SPDX-License-Identifier: Apache-2.0
// Order-1 language models: the next symbol depends on the last one alone. A table of logits, one row
// a state (0: start, 1 + v: after symbol v), one column a symbol, and a last one for EOS where
// texts end by themselves. What a text is to the model is the list of its table cells, and
// expectations over all texts are exact sums.
#pragma once
#include <cstdint>
#include <span>

#include "examples/experiments/tools.h"

namespace pref::experiments {

struct OrderOne {
  int symbols = 0;
  bool ends = false;  ///< has EOS
  Vector logits{};    ///< [symbols + 1][outputs()]

  int outputs() const { return symbols + (ends ? 1 : 0); }
  int states() const { return symbols + 1; }
};

/// log p of every cell: the softmax of each row.
Vector log_table(const OrderOne& model);

/// A text as cells state * outputs + symbol, EOS included.
using Text = std::vector<int>;
double text_logp(const Text& text, const Vector& table);
/// Ends after EOS, or after `longest` symbols.
Text sample_text(const OrderOne& model, const Vector& table, int longest, RandomStream& random);

struct TextPair {
  Text chosen, rejected;
  double ref_chosen = 0, ref_rejected = 0;  ///< log p under the reference
};

/// Row of libpref's objectives for a pair under the table's model.
Row<double> text_row(const OrderOne& model, const TextPair& pair, const Vector& table);

/// Mean loss over the pairs named and its gradient by the logits.
LossGradient text_loss(const Objective& objective, const OrderOne& model,
                       const std::vector<TextPair>& pairs, std::span<const int64_t> which);

/// Adam over shuffled batches; `each(step)` is called before the first step and after each.
struct TextTraining {
  double rate = 0.005;
  int64_t steps = 0, batch = 64;
};
void train_texts(const Objective& objective, const std::vector<TextPair>& pairs,
                 const TextTraining& how, uint64_t seed, OrderOne& model,
                 const std::function<void(int64_t)>& each);

/// Rewards of texts of a fixed length: a sum over places of position[t][symbol] and bigram[cell].
struct TextReward {
  std::vector<Vector> position;
  Vector bigram;
  double of(const Text& text, int outputs) const;
};
/// Exact for texts of reward.position.size() symbols.
double expected_reward(const OrderOne& model, const Vector& table, const TextReward& reward);
/// KL(pi || pi_ref) of texts of `length` symbols, exact, nats.
double text_kl(const OrderOne& model, const Vector& table, const Vector& ref_table, int length);

/// Mean number of symbols, EOS included, of a model that ends; exact.
double expected_length(const OrderOne& model, const Vector& table);
/// Mean over texts of the mean quality of their symbols (0 for the empty text), summed over the
/// lengths that matter.
double expected_quality(const OrderOne& model, const Vector& table, const Vector& quality);

}  // namespace pref::experiments
