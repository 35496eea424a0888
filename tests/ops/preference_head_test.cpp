// SPDX-License-Identifier: Apache-2.0
// The head's statistics and gradients against explicit logits in double, and what may not change
// them: the budget, the order of rows, frozen sides.
#include "libpref/ops/preference_head.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "libpref/objectives/objective.h"
#include "libpref/ops/row_losses.h"
#include "tests/ops/head_test_util.h"
#include "tests/reference/finite_difference.h"

namespace pref {
namespace {

using at::Tensor;
using ::testing::HasSubstr;
using namespace testing;  // pref::testing

void expect_statistics(const SequenceStatistics& ours, const SequenceStatistics& plain,
                       const SequenceStatistics& oracle) {
  for (const auto& [name, values] : every_statistic())
    EXPECT_TRUE(
        within_budget(to_tensor(ours.*values), to_tensor(plain.*values), to_tensor(oracle.*values)))
        << name;
}

// Every statistic as a plain f32 program has it.
SequenceStatistics plain_statistics(const HeadCase& c, const HeadOptions& options) {
  const Labels labels = c.labels();
  const Tensor all = plain_log_softmax(c.hidden, c.weight, labels, options);
  Tensor logits = at::matmul(c.hidden.index_select(0, as_tensor(labels.row)), c.weight.t()) *
                  options.logit_scale;
  if (options.logit_soft_cap > 0)
    logits = options.logit_soft_cap * at::tanh(logits / options.logit_soft_cap);
  const Tensor token = as_tensor(labels.token).unsqueeze(1);
  const Tensor own = all.gather(1, token).squeeze(1), top = all.amax(-1);
  const auto sums = [&](const Tensor& tokens) {
    return to_vector(sequence_sums(widened(tokens), labels));
  };
  return {.logp = sums(own),
          .collision = sums(at::logsumexp(2 * all, -1)),
          .entropy = sums(-(all.exp() * all).sum(-1)),
          .max_logp = sums(top),
          .hits = sums(own == top),
          .mean_logit = sums(logits.mean(-1)),
          .num_tokens = sums(at::ones_like(own))};
}

TEST(PreferenceHeadTest, Value) {
  // h = 1, W = (log 3, 0): p = (3/4, 1/4). One sequence of the labels 0 and 1, one empty sequence.
  const std::vector<int64_t> row = {0, 0}, token = {0, 1}, sequences = {0, 2, 2}, rows = {0, 2};
  const Labels labels{row, token, sequences, rows};
  const float log3 = std::log(3.0f);
  const Tensor weight = at::tensor({log3, 0.0f}).view({2, 1}), hidden = at::ones({1, 1});
  const Tensor d_weight = at::zeros({2, 1}), d_hidden = at::zeros({1, 1});
  PreferenceHead head({weight, d_weight}, {});
  const SequenceStatistics out = head.backward(hidden, labels, given(labels, {2, 5}), d_hidden);
  EXPECT_NEAR(out.logp[0], std::log(3.0 / 16), 2e-7);
  EXPECT_NEAR(out.collision[0], 2 * std::log(10.0 / 16), 2e-7);
  EXPECT_NEAR(out.entropy[0], -2 * (0.75 * std::log(0.75) + 0.25 * std::log(0.25)), 4e-7);
  EXPECT_NEAR(out.max_logp[0], 2 * std::log(0.75), 2e-7);
  EXPECT_NEAR(out.mean_logit[0], std::log(3.0), 2e-7);
  EXPECT_EQ(out.hits[0], 1);
  EXPECT_EQ(out.num_tokens[0], 2);
  for (const auto& [name, values] : every_statistic())
    EXPECT_EQ((out.*values)[1], 0) << name << " of no tokens";
  // dz = 2 (1 - 3/4, -1/4) and 2 (-3/4, 1 - 1/4): sums (-1, 1); dh = -log 3.
  EXPECT_NEAR(d_weight[0][0].item<double>(), -1, 1e-6);
  EXPECT_NEAR(d_weight[1][0].item<double>(), 1, 1e-6);
  EXPECT_NEAR(d_hidden[0][0].item<double>(), -std::log(3.0), 1e-6);
}

TEST(PreferenceHeadTest, MatchesReference) {
  Random random;
  for (const int64_t vocab : {2, 17, 64, 1000}) {
    for (const auto& [scale, cap] :
         std::vector<std::pair<double, double>>{{1, 0}, {0.5, 0}, {1, 2}, {2.5, 30}}) {
      SCOPED_TRACE("vocabulary " + std::to_string(vocab) + ", scale " + std::to_string(scale) +
                   ", cap " + std::to_string(cap));
      const HeadCase c = head_case(random, uneven_rows(), vocab, 24);
      const Labels labels = c.labels();
      HeadOptions options{.logit_scale = scale, .logit_soft_cap = cap};
      const HeadOracle oracle(widened(c.hidden), widened(c.weight), labels, options);
      const SequenceStatistics expected = oracle.statistics(), plain = plain_statistics(c, options);
      const std::vector<double> d_logp = random_coefficients(random, labels.num_sequences());
      const HeadGradients d_expected = oracle.gradient(d_logp);
      const Tensor h = leaf(c.hidden), w = leaf(c.weight);
      const auto d_plain =
          gradients(plain_logp(h, w, labels, options), {h, w}, to_tensor(d_logp).to(at::kFloat));
      options.logits_bytes = c.logits_bytes(10);
      expect_statistics(PreferenceHead({c.weight, {}}, options).statistics(c.hidden, labels), plain,
                        expected);
      const HeadResult ours = run_head(c, given(labels, d_logp), options);
      expect_statistics(ours.statistics, plain, expected);
      EXPECT_TRUE(within_budget(ours.d_hidden, d_plain[0], d_expected.hidden, 8));
      EXPECT_TRUE(within_budget(ours.d_weight, d_plain[1], d_expected.weight, 8));
    }
  }
}

TEST(PreferenceHeadTest, OptionsChangeStatisticsAndGradient) {
  Random random;
  const HeadCase c = head_case(random, uneven_rows(), 30, 8);
  const auto d_logp = random_coefficients(random, c.plan.num_sequences());
  const HeadResult base = run_head(c, given(c.labels(), d_logp));
  for (const HeadOptions& other :
       {HeadOptions{.logit_scale = 0.9}, HeadOptions{.logit_soft_cap = 3}}) {
    const HeadResult changed = run_head(c, given(c.labels(), d_logp), other);
    EXPECT_GT(distance(to_tensor(changed.statistics.logp), to_tensor(base.statistics.logp)), 1e-3);
    EXPECT_GT(distance(changed.d_hidden, base.d_hidden), 1e-3);
    EXPECT_GT(distance(changed.d_weight, base.d_weight), 1e-3);
  }
}

TEST(PreferenceHeadTest, GradientOfDpoThroughTheHead) {
  // loss(hidden, W) in double, by explicit logits and DPO as its paper writes it; every 5th element
  // by differences.
  Random random;
  const HeadCase c = head_case(random, {{3, {4, 2}}, {2, {3, 5}}}, 11, 6);
  const Labels labels = c.labels();
  const std::vector<double> ref = {-5, -4, -9, -7}, weight = {0.7, 1.9}, margin = {0.2, -0.3};
  const HeadOptions options{
      .logits_bytes = c.logits_bytes(7), .logit_scale = 0.8, .logit_soft_cap = 4};
  const int64_t in_hidden = c.hidden.numel();
  const auto loss = [&](const std::vector<double>& x) {
    const Tensor all = to_tensor(x);
    const HeadOracle oracle(all.narrow(0, 0, in_hidden).view(c.hidden.sizes()),
                            all.narrow(0, in_hidden, c.weight.numel()).view(c.weight.sizes()),
                            labels, options);
    const std::vector<double> logp = oracle.statistics().logp;
    double sum = 0;
    for (size_t r = 0; r < 2; ++r) {
      const double u =
          0.5 * ((logp[2 * r] - ref[2 * r]) - (logp[2 * r + 1] - ref[2 * r + 1])) - margin[r];
      sum += weight[r] * (0.9 * std::log1p(std::exp(-u)) + 0.1 * std::log1p(std::exp(u))) / 2;
    }
    return sum;
  };
  std::vector<double> x = to_vector(c.hidden);
  const std::vector<double> w = to_vector(c.weight);
  x.insert(x.end(), w.begin(), w.end());
  const Objective objective{DPO{.beta = 0.5, .label_smoothing = 0.1}};
  RowLosses losses(objective, {.rows = 2}, labels,
                   {.ref_logp = ref, .weight = weight, .margin = margin});
  const HeadResult ours = run_head(c, std::ref(losses), options);
  EXPECT_NEAR(losses.loss(), loss(x), 2e-7);
  std::vector<double> d = to_vector(ours.d_hidden);
  const std::vector<double> d_weight = to_vector(ours.d_weight);
  d.insert(d.end(), d_weight.begin(), d_weight.end());
  for (size_t i = 0; i < x.size(); i += 5)
    EXPECT_NEAR(d[i], reference::central_difference(loss, x, i), 1e-6) << "element " << i;
}

TEST(PreferenceHeadTest, InvariantToBudget) {
  Random random;
  std::vector<RowLengths> rows = uneven_rows();
  rows.push_back(
      {2,
       {150,
        140}});  // takes the recompute form in chunks of 128 under budgets from 128 to 289 rows
  const HeadCase c = head_case(random, rows, 50, 16);
  const Labels labels = c.labels();
  const auto d_logp = random_coefficients(random, labels.num_sequences());
  const HeadResult whole = run_head(c, given(labels, d_logp));
  for (const int64_t budget :
       {1, 2, 3, 5, 8, 15, 16, 40, 127, 128, 129, 200, 289, 290, 328, 329, 10000}) {
    SCOPED_TRACE("budget of " + std::to_string(budget) + " rows");
    // A few bytes more than whole rows change nothing.
    const HeadOptions options{.logits_bytes = c.logits_bytes(budget) + 7};
    const HeadResult out = run_head(c, given(labels, d_logp), options);
    const SequenceStatistics forward =
        PreferenceHead({c.weight, {}}, options).statistics(c.hidden, labels);
    for (const auto& [name, values] : every_statistic()) {
      const Tensor expected = to_tensor(whole.statistics.*values);
      EXPECT_LE(distance(to_tensor(out.statistics.*values), expected),
                1e-6 * (1 + largest(expected)))
          << name;
      EXPECT_LE(distance(to_tensor(forward.*values), expected), 1e-6 * (1 + largest(expected)))
          << name;
    }
    EXPECT_LE(distance(out.d_hidden, whole.d_hidden), 1e-6 * largest(whole.d_hidden));
    EXPECT_LE(distance(out.d_weight, whole.d_weight), 2e-6 * largest(whole.d_weight));
  }
}

TEST(PreferenceHeadTest, OversizedRowAmongSmallOnes) {
  // A row of 300 labels with a budget of 3: a hundred times too large, between rows that fit.
  Random random;
  const HeadCase c =
      head_case(random, {{1, {1, 1}}, {4, {160, 140}}, {1, {1, 2}}, {2, {1}}}, 40, 12);
  const Labels labels = c.labels();
  const auto d_logp = random_coefficients(random, labels.num_sequences());
  const HeadResult whole = run_head(c, given(labels, d_logp));
  std::vector<std::pair<int64_t, int64_t>> groups;
  const auto coefficients = given(labels, d_logp);
  const auto recording = [&](const SequenceStatistics& statistics, int64_t first, int64_t end,
                             const SequenceSlopes& out) {
    groups.emplace_back(first, end);
    EXPECT_EQ(static_cast<int64_t>(out.logp.size()), labels.num_sequences());
    for (int64_t s = labels.row_first_sequence[first]; s < labels.row_first_sequence[end]; ++s)
      EXPECT_NEAR(statistics.logp[s], whole.statistics.logp[s], 1e-3)
          << "summed before it is asked for";
    coefficients(statistics, first, end, out);
  };
  const HeadResult out = run_head(c, recording, {.logits_bytes = c.logits_bytes(3)});
  EXPECT_EQ(groups, (std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 2}, {2, 3}, {3, 4}}));
  EXPECT_LE(distance(to_tensor(out.statistics.logp), to_tensor(whole.statistics.logp)),
            1e-6 * largest(to_tensor(whole.statistics.logp)));
  EXPECT_LE(distance(out.d_hidden, whole.d_hidden), 1e-6 * largest(whole.d_hidden));
  EXPECT_LE(distance(out.d_weight, whole.d_weight), 2e-6 * largest(whole.d_weight));
  groups.clear();
  run_head(c, recording, {.logits_bytes = c.logits_bytes(4)});
  EXPECT_EQ(groups, (std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 2}, {2, 4}}))
      << "whole rows up to the budget";
}

TEST(PreferenceHeadTest, HiddenRowServingSeveralLabels) {
  // The shares of one hidden state add up: three labels of two sequences beside the same labels one
  // at a time.
  Random random;
  const std::vector<int64_t> row = {1, 1, 1, 0}, token = {3, 8, 3, 5}, sequences = {0, 2, 4},
                             rows = {0, 2};
  const Tensor weight = normal(random, {9, 5}), hidden = normal(random, {3, 5});
  const auto d_hidden_of = [&](const Labels& labels, std::vector<double> d_logp) {
    const Tensor out = at::zeros_like(hidden);
    PreferenceHead({weight, {}}, {})
        .backward(hidden, labels, given(labels, std::move(d_logp)), out);
    return out;
  };
  const Tensor all = d_hidden_of({row, token, sequences, rows}, {2, -3});
  Tensor sum = at::zeros_like(hidden);
  const std::vector<int64_t> one_sequence = {0, 1}, one_row = {0, 1};
  for (size_t i = 0; i < 4; ++i)
    sum += d_hidden_of(
        {std::span(row).subspan(i, 1), std::span(token).subspan(i, 1), one_sequence, one_row},
        {i < 2 ? 2.0 : -3.0});
  EXPECT_LE(distance(all, sum), 1e-6 * largest(sum));
  EXPECT_GT(largest(all[1]), 0);
  EXPECT_EQ(largest(all[2]), 0) << "no label reads this row";
}

TEST(PreferenceHeadTest, FrozenSides) {
  Random random;
  const HeadCase c = head_case(random, uneven_rows(), 60, 16);
  const auto coefficients = given(c.labels(), random_coefficients(random, c.plan.num_sequences()));
  for (const int64_t budget : {3, 1000}) {
    const HeadOptions options{.logits_bytes = c.logits_bytes(budget)};
    const HeadResult both = run_head(c, coefficients, options);
    const Tensor d_hidden = at::zeros_like(c.hidden), d_weight = at::zeros_like(c.weight);
    const auto only_hidden = PreferenceHead({c.weight, {}}, options)
                                 .backward(c.hidden, c.labels(), coefficients, d_hidden);
    EXPECT_TRUE(at::equal(d_hidden, both.d_hidden));
    const auto only_weight = PreferenceHead({c.weight, d_weight}, options)
                                 .backward(c.hidden, c.labels(), coefficients, {});
    EXPECT_TRUE(at::equal(d_weight, both.d_weight));
    const auto neither =
        PreferenceHead({c.weight, {}}, options).backward(c.hidden, c.labels(), coefficients, {});
    EXPECT_TRUE(same_bits(only_hidden, both.statistics));
    EXPECT_TRUE(same_bits(only_weight, both.statistics));
    EXPECT_TRUE(same_bits(neither, both.statistics));
  }
}

TEST(PreferenceHeadTest, GradientsAddToWhatIsThere) {
  Random random;
  const HeadCase c = head_case(random, uneven_rows(), 60, 16);
  const auto coefficients = given(c.labels(), random_coefficients(random, c.plan.num_sequences()));
  const HeadResult once = run_head(c, coefficients);
  const Tensor d_hidden = at::full_like(c.hidden, 0.5), d_weight = at::full_like(c.weight, 0.25);
  PreferenceHead head({c.weight, d_weight}, {});
  head.backward(c.hidden, c.labels(), coefficients, d_hidden);
  EXPECT_LE(distance(d_hidden, once.d_hidden + 0.5), 1e-6 * (1 + largest(once.d_hidden)));
  EXPECT_LE(distance(d_weight, once.d_weight + 0.25), 1e-6 * (1 + largest(once.d_weight)));
  // The same head again: its kept buffers carry nothing over.
  d_hidden.zero_();
  d_weight.zero_();
  EXPECT_TRUE(
      same_bits(head.backward(c.hidden, c.labels(), coefficients, d_hidden), once.statistics));
  EXPECT_TRUE(at::equal(d_hidden, once.d_hidden));
  EXPECT_TRUE(at::equal(d_weight, once.d_weight));
}

TEST(PreferenceHeadTest, InvariantToThreads) {
  // Labels and columns are split over threads; sums keep their order, products round on their own.
  Random random;
  const HeadCase c = head_case(random, {{2, {150, 40}}, {3, {60, 70}}, {1, {30, 1}}}, 200, 130);
  const auto coefficients = given(c.labels(), random_coefficients(random, c.plan.num_sequences()));
  for (const int64_t budget : {130, 1000}) {
    const HeadOptions options{.logits_bytes = c.logits_bytes(budget)};
    const HeadResult one = run_head(c, coefficients, options);
    Threads two(2);
    const HeadResult out = run_head(c, coefficients, options),
                     again = run_head(c, coefficients, options);
    EXPECT_LE(distance(to_tensor(out.statistics.logp), to_tensor(one.statistics.logp)),
              1e-6 * largest(to_tensor(one.statistics.logp)));
    EXPECT_LE(distance(out.d_hidden, one.d_hidden), 1e-6 * largest(one.d_hidden));
    EXPECT_LE(distance(out.d_weight, one.d_weight), 2e-6 * largest(one.d_weight));
    EXPECT_TRUE(same_bits(out.statistics, again.statistics));
    EXPECT_TRUE(at::equal(out.d_hidden, again.d_hidden));
    EXPECT_TRUE(at::equal(out.d_weight, again.d_weight));
  }
}

TEST(PreferenceHeadTest, InvariantToRowOrder) {
  Random random;
  const std::vector<RowLengths> lengths = uneven_rows();
  std::vector<TokenizedRow> rows;
  for (const RowLengths& row : lengths) rows.push_back(tokenized_row(random, row, 40));
  const Tensor weight = normal(random, {40, 16}), embedding = normal(random, {40, 16});
  const auto run = [&](std::vector<int64_t> order) {
    HeadCase c{pack_rows(rows, order), {}, weight};
    c.hidden = embedding.index_select(0, as_tensor(c.plan.tokens));
    std::vector<double> d_logp;  // by the first token of the branch, whatever place it has
    for (int64_t s = 0; s < c.plan.num_sequences(); ++s)
      d_logp.push_back(
          std::sin(static_cast<double>(c.plan.label_token[c.plan.sequence_first_label[s]])));
    return run_head(c, given(c.labels(), d_logp), {.logits_bytes = c.logits_bytes(9)});
  };
  const HeadResult forward = run({0, 1, 2, 3, 4}), turned = run({4, 3, 2, 1, 0});
  const std::vector<size_t> place = {8, 6, 3, 1, 0},
                            branches = {2, 2, 3, 2, 1};  // of row r in the turned order
  size_t s = 0;
  for (size_t r = 0; r < place.size(); ++r)
    for (size_t b = 0; b < branches[r]; ++b, ++s)
      EXPECT_NEAR(forward.statistics.logp[s], turned.statistics.logp[place[r] + b], 1e-5)
          << "row " << r;
  EXPECT_LE(distance(forward.d_weight, turned.d_weight), 2e-6 * largest(forward.d_weight));
}

TEST(PreferenceHeadTest, PromptsReceiveNoGradient) {
  // Only the prompt's last state predicts a completion token, and a branch's last state predicts
  // nothing.
  Random random;
  const HeadCase c = head_case(random, {{4, {3, 2}}}, 20, 8);
  const HeadResult out = run_head(c, given(c.labels(), {1, -2}));
  const std::vector<bool> labelled = {false, false, false, true, true, true, false, true, false};
  for (int64_t i = 0; i < c.plan.num_tokens(); ++i)
    EXPECT_EQ(largest(out.d_hidden[i]) > 0, labelled[static_cast<size_t>(i)]) << "token " << i;
}

TEST(PreferenceHeadTest, NaNStaysInItsSequence) {
  Random random;
  const HeadCase c = head_case(random, {{2, {3, 3}}, {2, {3, 3}}}, 20, 8);
  const auto d_logp = given(c.labels(), {1, -1, 1, -1});
  const HeadResult clean = run_head(c, d_logp);
  c.hidden[3] = std::nanf("");  // in branch 0 of row 0
  const HeadResult out = run_head(c, d_logp);
  EXPECT_TRUE(std::isnan(out.statistics.logp[0]));
  for (const size_t s : {1, 2, 3}) EXPECT_EQ(out.statistics.logp[s], clean.statistics.logp[s]);
}

TEST(PreferenceHeadTest, NoLabels) {
  Random random;
  const HeadCase c = head_case(random, {{2, {3, 3}}}, 20, 8);
  const std::vector<int64_t> none, zero = {0}, rows = {0, 0};
  PreferenceHead head({c.weight, at::zeros_like(c.weight)}, {});
  EXPECT_TRUE(head.statistics(c.hidden, {none, none, zero, zero}).logp.empty());
  const Tensor d_hidden = at::zeros_like(c.hidden);
  EXPECT_TRUE(head.backward(c.hidden, {none, none, zero, rows}, given({none, none, zero, rows}, {}),
                            d_hidden)
                  .logp.empty());
  EXPECT_EQ(largest(d_hidden), 0);
}

TEST(PreferenceHeadTest, RejectsABudgetBelowOneRow) {
  const Tensor weight = at::zeros({100, 4});
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         PreferenceHead({weight, {}}, {.logits_bytes = 399});
                       }),
              HasSubstr("[head] the logits budget must hold one row of the vocabulary (400 bytes), "
                        "got 399 bytes"));
  EXPECT_NO_THROW(PreferenceHead({weight, {}}, {.logits_bytes = 400}));
}

TEST(PreferenceHeadTest, RejectsAnLmHeadOfAnotherForm) {
  for (const Tensor& weight :
       {at::zeros({100, 4}, at::kDouble), at::zeros({4, 100}).t(), at::zeros({100})})
    EXPECT_THAT(error_of(ErrorKind::option,
                         [&] {
                           PreferenceHead({weight, {}}, {});
                         }),
                HasSubstr("[head] lm_head must be a contiguous f32 matrix"));
}

TEST(PreferenceHeadTest, RejectsLabels) {
  Random random;
  const HeadCase c = head_case(random, {{2, {2, 1}}, {1, {1, 1}}}, 20, 8);
  const auto rejected = [&](ErrorKind kind, const auto& spoil) {
    PackingPlan plan = c.plan;
    spoil(plan);
    const Labels labels = labels_of(plan);
    PreferenceHead head({c.weight, at::zeros_like(c.weight)}, {});
    const Tensor d_hidden = at::zeros_like(c.hidden);
    const auto untouched = [](const SequenceStatistics&, int64_t, int64_t, const SequenceSlopes&) {
      ADD_FAILURE() << "labels are checked before any row is computed";
    };
    const std::string text =
        error_of(kind, [&] { head.backward(c.hidden, labels, untouched, d_hidden); });
    EXPECT_EQ(error_of(kind, [&] { head.statistics(c.hidden, labels); }), text);
    return text;
  };
  const auto option = [&](const auto& spoil) { return rejected(ErrorKind::option, spoil); };
  EXPECT_THAT(option([](PackingPlan& p) { p.label_token.pop_back(); }),
              HasSubstr("[head] label rows and tokens must be equally many, got 5 and 4."));
  EXPECT_THAT(option([](PackingPlan& p) { p.label_row[3] = 8; }),
              HasSubstr("[head] label 3 reads hidden row 8, which is outside [0, 8)."));
  EXPECT_THAT(option([](PackingPlan& p) { p.label_row[0] = -1; }),
              HasSubstr("label 0 reads hidden row -1"));
  const std::string sequences = "sequence offsets must rise from 0 to the number of labels (5)";
  EXPECT_THAT(option([](PackingPlan& p) { p.sequence_first_label.back() = 4; }),
              HasSubstr(sequences));
  EXPECT_THAT(option([](PackingPlan& p) { p.sequence_first_label[0] = 1; }), HasSubstr(sequences));
  EXPECT_THAT(option([](PackingPlan& p) { p.sequence_first_label[1] = 4; }), HasSubstr(sequences));
  EXPECT_THAT(option([](PackingPlan& p) { p.sequence_first_label.clear(); }), HasSubstr(sequences));
  const std::string rows = "row offsets must rise from 0 to the number of sequences (4)";
  EXPECT_THAT(option([](PackingPlan& p) { p.row_first_sequence.back() = 5; }), HasSubstr(rows));
  EXPECT_THAT(option([](PackingPlan& p) { p.row_first_sequence.clear(); }), HasSubstr(rows));
  const auto data = [&](const auto& spoil) { return rejected(ErrorKind::data, spoil); };
  EXPECT_THAT(data([](PackingPlan& p) { p.label_token[4] = 20; }),
              HasSubstr("token[4] = 20 is outside [0, 20)"));
  EXPECT_THAT(data([](PackingPlan& p) { p.label_token[2] = -1; }),
              HasSubstr("token[2] = -1 is outside [0, 20)"));
}

TEST(PreferenceHeadTest, RejectsMatricesThatDisagree) {
  Random random;
  const HeadCase c = head_case(random, {{2, {2, 1}}}, 20, 8);
  PreferenceHead head({c.weight, {}}, {});
  const auto rejected = [&](const Tensor& hidden, const Tensor& d_hidden) {
    return error_of(ErrorKind::option, [&] {
      head.backward(hidden, c.labels(), given(c.labels(), {1, 1}), d_hidden);
    });
  };
  const std::string hidden = "[head] hidden states [T, 8] in f32 are required, got ";
  EXPECT_THAT(rejected(at::zeros({5, 7}), {}), HasSubstr(hidden + "[5, 7] Float"));
  EXPECT_THAT(rejected(at::zeros({5, 8}, at::kDouble), {}), HasSubstr(hidden + "[5, 8] Double"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         head.statistics(at::zeros({5, 7}), c.labels());
                       }),
              HasSubstr(hidden));
  const std::string gradient =
      "[head] d_hidden must be contiguous f32 of hidden's shape [5, 8], got ";
  EXPECT_THAT(rejected(c.hidden, at::zeros({4, 8})), HasSubstr(gradient + "[4, 8] Float"));
  EXPECT_THAT(rejected(c.hidden, at::zeros({8, 5}).t()), HasSubstr(gradient));
  EXPECT_THAT(rejected(c.hidden, at::zeros({5, 8}, at::kDouble)),
              HasSubstr(gradient + "[5, 8] Double"));
}

}  // namespace
}  // namespace pref
