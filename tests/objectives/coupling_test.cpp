// SPDX-License-Identifier: Apache-2.0
// Objectives that take a quantity of the whole batch: its value by hand, derivatives of the batch's
// loss, and what it does not depend on.
#include "libpref/objectives/coupling.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include "tests/objectives/objective_test_util.h"
#include "tests/reference/finite_difference.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::Random;
using testing::random_row;
using testing::randomize;

std::vector<Row<double>> random_batch(Random& random, int rows, int branches) {
  std::vector<Row<double>> batch;
  for (int i = 0; i < rows; ++i) {
    batch.push_back(random_row(random, branches));
    for (auto& branch : batch.back().branch) branch.coupled = 0;
    batch.back().margin = 0;
    batch.back().weight = 1;
  }
  return batch;
}

Row<double> with_ratios(double chosen, double rejected, int label = 0) {
  Row<double> row;
  row.branch[0] = {.logp = -5 + chosen, .ref_logp = -5};
  row.branch[1] = {.logp = -7 + rejected, .ref_logp = -7};
  row.label = label;
  return row;
}

double batch_loss(const Objective& objective, std::vector<Row<double>> batch) {
  CouplingState state;
  objective.couple(batch, state);
  double sum = 0;
  for (const auto& row : batch) sum += objective(row, {1, 1}).loss;
  return sum;
}

TEST(CouplingTest, KTOValue) {
  // Mismatched log-ratios 1 and 2: z0 = 1.5. beta 0.5: s = 0.5 (3 - 1.5) = 0.75 for the desirable
  // response, 0.5 (0.5 - 1.5) = -0.5 for the other.
  std::vector<Row<double>> batch = {with_ratios(3, 1, 1), with_ratios(0.5, 2, -1)};
  const Objective kto(KTO{.beta = 0.5, .desirable_weight = 2, .undesirable_weight = 3});
  CouplingState state;
  kto.couple(batch, state);
  EXPECT_DOUBLE_EQ(batch[0].branch[0].coupled, 1.5);
  EXPECT_NEAR(kto(batch[0], {1, 1}).loss, 2 / (1 + std::exp(0.75)), 1e-15);
  EXPECT_NEAR(kto(batch[1], {1, 1}).loss, 3 / (1 + std::exp(0.5)), 1e-15);
  EXPECT_DOUBLE_EQ(kto(batch[0], {1, 1}).reward[0], 1.5);
  EXPECT_EQ(kto(batch[0], {1, 1}).d_logp[1], 0) << "nothing flows through z0";
}

TEST(CouplingTest, KTOShiftIsNotBelowZero) {
  std::vector<Row<double>> batch = {with_ratios(3, -1, 1), with_ratios(0.5, -2, -1)};
  CouplingState state;
  Objective(KTO{}).couple(batch, state);
  EXPECT_EQ(batch[0].branch[0].coupled, 0);
}

TEST(CouplingTest, RunningMeanValue) {
  // Means of rewards 0.1 h: batches of 0.1 (2 + 4) / 2 = 0.3 and 0.1 (-1) = -0.1.
  std::vector<Row<double>> first = {with_ratios(2, 0, 1), with_ratios(4, 0, -1)},
                           second = {with_ratios(-1, 0, 1)};
  const Objective bco(BCO{.beta = 0.1});
  CouplingState state;
  bco.couple(first, state);
  EXPECT_NEAR(first[1].branch[0].coupled, 0.3, 1e-15) << "the present batch counts";
  bco.couple(second, state);
  EXPECT_NEAR(second[0].branch[0].coupled, 0.1, 1e-15);
  EXPECT_EQ(state.count, 2);
  EXPECT_NEAR(bco(second[0], {1, 1}).loss, std::log1p(std::exp(0.2)), 1e-15);
  CouplingState frozen = state;
  frozen.frozen = true;
  bco.couple(first, frozen);
  EXPECT_EQ(frozen.mean, state.mean) << "evaluation takes nothing in";
  EXPECT_NEAR(first[0].branch[0].coupled, 0.1, 1e-15);
}

TEST(CouplingTest, PairsShareTheRunningMean) {
  std::vector<Row<double>> batch = {with_ratios(2, -1), with_ratios(4, 1)};
  const Objective shifted(BCOPair{.beta = 0.1, .reward_shift = RewardShift::running_mean});
  CouplingState state;
  shifted.couple(batch, state);
  EXPECT_NEAR(batch[0].branch[1].coupled, 0.15, 1e-15);
  EXPECT_NEAR(shifted(batch[0], {1, 1}).loss,
              std::log1p(std::exp(-0.05)) + std::log1p(std::exp(-0.1 - 0.15)), 1e-15);
  EXPECT_FALSE(Objective(BCOPair{}).couples());
  EXPECT_TRUE(shifted.couples());
}

TEST(CouplingTest, AnEmptyBatchIsNotTakenIn) {
  CouplingState state{0.25, 3};
  Objective(BCO{}).couple({}, state);
  EXPECT_EQ(state, (CouplingState{0.25, 3}));
}

TEST(CouplingTest, AOTValue) {
  // Log-ratios of the pairs a: 5, 1, 3 and b: 2, 4, 0; sorted partners of a: 4, 0, 2.
  std::vector<Row<double>> batch(3);
  const std::vector<double> a = {5, 1, 3}, b = {2, 4, 0}, partner = {4, 0, 2};
  for (size_t i = 0; i < 3; ++i) {
    batch[i].branch[0] = {.logp = a[i] - 9, .ref_logp = b[i] - 8};
    batch[i].branch[1] = {.logp = -9, .ref_logp = -8};
  }
  const Objective aot(AOT{.beta = 0.5});
  CouplingState state;
  aot.couple(batch, state);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(batch[i].branch[0].coupled, partner[i]);
    EXPECT_NEAR(aot(batch[i], {1, 1}).loss, std::log1p(std::exp(-0.5 * (a[i] - partner[i]))),
                1e-15);
  }
}

TEST(CouplingTest, AOTUnpairedValue) {
  // Chosen log-ratios 5, 1 and rejected ones 0, 2: ranks meet as 1 - 0 and 5 - 2.
  std::vector<Row<double>> batch = {with_ratios(5, 0), with_ratios(1, 2)};
  const Objective aot(AOTUnpaired{.beta = 1});
  EXPECT_NEAR(batch_loss(aot, batch), std::log1p(std::exp(-1.0)) + std::log1p(std::exp(-3.0)),
              1e-14);
}

TEST(CouplingTest, OneRowAloneIsDPO) {
  Random random;
  const Row<double> row = random_batch(random, 1, 2)[0];
  for (const Objective& objective : {Objective(AOT{.beta = 0.3, .label_smoothing = 0.2}),
                                     Objective(AOTUnpaired{.beta = 0.3, .label_smoothing = 0.2})}) {
    std::vector<Row<double>> batch = {row};
    CouplingState state;
    objective.couple(batch, state);
    const auto out = objective(batch[0], {1, 1}),
               dpo = Objective(DPO{.beta = 0.3, .label_smoothing = 0.2})(row, {1, 1});
    EXPECT_NEAR(out.loss, dpo.loss, 1e-13) << objective.name();
    for (int k = 0; k < 2; ++k) EXPECT_NEAR(out.d_logp[k], dpo.d_logp[k], 1e-14);
  }
}

// The sum over the batch is what is differentiated; a sort does not move under small steps.
TEST(CouplingTest, SortsHaveTheGradientOfTheBatch) {
  Random random;
  for (const Objective& objective : {Objective(AOT{.beta = 0.2, .label_smoothing = 0.1}),
                                     Objective(AOTUnpaired{.beta = 0.2, .label_smoothing = 0.1})}) {
    std::vector<Row<double>> batch = random_batch(random, 6, 2);
    std::vector<double> logps;
    for (const auto& row : batch)
      for (int k = 0; k < 2; ++k) logps.push_back(row.branch[k].logp);
    const auto loss = [&](const std::vector<double>& x) {
      std::vector<Row<double>> moved = batch;
      for (size_t i = 0; i < x.size(); ++i) moved[i / 2].branch[i % 2].logp = x[i];
      return batch_loss(objective, moved);
    };
    std::vector<Row<double>> coupled = batch;
    CouplingState state;
    objective.couple(coupled, state);
    for (size_t i = 0; i < logps.size(); ++i) {
      const double slope = objective(coupled[i / 2], {1, 1}).d_logp[i % 2];
      EXPECT_NEAR(slope, reference::five_point_difference(loss, logps, i, 1e-4),
                  1e-6 * std::abs(slope) + 1e-10)
          << objective.name() << " " << i;
    }
  }
}

TEST(CouplingTest, InvariantUnderRowOrder) {
  Random random;
  std::vector<Row<double>> batch = random_batch(random, 7, 2);
  for (const Objective& objective :
       {Objective(KTO{}), Objective(BCO{}), Objective(AOT{}), Objective(AOTUnpaired{})}) {
    const double before = batch_loss(objective, batch);
    std::vector<Row<double>> turned(batch.rbegin(), batch.rend());
    EXPECT_NEAR(batch_loss(objective, turned), before, 1e-12 * std::abs(before));
  }
}

TEST(CouplingTest, RejectsTwoCoupledTermsAndMissingLabels) {
  EXPECT_THAT(error_of(ErrorKind::option,
                       [] {
                         Objective({{AOT{}, 1}, {AOTUnpaired{}, 1}});
                       }),
              HasSubstr("at most one term"));
  EXPECT_THAT(error_of(ErrorKind::data,
                       [] {
                         Objective(BCO{})(with_ratios(1, 0), {1, 1});
                       }),
              HasSubstr("\"label\""));
}

TEST(TREGTest, GradientWithTheWeightHeldFixed) {
  Random random;
  for (int i = 0; i < 100; ++i) {
    TREG objective;
    randomize(objective, random);
    const Row<double> row = random_row(random, 2);
    const RowLoss<double> out = objective(row);
    const RowLoss<double> dpo = DPO{.beta = objective.beta}(row);
    for (int k = 0; k < 2; ++k) {
      // -+ beta sigma(-u) (1 +- alpha r): the part of DPO, and alpha times its size for the marks.
      EXPECT_NEAR(out.d_logp[k], dpo.d_logp[k], 1e-15);
      EXPECT_NEAR(out.d_marked[k], objective.alpha * dpo.d_logp[0], 1e-15);
    }
  }
}

TEST(LengthTest, Value) {
  // logp -10 of which -4 beyond the shorter length, reference -9 of which -3: alpha 0.25 leaves
  // -7 and -6.75, so h_w = -0.25 instead of -1.
  Row<double> row = with_ratios(0, 0);
  row.branch[0] = {.logp = -10, .ref_logp = -9, .marked = -4, .ref_marked = -3};
  row.branch[1] = {.logp = -5, .ref_logp = -5};
  const auto with = [](LengthReference reference) {
    return Objective({{DPO{.beta = 1}, 1}}, {.length = LengthDesensitization{
                                                 .ld_alpha = 0.25, .ld_reference = reference}});
  };
  const Objective both = with(LengthReference::both), policy = with(LengthReference::policy);
  EXPECT_NEAR(both(row, {1, 1}).loss, std::log1p(std::exp(0.25)), 1e-15);
  EXPECT_NEAR(policy(row, {1, 1}).loss, std::log1p(std::exp(-2.0)), 1e-15) << "h_w = -7 + 9";
  const RowLoss<double> out = both(row, {1, 1});
  EXPECT_NEAR(out.d_marked[0], -0.75 * out.d_logp[0], 1e-15) << "a quarter is left of the tail";
  EXPECT_EQ(both.name(), "ld(dpo)");
}

TEST(LengthTest, GradientOnEveryObjectiveThatTakesIt) {
  Random random;
  int seen = 0;
  for_each_objective([&](auto term) {
    if (!has(term.accepts, Accepts::length)) return;
    ++seen;
    for (int i = 0; i < 50; ++i) {
      randomize(term, random);
      const LengthDesensitization length{.ld_alpha = random.uniform(0, 0.9)};
      const Objective objective({{Term(term), 1}}, {.length = length});
      Row<double> row = random_row(random, 2);
      if (!has(term.accepts, Accepts::margin)) row.margin = 0;
      const RowLoss<double> out = objective(row, {1, 1});
      const auto loss = [&](const std::vector<double>& x) {
        Row<double> moved = row;
        moved.branch[0].logp = x[0];
        moved.branch[0].marked = x[1];
        return objective(moved, {1, 1}).loss;
      };
      const std::vector<double> at = {row.branch[0].logp, row.branch[0].marked};
      const double slopes[] = {out.d_logp[0], out.d_marked[0]};
      for (size_t k = 0; k < 2; ++k)
        EXPECT_NEAR(slopes[k], reference::five_point_difference(loss, at, k, 1e-4),
                    1e-6 * std::abs(slopes[k]) + 1e-11 * (1 + std::abs(out.loss)))
            << term.name;
    }
  });
  EXPECT_GE(seen, 13);
}

TEST(LengthTest, RejectsWhatHasNoPlaceForIt) {
  const Modifiers modifiers{.length = LengthDesensitization{.ld_alpha = 0.5}};
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         Objective({{SimPO{}, 1}}, modifiers);
                       }),
              HasSubstr("ld_alpha"));
  EXPECT_THAT(error_of(ErrorKind::option,
                       [&] {
                         Objective({{DPO{}, 1}}, {.length = LengthDesensitization{}});
                       }),
              HasSubstr("ld_alpha"))
      << "1 counts all tokens alike";
}

}  // namespace
}  // namespace pref
