// SPDX-License-Identifier: Apache-2.0
// One step's loss and gradient: against the oracle, and the same however a batch is split, ordered
// or accumulated.
#include "libpref/train/step.h"

#include <ATen/ATen.h>

#include <functional>

#include "libpref/train/couple_batch.h"
#include "tests/reference/decoder_reference.h"
#include "tests/train/train_test_util.h"

namespace pref::testing {
namespace {

// A preference term and a token mean: the two normalizers that a split could get wrong.
Objective dpo_and_sft() {
  return Objective(std::vector<WeightedTerm>{{DPO{.beta = 0.4}, 1.0}, {SFT{}, 0.3}});
}

// Rows of unequal lengths, weights and margins, and reference log-probs that are not the policy's.
struct Problem {
  Model model = toy_model(3);
  std::vector<TokenizedRow> rows = counting_rows(8, 3);
  ReferenceLogps reference;
  Problem() {
    RandomStream random(3, "test reference");
    std::vector<double> values;
    for (auto& row : rows) {
      row.facts.weight = 0.5 + random.uniform();
      row.facts.margin = random.normal();
      for (const auto& branch : row.branches)
        values.push_back(-2.5 * static_cast<double>(branch.size()) + random.normal());
    }
    reference = ReferenceLogps(rows, values);
  }
};

struct Gradient {
  double loss;
  std::vector<float> flat;
};

// Loss and gradient of the rows taken in `parts`, each accumulated by itself, all under the
// normalizers of the whole.
Gradient accumulate(Problem& problem, const std::vector<std::vector<int64_t>>& parts,
                    int64_t tokens_per_microbatch, const Objective& objective) {
  PreferenceStep engine(problem.model.network(), objective,
                        {.tokens_per_microbatch = tokens_per_microbatch});
  ParameterStore& store = problem.model.network().parameters();
  store.zero_gradients();
  std::vector<int64_t> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  const Normalizers normalizers = normalizers_of(problem.rows, all);
  double loss = 0;
  for (const auto& part : parts)
    loss += engine.accumulate(problem.rows, part, problem.reference, normalizers).loss;
  return {loss, flat_gradient(store)};
}

// What another order of float additions may change: some roundings at the scale of the largest
// gradient.
void expect_same(const Gradient& a, const Gradient& b) {
  EXPECT_NEAR(a.loss, b.loss, 1e-6 * std::abs(b.loss));
  EXPECT_LE(largest_difference(a.flat, b.flat), 5e-6 * largest(b.flat));
}

// log p of every completion token, by row and branch, differentiable by the weights.
using TokenLogps = std::vector<std::vector<at::Tensor>>;

// One step of `objective` over all rows against autograd in double through the oracle's decoder and
// the loss as written in `expected_loss`.
void expect_matches_autograd(Problem& problem, const Objective& objective,
                             const std::function<at::Tensor(const TokenLogps&)>& expected_loss,
                             const std::vector<double>& coupled = {}) {
  PreferenceStep engine(problem.model.network(), objective, {});
  ParameterStore& store = problem.model.network().parameters();
  store.zero_gradients();
  const auto all = all_indices(problem.rows.size());
  const double ours = engine
                          .accumulate(problem.rows, all, problem.reference,
                                      normalizers_of(problem.rows, all), {}, {.values = coupled})
                          .loss;
  const DecoderConfig& config = problem.model.config();
  const reference::NamedTensors weights = reference::named_weights(store, at::kDouble);
  TokenLogps logps;
  for (const TokenizedRow& row : problem.rows) {
    logps.emplace_back();
    for (const auto& branch : row.branches) {
      std::vector<int64_t> tokens(row.prompt.begin(), row.prompt.end());
      tokens.insert(tokens.end(), branch.begin(), branch.end());
      const at::Tensor table = reference::decoder_logits(config, weights, tokens).log_softmax(-1);
      std::vector<at::Tensor> picked;
      for (size_t i = 0; i < branch.size(); ++i)
        picked.push_back(table[static_cast<int64_t>(row.prompt.size() + i) - 1][branch[i]]);
      logps.back().push_back(at::stack(picked));
    }
  }
  const at::Tensor loss = expected_loss(logps);
  EXPECT_NEAR(ours, loss.item<double>(), 2e-6 * std::abs(loss.item<double>()));
  loss.backward();
  for (const Parameter& p : store.parameters()) {
    int64_t first = 0;
    for (const auto& part : p.parts) {
      const at::Tensor expected = weights.at(part.name).grad();
      const at::Tensor got = p.gradient.narrow(0, first, part.shape[0]).to(at::kDouble);
      first += part.shape[0];
      const double scale = expected.abs().max().item<double>();
      // Float through two layers and the head against double: some tens of roundings.
      EXPECT_LE((got - expected).abs().max().item<double>(), 2e-5 * scale) << part.name;
    }
  }
}

TEST(PreferenceStep, MatchesReference) {
  Problem problem;
  double chosen_tokens = 0;
  for (const auto& row : problem.rows) chosen_tokens += static_cast<double>(row.branches[0].size());
  expect_matches_autograd(problem, dpo_and_sft(), [&](const TokenLogps& logps) {
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (size_t r = 0; r < logps.size(); ++r) {
      const auto ref = problem.reference.row(static_cast<int64_t>(r));
      const RowFacts& facts = problem.rows[r].facts;
      const at::Tensor chosen = logps[r][0].sum(), rejected = logps[r][1].sum();
      const at::Tensor u = 0.4 * ((chosen - ref[0]) - (rejected - ref[1])) - facts.margin;
      loss = loss + facts.weight * (at::softplus(-u) / 8.0 - 0.3 * chosen / chosen_tokens);
    }
    return loss;
  });
}

void give_tails(Problem& problem) {
  std::vector<double> tails;
  RandomStream random(4, "test tails");
  for (const auto& row : problem.rows)
    for (size_t k = 0; k < row.branches.size(); ++k) tails.push_back(-random.uniform());
  problem.reference = ReferenceLogps(problem.rows, problem.reference.values(), tails);
}

// The log-ratio of response k of row r where tokens beyond the shorter response count a quarter,
// under policy and reference.
at::Tensor quarter_tail_ratio(const Problem& problem, const TokenLogps& logps, size_t r, size_t k) {
  const int64_t shorter = std::min(logps[r][0].numel(), logps[r][1].numel());
  const at::Tensor& l = logps[r][k];
  return l.narrow(0, 0, shorter).sum() + 0.25 * l.narrow(0, shorter, l.numel() - shorter).sum() -
         (problem.reference.row(static_cast<int64_t>(r))[k] -
          0.75 * problem.reference.marked_row(static_cast<int64_t>(r))[k]);
}

// LD-DPO.
TEST(PreferenceStep, TailsMatchReference) {
  Problem problem;
  give_tails(problem);
  const Objective objective({{DPO{.beta = 0.4}, 1}},
                            {.length = LengthDesensitization{.ld_alpha = 0.25}});
  bool unequal = false;
  expect_matches_autograd(problem, objective, [&](const TokenLogps& logps) {
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (size_t r = 0; r < logps.size(); ++r) {
      unequal = unequal || logps[r][0].numel() != logps[r][1].numel();
      const auto h = [&](size_t k) { return quarter_tail_ratio(problem, logps, r, k); };
      const RowFacts& facts = problem.rows[r].facts;
      loss = loss + facts.weight * at::softplus(-(0.4 * (h(0) - h(1)) - facts.margin)) / 8.0;
    }
    return loss;
  });
  EXPECT_TRUE(unequal);
}

void give_token_rewards(Problem& problem, bool flags) {
  RandomStream random(5, "test token rewards");
  for (auto& row : problem.rows)
    for (const auto& branch : row.branches) {
      row.token_rewards.emplace_back();
      for (size_t i = 0; i < branch.size(); ++i)
        row.token_rewards.back().push_back(flags ? static_cast<double>(random.below(2))
                                                 : random.normal());
    }
}

TEST(PreferenceStep, TokenRewardsMatchReference) {
  Problem problem;
  give_token_rewards(problem, false);
  const TREG objective{.beta = 0.4, .alpha = 0.5};
  expect_matches_autograd(problem, Objective(objective), [&](const TokenLogps& logps) {
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (size_t r = 0; r < logps.size(); ++r) {
      const auto ref = problem.reference.row(static_cast<int64_t>(r));
      const TokenizedRow& row = problem.rows[r];
      const at::Tensor u =
          0.4 * ((logps[r][0].sum() - ref[0]) - (logps[r][1].sum() - ref[1])) - row.facts.margin;
      at::Tensor rewarded = at::zeros({}, at::kDouble);
      for (size_t k = 0; k < 2; ++k)
        rewarded = rewarded + (logps[r][k] * at::tensor(row.token_rewards[k], at::kDouble)).sum();
      const at::Tensor w = at::sigmoid(-u).detach();
      loss = loss + row.facts.weight * (at::softplus(-u) - 0.5 * 0.4 * w * rewarded) / 8.0;
    }
    return loss;
  });
}

TEST(PreferenceStep, UnlikelihoodMatchesReference) {
  Problem problem;
  for (auto& row : problem.rows) row.branches.resize(1);
  give_token_rewards(problem, true);
  expect_matches_autograd(
      problem, Objective(CUT{.unlikelihood_weight = 0.7}), [&](const TokenLogps& logps) {
        at::Tensor loss = at::zeros({}, at::kDouble);
        for (size_t r = 0; r < logps.size(); ++r) {
          const at::Tensor flags = at::tensor(problem.rows[r].token_rewards[0], at::kDouble);
          const at::Tensor each =
              -(1 - flags) * logps[r][0] - 0.7 * flags * at::log(-at::expm1(logps[r][0]));
          loss = loss + problem.rows[r].facts.weight * each.mean() / 8.0;
        }
        return loss;
      });
}

std::vector<double> couple_first_batch(Problem& problem, const Objective& objective) {
  PreferenceStep engine(problem.model.network(), objective, {});
  const auto all = all_indices(problem.rows.size());
  CouplingState state;
  return couple_batch(objective, problem.rows, all, problem.reference,
                      engine.logps(problem.rows, all), state);
}

// KTO: what couples the batch is computed first, from log-probs alone, and carries no gradient.
TEST(PreferenceStep, CoupledMatchesReference) {
  Problem problem;
  for (size_t r = 0; r < problem.rows.size(); ++r) problem.rows[r].facts.desirable = r % 3 != 0;
  std::vector<double> lower = problem.reference.values();  // so that z0 is above 0
  for (double& value : lower) value -= 3;
  problem.reference = ReferenceLogps(problem.rows, lower);
  const Objective objective(KTO{.beta = 0.4, .desirable_weight = 1.5});
  const std::vector<double> coupled = couple_first_batch(problem, objective);
  expect_matches_autograd(
      problem, objective,
      [&](const TokenLogps& logps) {
        at::Tensor loss = at::zeros({}, at::kDouble), z0 = loss;
        const auto h = [&](size_t r, size_t k) {
          return logps[r][k].sum() - problem.reference.row(static_cast<int64_t>(r))[k];
        };
        for (size_t r = 0; r < logps.size(); ++r) z0 = z0 + h(r, 1).detach() / 8.0;
        z0 = at::clamp_min(z0, 0);
        EXPECT_GT(z0.item<double>(), 0) << "otherwise this shows nothing";
        for (size_t r = 0; r < logps.size(); ++r) {
          const RowFacts& facts = problem.rows[r].facts;
          const at::Tensor s = at::sigmoid((*facts.desirable ? 0.4 : -0.4) * (h(r, 0) - z0));
          loss = loss + facts.weight * (*facts.desirable ? 1.5 : 1.0) * (1 - s) / 8.0;
        }
        return loss;
      },
      coupled);
}

// A running mean of rewards whose tails count less: the coupling pass needs the marked sums too.
TEST(PreferenceStep, CoupledTailsMatchReference) {
  Problem problem;
  give_tails(problem);
  for (auto& row : problem.rows) row.facts.margin = 0;
  const Objective objective({{BCOPair{.beta = 0.4, .reward_shift = RewardShift::running_mean}, 1}},
                            {.length = LengthDesensitization{.ld_alpha = 0.25}});
  const std::vector<double> coupled = couple_first_batch(problem, objective);
  expect_matches_autograd(
      problem, objective,
      [&](const TokenLogps& logps) {
        at::Tensor loss = at::zeros({}, at::kDouble), delta = loss;
        const auto reward = [&](size_t r, size_t k) {
          return 0.4 * quarter_tail_ratio(problem, logps, r, k);
        };
        for (size_t r = 0; r < logps.size(); ++r)
          delta = delta + (reward(r, 0) + reward(r, 1)).detach() / 16.0;
        for (size_t r = 0; r < logps.size(); ++r)
          loss = loss +
                 problem.rows[r].facts.weight *
                     (at::softplus(-(reward(r, 0) - delta)) + at::softplus(reward(r, 1) - delta)) /
                     8.0;
        return loss;
      },
      coupled);
}

TEST(PreferenceStep, InvariantUnderMicrobatches) {
  Problem problem;
  for (const Objective& objective :
       {Objective(DPO{.beta = 0.4}), Objective(SFT{}), dpo_and_sft()}) {
    SCOPED_TRACE(objective.name());
    const Gradient whole = accumulate(problem, {all_indices(8)}, 100000, objective);
    for (const int64_t tokens : {1, 12, 25, 60})
      expect_same(accumulate(problem, {all_indices(8)}, tokens, objective), whole);
  }
}

// All eight ways to cut four rows in order: unequal parts must not weigh their rows differently.
TEST(PreferenceStep, InvariantUnderEverySplitOfFourRows) {
  Problem problem;
  const Gradient whole = accumulate(problem, {{0, 1, 2, 3}}, 100000, dpo_and_sft());
  for (unsigned cuts = 1; cuts < 8; ++cuts) {
    std::vector<std::vector<int64_t>> parts = {{0}};
    for (int64_t i = 1; i < 4; ++i) {
      if (cuts >> (i - 1) & 1) parts.emplace_back();
      parts.back().push_back(i);
    }
    expect_same(accumulate(problem, parts, 100000, dpo_and_sft()), whole);
  }
}

TEST(PreferenceStep, InvariantUnderRowOrder) {
  Problem problem;
  const Gradient in_order = accumulate(problem, {all_indices(8)}, 40, dpo_and_sft());
  expect_same(accumulate(problem, {{5, 2, 7, 0, 3, 6, 1, 4}}, 40, dpo_and_sft()), in_order);
}

// A small logits budget makes the head recompute; memory changes, the result does not.
TEST(PreferenceStep, InvariantUnderTheLogitsBudget) {
  Problem problem;
  const Objective objective = dpo_and_sft();
  const Gradient whole = accumulate(problem, {all_indices(8)}, 100000, objective);
  PreferenceStep engine(
      problem.model.network(), objective,
      {.tokens_per_microbatch = 100000, .head = {.logits_bytes = 3 * kToyVocab * 4}});
  problem.model.network().parameters().zero_gradients();
  const double loss = engine
                          .accumulate(problem.rows, all_indices(8), problem.reference,
                                      normalizers_of(problem.rows, all_indices(8)))
                          .loss;
  expect_same({loss, flat_gradient(problem.model.network().parameters())}, whole);
}

TEST(PreferenceStep, EvaluationAgreesAndLeavesNoGradient) {
  Problem problem;
  const Objective objective = dpo_and_sft();
  PreferenceStep engine(problem.model.network(), objective, {.tokens_per_microbatch = 30});
  const Normalizers normalizers = normalizers_of(problem.rows, all_indices(8));
  const auto scored = engine.evaluate(problem.rows, all_indices(8), problem.reference, normalizers);
  EXPECT_EQ(largest(flat_gradient(problem.model.network().parameters())), 0);
  const auto trained =
      engine.accumulate(problem.rows, all_indices(8), problem.reference, normalizers);
  EXPECT_NEAR(scored.loss, trained.loss, 1e-6 * trained.loss);
  ASSERT_EQ(scored.metrics.entries().size(), trained.metrics.entries().size());
  for (const auto& entry : trained.metrics.entries())
    EXPECT_NEAR(scored.metrics.mean(entry.name), trained.metrics.mean(entry.name), 1e-5)
        << entry.name;
  double tokens = 0;
  for (const auto& row : problem.rows)
    for (const auto& branch : row.branches)
      tokens += static_cast<double>(row.prompt.size() + branch.size());
  EXPECT_EQ(trained.num_tokens, tokens);
}

// Log-probs of a row do not depend on the rows packed with it.
TEST(PreferenceStep, LogpsAreInRowOrderForAnyMicrobatch) {
  Problem problem;
  const Objective objective(DPO{});
  std::vector<double> expected;
  for (const auto& row : problem.rows) {
    PreferenceStep engine(problem.model.network(), objective, {});
    for (const double logp : engine.logps(std::span(&row, 1), all_indices(1)).logp)
      expected.push_back(logp);
  }
  for (const int64_t tokens : {1, 30, 1000}) {
    PreferenceStep engine(problem.model.network(), objective, {.tokens_per_microbatch = tokens});
    std::vector<int64_t> progress;
    const ReferenceLogps reference =
        engine.reference(problem.rows, [&](int64_t done) { progress.push_back(done); });
    const std::vector<double>& got = reference.values();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-5);
    EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
    EXPECT_EQ(progress.back(), 8);
  }
}

TEST(PreferenceStep, RejectsMissingReference) {
  Problem problem;
  const Objective objective(DPO{});
  PreferenceStep engine(problem.model.network(), objective, {});
  const ReferenceLogps for_two(std::span(problem.rows).first(2), {-1, -2, -3, -4});
  EXPECT_NE(error_of(ErrorKind::option,
                     [&] {
                       engine.accumulate(problem.rows, all_indices(8), for_two,
                                         normalizers_of(problem.rows, all_indices(8)));
                     })
                .find("row 2"),
            std::string::npos);
  error_of(ErrorKind::data, [&] { ReferenceLogps(problem.rows, {1, 2, 3}); });
}

double reported(const MetricSums& metrics, const std::string& wanted) {
  for (const auto& [name, value] : metrics.reported())
    if (name == wanted) return value;
  return std::nan("");
}

// Two pairs and one single answer, by hand.
TEST(Metrics, Value) {
  const std::vector<int64_t> row(9, 0), token(9, 0), sequences = {0, 2, 3, 5, 8, 9},
                                                     rows = {0, 2, 4, 5};
  const SequenceStatistics s{.logp = {-2, -3, -4, -1, -5},
                             .collision = std::vector<double>(5),
                             .entropy = {1, 2, 3, 4, 8},
                             .max_logp = std::vector<double>(5),
                             .hits = {2, 0, 1, 3, 1},
                             .mean_logit = {4, 5, 6, 7, 100},
                             .num_tokens = {2, 1, 2, 3, 1},
                             .marked = std::vector<double>(5),
                             .unlikely = std::vector<double>(5)};
  const std::vector<double> reference = {-3, -3, -5, 0, 0};
  const Objective pairs(DPO{.beta = 0.5});
  // The single answer has no reward to compare; the objective sees the two pairs.
  const Labels two{std::span(row).first(8), std::span(token).first(8),
                   std::span(sequences).first(5), std::span(rows).first(3)};
  RowLosses losses(pairs, {2, 4}, two, {.ref_logp = std::span(reference).first(4)});
  losses(s);
  MetricSums metrics;
  add_batch_metrics(two, s, losses, metrics);
  // Rewards: 0.5 (1, 0) and 0.5 (1, -1).
  EXPECT_DOUBLE_EQ(metrics.mean("rewards/chosen"), 0.5);
  EXPECT_DOUBLE_EQ(metrics.mean("rewards/rejected"), -0.25);
  EXPECT_DOUBLE_EQ(metrics.mean("rewards/margins"), 0.75);
  EXPECT_DOUBLE_EQ(metrics.mean("rewards/accuracies"), 1);
  EXPECT_DOUBLE_EQ(metrics.mean("preference/ties"), 0);
  EXPECT_DOUBLE_EQ(metrics.mean("preference/wins"), 1);
  // Lengths 2 and 1, 2 and 3; margins 0.5 and 1: the longer answer has the smaller margin.
  EXPECT_DOUBLE_EQ(metrics.mean("preference/length_gap"), 0);
  EXPECT_NEAR(reported(metrics, "preference/length_reward_correlation"), -1, 1e-12);
  // Chosen log-ratios 1 over 2 tokens and 1 over 2.
  EXPECT_DOUBLE_EQ(metrics.mean("preference/chosen_logratio"), 0.5);
  EXPECT_DOUBLE_EQ(metrics.mean("preference/displaced"), 0);
  EXPECT_DOUBLE_EQ(metrics.mean("logps/chosen"), -3);
  EXPECT_DOUBLE_EQ(metrics.mean("logps/rejected"), -2);
  EXPECT_DOUBLE_EQ(metrics.mean("logits/chosen"), 10.0 / 4);
  EXPECT_DOUBLE_EQ(metrics.mean("logits/rejected"), 12.0 / 4);
  EXPECT_DOUBLE_EQ(metrics.mean("entropy"), 10.0 / 8);
  EXPECT_DOUBLE_EQ(metrics.mean("mean_token_accuracy"), 3.0 / 4);
  // Equal rewards are a tie, not a win.
  const std::vector<double> same = {-2, -3, -4, -1};
  RowLosses tied(pairs, {2, 4}, two, {.ref_logp = same});
  tied(s);
  MetricSums more;
  add_batch_metrics(two, s, tied, more);
  EXPECT_DOUBLE_EQ(more.mean("rewards/accuracies"), 0);
  EXPECT_DOUBLE_EQ(more.mean("preference/ties"), 1);
  // Means over both batches weigh by count.
  metrics.merge(more);
  EXPECT_DOUBLE_EQ(metrics.mean("rewards/accuracies"), 0.5);
  EXPECT_TRUE(std::isnan(metrics.mean("absent")));
  // A row of one branch has no rewards.
  const Objective sft(SFT{});
  const std::vector<int64_t> one_sequence = {0, 2}, one_row = {0, 1};
  const Labels one{std::span(row).first(2), std::span(token).first(2), one_sequence, one_row};
  RowLosses alone(sft, {1, 2}, one, {});
  alone(s);
  MetricSums single;
  add_batch_metrics(one, s, alone, single);
  EXPECT_EQ(single.entries().size(), 2u);
  EXPECT_DOUBLE_EQ(single.mean("entropy"), 0.5);
}

}  // namespace
}  // namespace pref::testing
