// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/preference_head.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "kernels/gather.h"
#include "kernels/logprob.h"
#include "libpref/base/error.h"
#include "libpref/ops/flops.h"

namespace pref {
namespace {

constexpr int64_t kRecomputeChunk =
    128;  // rows: their logits stay in the last-level cache at common vocabularies
constexpr int64_t kStatisticsChunk =
    512;  // rows of the forward-only form: full GEMM rate, a quarter of a group's memory

struct LabelRange {
  int64_t first, end;
};

LabelRange labels_of_rows(const Labels& labels, int64_t first_row, int64_t end_row) {
  return {labels.sequence_first_label[labels.row_first_sequence[first_row]],
          labels.sequence_first_label[labels.row_first_sequence[end_row]]};
}

// A [rows, columns] view of the front of `buffer`, which grows when it must.
at::Tensor reuse(at::Tensor& buffer, int64_t rows, int64_t columns) {
  if (!buffer.defined() || buffer.numel() < rows * columns) {
    buffer.reset();  // before the new one is made: never two at a time
    buffer = at::empty({rows * columns}, at::kFloat);
  }
  return buffer.narrow(0, 0, rows * columns).view({rows, columns});
}

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
  for (int64_t i = 0; i < labels.num_labels(); ++i)
    require(labels.token[i] >= 0 && labels.token[i] < vocab, ErrorKind::data, "head", "token[", i,
            "] = ", labels.token[i], " is outside [0, ", vocab,
            "). Was the tokenizer built for another model?");
}

SequenceStatistics empty_statistics(const Labels& labels) {
  const auto zeros = std::vector<double>(labels.num_sequences(), 0.0);
  return {zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros};
}

// Adds the token values of labels [first, end) to their sequences, in label order.
template <class Tokens>
void add_tokens(const Labels& labels, int64_t first, int64_t end, const Tokens& tokens,
                SequenceStatistics& out) {
  const auto& offsets = labels.sequence_first_label;
  int64_t sequence = std::upper_bound(offsets.begin(), offsets.end(), first) - offsets.begin() - 1;
  for (int64_t label = first; label < end; ++label) {
    while (label >= offsets[sequence + 1]) ++sequence;
    const int64_t i = label - tokens.first;
    out.logp[sequence] += tokens.logp[i];
    out.collision[sequence] += tokens.collision[i];
    out.entropy[sequence] += tokens.entropy[i];
    out.max_logp[sequence] += tokens.max_logp[i];
    out.hits[sequence] += tokens.hit[i];
    out.mean_logit[sequence] += tokens.mean_logit[i];
    out.num_tokens[sequence] += 1;
    if (labels.mark.empty() || labels.mark[label] == 0) continue;
    out.marked[sequence] += labels.mark[label] * tokens.logp[i];
    out.unlikely[sequence] += labels.mark[label] * log_complement(tokens.logp[i]).value;
  }
}

kernels::LogitTransform transform_of(const HeadOptions& options) {
  return {static_cast<float>(options.logit_scale), static_cast<float>(options.logit_soft_cap)};
}

}  // namespace

// Per-token outputs of the statistics kernel for labels [first, first + size).
struct PreferenceHead::TokenBuffers {
  int64_t first = 0;
  std::vector<float> logp, lse, collision, entropy, max_logp, hit, mean_logit;
  TokenBuffers(int64_t first_label, int64_t count)
      : first(first_label),
        logp(count),
        lse(count),
        collision(count),
        entropy(count),
        max_logp(count),
        hit(count),
        mean_logit(count) {}
  kernels::TokenStatistics at(int64_t label) {
    const int64_t i = label - first;
    return {&logp[i], &lse[i], &collision[i], &entropy[i], &max_logp[i], &hit[i], &mean_logit[i]};
  }
};

Labels labels_of(const PackingPlan& plan) {
  return {plan.label_row, plan.label_token, plan.sequence_first_label, plan.row_first_sequence,
          plan.label_mark};
}

ValueSlope<double> log_complement(double logp) {
  constexpr double kLeast = 1e-6;
  const double complement = -std::expm1(logp);
  if (complement < kLeast) return {std::log(kLeast), 0};
  return {std::log(complement), -std::exp(logp) / complement};
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

at::Tensor PreferenceHead::logits_of(const at::Tensor& hidden, const Labels& labels, int64_t first,
                                     int64_t end) {
  const int64_t width = hidden.size(1), count = end - first, vocab = lm_head_.value.size(0);
  at::Tensor gathered = reuse(gathered_, count, width);
  at::parallel_for(0, count, 64, [&](int64_t a, int64_t b) {
    kernels::gather_rows(hidden.const_data_ptr<float>(), width, labels.row.data() + first + a,
                         b - a, gathered.mutable_data_ptr<float>() + a * width);
  });
  at::Tensor logits = reuse(logits_, count, vocab);
  at::mm_out(logits, gathered, lm_head_.value.t());
  detail::count_head_flops(2.0 * count * width * vocab);
  return logits;
}

void PreferenceHead::token_statistics(const at::Tensor& logits, const Labels& labels, int64_t first,
                                      TokenBuffers& out) {
  const int64_t vocab = logits.size(1);
  at::parallel_for(0, logits.size(0), 4, [&](int64_t a, int64_t b) {
    kernels::logprob_statistics(logits.const_data_ptr<float>() + a * vocab, b - a, vocab, vocab,
                                labels.token.data() + first + a, transform_of(options_),
                                out.at(first + a));
  });
}

void PreferenceHead::add_gradient(const at::Tensor& logits, const Labels& labels, int64_t first,
                                  const TokenBuffers& tokens, std::span<const float> d_logp,
                                  const at::Tensor& d_hidden) {
  const int64_t count = logits.size(0), vocab = logits.size(1), width = lm_head_.value.size(1);
  const int64_t offset = first - tokens.first;
  at::parallel_for(0, count, 4, [&](int64_t a, int64_t b) {
    kernels::logprob_gradient(logits.mutable_data_ptr<float>() + a * vocab, b - a, vocab, vocab,
                              labels.token.data() + first + a, tokens.logp.data() + offset + a,
                              tokens.lse.data() + offset + a, d_logp.data() + offset + a,
                              transform_of(options_));
  });
  at::Tensor gathered = reuse(gathered_, count, width);
  if (lm_head_.gradient.defined()) {
    lm_head_.gradient.addmm_(logits.t(), gathered);
    detail::count_head_flops(2.0 * count * width * vocab);
  }
  if (d_hidden.defined()) {
    at::mm_out(gathered, logits,
               lm_head_.value);  // the gathered hidden states are no longer needed
    detail::count_head_flops(2.0 * count * width * vocab);
    at::parallel_for(0, width, 64, [&](int64_t a, int64_t b) {
      kernels::scatter_add_rows(d_hidden.mutable_data_ptr<float>(), width,
                                labels.row.data() + first, count, gathered.const_data_ptr<float>(),
                                a, b);
    });
  }
}

SequenceStatistics PreferenceHead::statistics(const at::Tensor& hidden, const Labels& labels) {
  c10::NoGradGuard no_grad;
  check_inputs(hidden, labels, lm_head_.value);
  const at::Tensor h = hidden.detach().contiguous();
  SequenceStatistics out = empty_statistics(labels);
  const int64_t chunk = std::min(budget_rows(), kStatisticsChunk);
  for (int64_t first = 0; first < labels.num_labels(); first += chunk) {
    const int64_t end = std::min(labels.num_labels(), first + chunk);
    TokenBuffers tokens(first, end - first);
    token_statistics(logits_of(h, labels, first, end), labels, first, tokens);
    add_tokens(labels, first, end, tokens, out);
  }
  return out;
}

SequenceStatistics PreferenceHead::backward(const at::Tensor& hidden, const Labels& labels,
                                            const Coefficients& coefficients,
                                            const at::Tensor& d_hidden) {
  c10::NoGradGuard no_grad;
  check_inputs(hidden, labels, lm_head_.value, d_hidden);
  const at::Tensor h = hidden.detach().contiguous();
  SequenceStatistics out = empty_statistics(labels);
  std::vector<double> d_logp(labels.num_sequences(), 0.0), d_marked = d_logp, d_unlikely = d_logp;
  const int64_t budget = budget_rows();
  for (int64_t row = 0; row < labels.num_rows();) {
    int64_t end_row = row + 1;
    auto [first, end] = labels_of_rows(labels, row, end_row);
    while (end_row < labels.num_rows() &&
           labels_of_rows(labels, row, end_row + 1).end - first <= budget)
      end = labels_of_rows(labels, row, ++end_row).end;
    // A whole group at once, or one oversized row in chunks whose logits are computed twice.
    const bool recompute = end - first > budget;
    const int64_t chunk =
        recompute ? std::min(budget, kRecomputeChunk) : std::max<int64_t>(end - first, 1);
    TokenBuffers tokens(first, end - first);
    at::Tensor logits;
    for (int64_t a = first; a < end; a += chunk) {
      logits = logits_of(h, labels, a, std::min(end, a + chunk));
      token_statistics(logits, labels, a, tokens);
    }
    add_tokens(labels, first, end, tokens, out);
    coefficients(out, row, end_row, {d_logp, d_marked, d_unlikely});
    std::vector<float> d_token(end - first);
    for (int64_t s = labels.row_first_sequence[row]; s < labels.row_first_sequence[end_row]; ++s)
      for (int64_t l = labels.sequence_first_label[s]; l < labels.sequence_first_label[s + 1];
           ++l) {
        double d = d_logp[s];
        if (!labels.mark.empty() && labels.mark[l] != 0)
          d += labels.mark[l] *
               (d_marked[s] + d_unlikely[s] * log_complement(tokens.logp[l - first]).slope);
        d_token[l - first] = static_cast<float>(d);
      }
    for (int64_t a = first; a < end; a += chunk) {
      if (recompute) logits = logits_of(h, labels, a, std::min(end, a + chunk));
      add_gradient(logits, labels, a, tokens, d_token, d_hidden);
    }
    row = end_row;
  }
  return out;
}

}  // namespace pref
