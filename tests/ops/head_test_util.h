// SPDX-License-Identifier: Apache-2.0
// The language-model head with explicit logits: in double from the kernels' oracles, and as a plain
// ATen program.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/reference/logprob.h"
#include "libpref/ops/preference_head.h"
#include "tests/ops/ops_test_util.h"

namespace pref::testing {

inline at::Tensor as_tensor(std::span<const int64_t> values) {
  return at::tensor(at::ArrayRef<int64_t>(values.data(), values.size()), at::kLong);
}

/// Hidden states, a vocabulary matrix and labels of packed rows.
struct HeadCase {
  PackingPlan plan;
  at::Tensor hidden;  // [T, D] f32
  at::Tensor weight;  // [V, D] f32
  Labels labels() const { return labels_of(plan); }
  int64_t vocab() const { return weight.size(0); }
  /// Bytes of the logits of `rows` labels.
  int64_t logits_bytes(int64_t rows) const { return rows * vocab() * 4; }
};

inline HeadCase head_case(Random& random, const std::vector<RowLengths>& rows, int64_t vocab,
                          int64_t width) {
  HeadCase out;
  out.plan = packed(random, rows, vocab);
  out.hidden = normal(random, {out.plan.num_tokens(), width});
  out.weight = normal(random, {vocab, width}, 1.5 / std::sqrt(static_cast<double>(width)));
  return out;
}

inline const std::vector<RowLengths>& uneven_rows() {
  static const std::vector<RowLengths> rows = {
      {3, {4, 2}}, {1, {1, 1}}, {2, {7, 5, 3}}, {5, {1, 9}}, {1, {6}}};
  return rows;
}

struct NamedStatistic {
  const char* name;
  std::vector<double> SequenceStatistics::*values;
};
inline const std::vector<NamedStatistic>& every_statistic() {
  static const std::vector<NamedStatistic> all = {{"logp", &SequenceStatistics::logp},
                                                  {"collision", &SequenceStatistics::collision},
                                                  {"entropy", &SequenceStatistics::entropy},
                                                  {"max_logp", &SequenceStatistics::max_logp},
                                                  {"hits", &SequenceStatistics::hits},
                                                  {"mean_logit", &SequenceStatistics::mean_logit},
                                                  {"num_tokens", &SequenceStatistics::num_tokens},
                                                  {"marked", &SequenceStatistics::marked},
                                                  {"unlikely", &SequenceStatistics::unlikely}};
  return all;
}

inline SequenceStatistics no_statistics(int64_t sequences) {
  SequenceStatistics out;
  for (const auto& statistic : every_statistic())
    (out.*statistic.values).assign(static_cast<size_t>(sequences), 0.0);
  return out;
}

struct HeadGradients {
  at::Tensor hidden, weight;
};

/// By definition, in double: a row of logits for every label.
class HeadOracle {
 public:
  HeadOracle(at::Tensor hidden, at::Tensor weight, const Labels& labels, HeadOptions options)
      : weight_(std::move(weight)),
        labels_(labels),
        options_(options),
        hidden_rows_(hidden.size(0)) {
    gathered_ = hidden.index_select(0, as_tensor(labels.row));
    const at::Tensor logits = at::matmul(gathered_, weight_.t()).contiguous();
    const double* data = logits.const_data_ptr<double>();
    for (int64_t i = 0; i < labels.num_labels(); ++i)
      logits_.emplace_back(data + i * weight_.size(0), data + (i + 1) * weight_.size(0));
  }

  SequenceStatistics statistics() const {
    SequenceStatistics out = no_statistics(labels_.num_sequences());
    for_each_label([&](size_t s, size_t i) {
      const auto y =
          reference::transform_logits(logits_[i], options_.logit_scale, options_.logit_soft_cap);
      const reference::RowStatistics row = reference::row_statistics(y, labels_.token[i]);
      out.logp[s] += row.logp;
      out.collision[s] += row.collision;
      out.entropy[s] += row.entropy;
      out.max_logp[s] += row.max_logp;
      out.hits[s] += row.hit;
      out.mean_logit[s] += row.mean_logit;
      out.num_tokens[s] += 1;
      if (labels_.mark.empty()) return;
      out.marked[s] += labels_.mark[i] * row.logp;
      out.unlikely[s] += labels_.mark[i] * std::log(-std::expm1(row.logp));
    });
    return out;
  }

  HeadGradients gradient(const std::vector<double>& d_logp) const {
    at::Tensor dz = at::zeros({labels_.num_labels(), weight_.size(0)}, at::kDouble);
    for_each_label([&](size_t s, size_t i) {
      const std::vector<double> row = reference::row_gradient(
          logits_[i], labels_.token[i], d_logp[s], options_.logit_scale, options_.logit_soft_cap);
      std::copy(row.begin(), row.end(), dz[static_cast<int64_t>(i)].mutable_data_ptr<double>());
    });
    const at::Tensor rows = at::zeros({hidden_rows_, weight_.size(1)}, at::kDouble)
                                .index_add(0, as_tensor(labels_.row), at::matmul(dz, weight_));
    return {rows, at::matmul(dz.t(), gathered_)};
  }

 private:
  template <class F>
  void for_each_label(const F& f) const {
    for (int64_t s = 0; s < labels_.num_sequences(); ++s)
      for (int64_t i = labels_.sequence_first_label[s]; i < labels_.sequence_first_label[s + 1];
           ++i)
        f(static_cast<size_t>(s), static_cast<size_t>(i));
  }
  at::Tensor gathered_, weight_;
  Labels labels_;
  HeadOptions options_;
  int64_t hidden_rows_;
  std::vector<std::vector<double>> logits_;
};

/// Sums of token values over sequences, [S], differentiable.
inline at::Tensor sequence_sums(const at::Tensor& tokens, const Labels& labels) {
  std::vector<int64_t> sequence;
  for (int64_t s = 0; s < labels.num_sequences(); ++s)
    sequence.insert(sequence.end(),
                    labels.sequence_first_label[s + 1] - labels.sequence_first_label[s], s);
  return at::zeros({labels.num_sequences()}, tokens.options())
      .index_add(0, as_tensor(sequence), tokens);
}

/// Log-probs of every label as a plain program writes them, in the type of `hidden`,
/// differentiable. [L, V]
inline at::Tensor plain_log_softmax(const at::Tensor& hidden, const at::Tensor& weight,
                                    const Labels& labels, const HeadOptions& options) {
  at::Tensor logits =
      at::matmul(hidden.index_select(0, as_tensor(labels.row)), weight.t()) * options.logit_scale;
  if (options.logit_soft_cap > 0)
    logits = options.logit_soft_cap * at::tanh(logits / options.logit_soft_cap);
  return at::log_softmax(logits, -1);
}

/// Summed log-probs [S], differentiable.
inline at::Tensor plain_logp(const at::Tensor& hidden, const at::Tensor& weight,
                             const Labels& labels, const HeadOptions& options = {}) {
  const at::Tensor all = plain_log_softmax(hidden, weight, labels, options);
  return sequence_sums(all.gather(1, as_tensor(labels.token).unsqueeze(1)).squeeze(1), labels);
}

inline std::vector<double> to_vector(const at::Tensor& x) {
  const at::Tensor wide = widened(x).contiguous();
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

inline at::Tensor to_tensor(const std::vector<double>& x) {
  return at::tensor(at::ArrayRef<double>(x), at::kDouble);
}

/// Coefficients that do not depend on the statistics.
inline PreferenceHead::Coefficients given(const Labels& labels, std::vector<double> d_logp) {
  return [labels, d_logp](const SequenceStatistics&, int64_t first_row, int64_t end_row,
                          const SequenceSlopes& out) {
    for (int64_t s = labels.row_first_sequence[first_row]; s < labels.row_first_sequence[end_row];
         ++s)
      out.logp[s] = d_logp[static_cast<size_t>(s)];
  };
}

inline std::vector<double> random_coefficients(Random& random, int64_t sequences) {
  std::vector<double> out;
  for (int64_t s = 0; s < sequences; ++s) out.push_back(random.normal());
  return out;
}

struct HeadResult {
  SequenceStatistics statistics;
  at::Tensor d_hidden, d_weight;
};

/// One backward walk into fresh gradients.
inline HeadResult run_head(const HeadCase& c, const PreferenceHead::Coefficients& coefficients,
                           HeadOptions options = {}) {
  HeadResult out{{}, at::zeros_like(c.hidden), at::zeros_like(c.weight)};
  PreferenceHead head({c.weight, out.d_weight}, options);
  out.statistics = head.backward(c.hidden, c.labels(), coefficients, out.d_hidden);
  return out;
}

inline bool same_bits(const SequenceStatistics& a, const SequenceStatistics& b) {
  bool all = true;
  for (const auto& statistic : every_statistic())
    all = all && a.*statistic.values == b.*statistic.values;
  return all;
}

}  // namespace pref::testing
