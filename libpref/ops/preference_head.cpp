// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/preference_head.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "kernels/log_complement.h"
#include "kernels/logprob.h"
#include "libpref/base/error.h"
#include "libpref/ops/flops.h"
#include "libpref/ops/reused_buffer.h"
#include "libpref/ops/tensor_kernels.h"

namespace pref {
namespace {

constexpr int64_t kRecomputeChunk =
    128;  // rows: their logits stay in the last-level cache at common vocabularies
constexpr int64_t kStatisticsChunk =
    512;  // rows of the forward-only form: full GEMM rate, a quarter of a group's memory

// Everything the walk relies on, before anything is computed or added to a gradient.
void check_inputs(const at::Tensor& hidden, const Labels& labels, const at::Tensor& lm_head,
                  const at::Tensor& d_hidden = {}) {
  const int64_t vocab = lm_head.size(0), width = lm_head.size(1);
  require(hidden.dim() == 2 && hidden.size(1) == width && hidden.scalar_type() == at::kFloat,
          ErrorKind::option, "head", "hidden states [T, ", width, "] in f32 are required, got ",
          hidden.sizes(), " ", hidden.scalar_type(), ".");
  if (d_hidden.defined())
    require(d_hidden.sizes() == hidden.sizes() && d_hidden.scalar_type() == at::kFloat &&
                d_hidden.is_contiguous(),
            ErrorKind::option, "head", "d_hidden must be contiguous f32 of hidden's shape ",
            hidden.sizes(), ", got ", d_hidden.sizes(), " ", d_hidden.scalar_type(), ".");
  labels.check(hidden.size(0));
  labels.check_tokens(vocab);
}

SequenceStatistics empty_statistics(const Labels& labels) {
  const auto zeros = std::vector<double>(labels.num_sequences(), 0.0);
  return {zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros};
}

// Per-token outputs of the statistics kernel, [L] each.
struct TokenBuffers {
  std::vector<float> logp, lse, collision, entropy, max_logp, hit, mean_logit;
  explicit TokenBuffers(int64_t count)
      : logp(count),
        lse(count),
        collision(count),
        entropy(count),
        max_logp(count),
        hit(count),
        mean_logit(count) {}
  kernels::TokenStatistics at(int64_t i) {
    return {&logp[i], &lse[i], &collision[i], &entropy[i], &max_logp[i], &hit[i], &mean_logit[i]};
  }
};

// Adds the token values of labels [first, end) to their sequences, in label order.
void add_tokens(const Labels& labels, LabelRange range, const TokenBuffers& tokens,
                SequenceStatistics& out) {
  const auto& offsets = labels.sequence_first_label;
  int64_t sequence =
      std::upper_bound(offsets.begin(), offsets.end(), range.first) - offsets.begin() - 1;
  for (int64_t i = range.first; i < range.end; ++i) {
    while (i >= offsets[sequence + 1]) ++sequence;
    out.logp[sequence] += tokens.logp[i];
    out.collision[sequence] += tokens.collision[i];
    out.entropy[sequence] += tokens.entropy[i];
    out.max_logp[sequence] += tokens.max_logp[i];
    out.hits[sequence] += tokens.hit[i];
    out.mean_logit[sequence] += tokens.mean_logit[i];
    out.num_tokens[sequence] += 1;
    if (labels.mark.empty() || labels.mark[i] == 0) continue;
    out.marked[sequence] += labels.mark[i] * tokens.logp[i];
    out.unlikely[sequence] += labels.mark[i] * kernels::log_complement(tokens.logp[i]).value;
  }
}

}  // namespace

PreferenceHead::PreferenceHead(Weight lm_head, HeadOptions options)
    : lm_head_(std::move(lm_head)), options_(options) {
  require(lm_head_.value.dim() == 2 && lm_head_.value.scalar_type() == at::kFloat &&
              lm_head_.value.is_contiguous(),
          ErrorKind::option, "head",
          "lm_head must be a contiguous f32 matrix [vocabulary, hidden], got ",
          lm_head_.value.sizes(), " ", lm_head_.value.scalar_type(), ".");
  require(budget_rows() >= 1, ErrorKind::option, "head",
          "the logits budget must hold one row of the vocabulary (", lm_head_.value.size(0) * 4,
          " bytes), got ", options_.logits_bytes, " bytes. Raise logits_budget_mb.");
}

int64_t PreferenceHead::budget_rows() const {
  return options_.logits_bytes / (lm_head_.value.size(0) * static_cast<int64_t>(sizeof(float)));
}

// One call's walk.
struct PreferenceHead::Steps : HeadSteps {
  Steps(PreferenceHead& owner, const at::Tensor& hidden, const Labels& all,
        const Coefficients* give, const at::Tensor& d_hidden_or_none)
      : head(owner),
        h(hidden.detach().contiguous()),
        labels(all),
        coefficients_of(give),
        d_hidden(d_hidden_or_none),
        width(h.size(1)),
        vocab(owner.lm_head_.value.size(0)),
        transform{static_cast<float>(owner.options_.logit_scale),
                  static_cast<float>(owner.options_.logit_soft_cap)},
        out(empty_statistics(all)),
        tokens(all.num_labels()),
        d_token(coefficients_of ? all.num_labels() : 0),
        d_logp(all.num_sequences()),
        d_marked(d_logp),
        d_unlikely(d_logp) {}

  void logits(LabelRange range) override {
    at::Tensor gathered = ops::reused(head.gathered_, range.count(), width, at::kFloat);
    ops::take_rows_into(h, labels.row.data() + range.first, gathered);
    at::Tensor buffer = ops::reused(head.logits_, range.count(), vocab, at::kFloat);
    at::mm_out(buffer, gathered, head.lm_head_.value.t());
    count_flops(range);
  }

  void statistics(LabelRange range) override {
    const float* data = head.logits_.const_data_ptr<float>();
    at::parallel_for(0, range.count(), 4, [&](int64_t a, int64_t b) {
      kernels::logprob_statistics(data + a * vocab, b - a, vocab, vocab,
                                  labels.token.data() + range.first + a, transform,
                                  tokens.at(range.first + a));
    });
  }

  void coefficients(const HeadGroup& group) override {
    add_tokens(labels, group.labels, tokens, out);
    (*coefficients_of)(out, group.first_row, group.end_row, {d_logp, d_marked, d_unlikely});
    for (int64_t s = group.first_sequence; s < group.end_sequence; ++s)
      for (int64_t l = labels.sequence_first_label[s]; l < labels.sequence_first_label[s + 1];
           ++l) {
        double d = d_logp[s];
        if (!labels.mark.empty() && labels.mark[l] != 0)
          d += labels.mark[l] *
               (d_marked[s] + d_unlikely[s] * kernels::log_complement(tokens.logp[l]).slope);
        d_token[l] = static_cast<float>(d);
      }
  }

  void gradient(LabelRange range) override {
    at::Tensor logits = ops::reused(head.logits_, range.count(), vocab, at::kFloat);
    float* data = logits.mutable_data_ptr<float>();
    at::parallel_for(0, range.count(), 4, [&](int64_t a, int64_t b) {
      const int64_t l = range.first + a;
      kernels::logprob_gradient(data + a * vocab, b - a, vocab, vocab, labels.token.data() + l,
                                &tokens.logp[l], &tokens.lse[l], &d_token[l], transform);
    });
    at::Tensor gathered = ops::reused(head.gathered_, range.count(), width, at::kFloat);
    if (head.lm_head_.gradient.defined()) {
      head.lm_head_.gradient.addmm_(logits.t(), gathered);
      count_flops(range);
    }
    if (!d_hidden.defined()) return;
    at::mm_out(gathered, logits, head.lm_head_.value);  // the hidden states are no longer needed
    count_flops(range);
    ops::add_rows(d_hidden, labels.row.data() + range.first, {}, gathered);
  }

  void count_flops(LabelRange range) const {
    detail::count_head_flops(2.0 * range.count() * width * vocab);
  }

  PreferenceHead& head;
  const at::Tensor h;
  const Labels& labels;
  const Coefficients* coefficients_of;
  at::Tensor d_hidden;
  int64_t width, vocab;
  kernels::LogitTransform transform;
  SequenceStatistics out;
  TokenBuffers tokens;
  std::vector<float> d_token;
  std::vector<double> d_logp, d_marked, d_unlikely;
};

SequenceStatistics PreferenceHead::statistics(const at::Tensor& hidden, const Labels& labels) {
  c10::NoGradGuard no_grad;
  check_inputs(hidden, labels, lm_head_.value);
  Steps steps(*this, hidden, labels, nullptr, {});
  walk_head(label_chunks(labels, std::min(budget_rows(), kStatisticsChunk)), steps);
  add_tokens(labels, {0, labels.num_labels()}, steps.tokens, steps.out);
  return std::move(steps.out);
}

SequenceStatistics PreferenceHead::backward(const at::Tensor& hidden, const Labels& labels,
                                            const Coefficients& coefficients,
                                            const at::Tensor& d_hidden) {
  c10::NoGradGuard no_grad;
  check_inputs(hidden, labels, lm_head_.value, d_hidden);
  Steps steps(*this, hidden, labels, &coefficients, d_hidden);
  walk_head(head_groups(labels, budget_rows(), kRecomputeChunk), steps);
  return std::move(steps.out);
}

}  // namespace pref
