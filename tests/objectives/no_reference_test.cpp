// SPDX-License-Identifier: Apache-2.0
// The objectives without a reference, by hand on one pair:
//   logp_w = -4 over 8 tokens, logp_l = -9 over 6 tokens:   a_w = -1/2, a_l = -3/2
// L(x) = -log sigma(x) = log(1 + e^-x).
#include <cmath>

#include "libpref/objectives/objective.h"
#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

using testing::error_of;
using testing::Random;
using testing::random_row;

Row<double> pair() {
  Row<double> row;
  row.branch[0] = {.logp = -4, .ref_logp = 1e3, .num_tokens = 8};  // the reference is never read
  row.branch[1] = {.logp = -9, .ref_logp = -1e3, .num_tokens = 6};
  return row;
}

double softplus(double x) { return std::log1p(std::exp(-x)); }

TEST(SimPOTest, Value) {
  // u = 2 (-0.5 + 1.5 - 0.25) = 1.5; L(1.5); -(2/8) sigma(-1.5), (2/6) sigma(-1.5).
  const RowLoss<double> out = SimPO{}(pair());
  EXPECT_NEAR(out.loss, 0.20141327798275246, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -0.25 * 0.18242552380635635, 1e-15);
  EXPECT_NEAR(out.d_logp[1], 0.18242552380635635 / 3, 1e-15);
  EXPECT_DOUBLE_EQ(out.reward[0], -1) << "the mean log-prob times beta, without the target margin";
  EXPECT_DOUBLE_EQ(out.reward[1], -3);
}

TEST(SimPOTest, ValueOfHingeAndSmoothing) {
  // beta 1, ratio 0.5: u = 0.5; 1 - u.
  const SimPO hinge{.beta = 1, .gamma_beta_ratio = 0.5, .simpo_loss = SimPOLoss::hinge};
  EXPECT_DOUBLE_EQ(hinge(pair()).loss, 0.5);
  EXPECT_DOUBLE_EQ(hinge(pair()).d_logp[0], -1.0 / 8);
  EXPECT_DOUBLE_EQ(hinge(pair()).d_logp[1], 1.0 / 6);
  // 0.9 L(1.5) + 0.1 L(-1.5) = L(1.5) + 0.15.
  EXPECT_NEAR(SimPO{.label_smoothing = 0.1}(pair()).loss, 0.20141327798275246 + 0.15, 1e-15);
}

TEST(SimPOTest, GammaIsBetaTimesTheRatio) {
  // gamma 1.4 at beta 2.5: ratio 0.56. Doubling beta at the same gamma halves the ratio.
  Row<double> equal = pair();
  equal.branch[1] = equal.branch[0];
  EXPECT_NEAR((SimPO{.beta = 2.5, .gamma_beta_ratio = 0.56}(equal).loss), softplus(-1.4), 1e-15);
  EXPECT_NEAR((SimPO{.beta = 5, .gamma_beta_ratio = 0.28}(equal).loss), softplus(-1.4), 1e-15);
}

TEST(SimPOTest, InvariantToLengthAtEqualMeans) {
  Row<double> longer = pair();
  longer.branch[0].logp *= 100;
  longer.branch[0].num_tokens *= 100;
  EXPECT_EQ(SimPO{}(longer).loss, SimPO{}(pair()).loss);
  EXPECT_DOUBLE_EQ(SimPO{}(longer).d_logp[0], SimPO{}(pair()).d_logp[0] / 100);
}

TEST(SimPOTest, OptimumOfAMargin) {
  // w preferred with probability p, v = beta (a_w - a_l): the mean loss is least at
  // e^v = ((2p-1) e^g + sqrt((2p-1)^2 e^2g + 4p(1-p))) / (2 (1-p)).
  for (const double p : {0.6, 0.75, 0.9}) {
    for (const double g : {0.0, 0.5, 2.0}) {
      const double lead = (2 * p - 1) * std::exp(g);
      const double v = std::log((lead + std::sqrt(lead * lead + 4 * p * (1 - p))) / (2 * (1 - p)));
      const SimPO simpo{.beta = 2, .gamma_beta_ratio = g / 2};
      Row<double> row, flipped;
      row.branch[0].logp = flipped.branch[1].logp = v / 2;
      EXPECT_NEAR(p * simpo(row).d_logp[0] + (1 - p) * simpo(flipped).d_logp[1], 0, 1e-14);
    }
  }
}

TEST(CPOTest, Value) {
  // u = 0.1 (-4 + 9) = 0.5.
  const RowLoss<double> out = CPO{}(pair());
  EXPECT_NEAR(out.loss, 0.47407698418010669, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -0.1 * 0.37754066879814541, 1e-16);
  EXPECT_EQ(out.d_logp[1], -out.d_logp[0]);
  EXPECT_DOUBLE_EQ(out.reward[0], -0.4);
  EXPECT_NEAR(CPO{.label_smoothing = 0.2}(pair()).loss, 0.47407698418010669 + 0.1, 1e-15);
}

TEST(CPOTest, IsDPOWithAUniformReference) {
  Random random;
  for (int i = 0; i < 50; ++i) {
    Row<double> row = random_row(random, 2);
    const RowLoss<double> cpo = CPO{.beta = 0.3, .label_smoothing = 0.1}(row);
    for (auto& branch : row.branch) branch.ref_logp = 0;
    const RowLoss<double> dpo = DPO{.beta = 0.3, .label_smoothing = 0.1}(row);
    EXPECT_EQ(cpo.loss, dpo.loss);
    EXPECT_EQ(cpo.d_logp[0], dpo.d_logp[0]);
    EXPECT_EQ(cpo.reward[1], dpo.reward[1]);
  }
}

TEST(ORPOTest, Value) {
  // Means that give probabilities 1/2 and 1/5: odds 1 and 1/4, o = log 4, sigma(o) = 4/5.
  //   loss = log 2 + 0.1 log(5/4)
  //   d_w = -1/8 - 0.1 (1/5) / (8 (1/2)) = -0.13,   d_l = 0.1 (1/5) / (6 (4/5)) = 1/240
  Row<double> row = pair();
  row.branch[0].logp = 8 * std::log(0.5);
  row.branch[1].logp = 6 * std::log(0.2);
  const RowLoss<double> out = ORPO{}(row);
  EXPECT_NEAR(out.loss, std::log(2.0) + 0.1 * std::log(1.25), 1e-15);
  EXPECT_NEAR(out.d_logp[0], -0.13, 1e-15);
  EXPECT_NEAR(out.d_logp[1], 1.0 / 240, 1e-16);
  EXPECT_NEAR(out.reward[1], 0.1 * std::log(0.2), 1e-16);
  // Without the likelihood part the odds ratio stands alone.
  EXPECT_NEAR(ORPO{.nll_weight = 0}(row).loss, 0.1 * std::log(1.25), 1e-15);
}

TEST(ORPOTest, CertainResponses) {
  // p = 1 has infinite odds; here it counts as 1 - 1e-6 and stays finite, without a pull.
  Row<double> row = pair();
  row.branch[0].logp = 0;
  const RowLoss<double> out = ORPO{.nll_weight = 0}(row);
  EXPECT_GT(out.loss, 0);
  EXPECT_EQ(out.d_logp[0], 0);
  EXPECT_EQ(ORPO{}(row).d_logp[0], -1.0 / 8) << "the likelihood still pulls";
}

TEST(AlphaPOTest, Value) {
  // alpha 1: R(a) = 1 - e^-a. Means log(1/2), log(1/3): R = -1, -2; u = 2 (-1 + 2 - 0.25) = 1.5.
  //   d_w = -(2/8) e^-a_w sigma(-1.5) = -0.5 sigma(-1.5),   d_l = (2/6) 3 sigma(-1.5)
  Row<double> row = pair();
  row.branch[0].logp = 8 * std::log(0.5);
  row.branch[1].logp = 6 * std::log(1.0 / 3);
  const RowLoss<double> out = AlphaPO{.alpha = 1}(row);
  EXPECT_NEAR(out.loss, 0.20141327798275246, 1e-14);
  EXPECT_NEAR(out.d_logp[0], -0.5 * 0.18242552380635635, 1e-14);
  EXPECT_NEAR(out.d_logp[1], 0.18242552380635635, 1e-14);
  EXPECT_NEAR(out.reward[1], -4, 1e-14);
}

TEST(AlphaPOTest, TendsToSimPO) {
  Random random;
  for (int i = 0; i < 50; ++i) {
    const Row<double> row = random_row(random, 2);
    const RowLoss<double> simpo = SimPO{}(row);
    EXPECT_EQ(AlphaPO{.alpha = 0}(row).loss, simpo.loss);
    for (const double alpha : {1e-9, -1e-9})
      EXPECT_NEAR(AlphaPO{.alpha = alpha}(row).loss, simpo.loss, 1e-7);
  }
}

TEST(SLiCTest, Value) {
  // delta 1: the pair is 5 nats apart, only the likelihood 0.5 * 4 is left.
  const RowLoss<double> apart = SLiC{.nll_weight = 0.5}(pair());
  EXPECT_EQ(apart.loss, 2);
  EXPECT_EQ(apart.d_logp[0], -0.5);
  EXPECT_EQ(apart.d_logp[1], 0);
  // delta 6: max(0, 6 - 5) + 2.
  const RowLoss<double> close = SLiC{.delta = 6, .nll_weight = 0.5}(pair());
  EXPECT_EQ(close.loss, 3);
  EXPECT_EQ(close.d_logp[0], -1.5);
  EXPECT_EQ(close.d_logp[1], 1);
  EXPECT_EQ(close.reward[1], -9);
}

TEST(RRHFTest, Value) {
  // In order: the likelihood 4 alone. Exchanged: a_l - a_w = 1, and 9.
  EXPECT_EQ(RRHF{}(pair()).loss, 4);
  EXPECT_EQ(RRHF{}(pair()).d_logp[1], 0);
  Row<double> row = pair();
  std::swap(row.branch[0], row.branch[1]);
  const RowLoss<double> out = RRHF{}(row);
  EXPECT_EQ(out.loss, 10);
  EXPECT_DOUBLE_EQ(out.d_logp[0], -1.0 / 6 - 1);
  EXPECT_DOUBLE_EQ(out.d_logp[1], 1.0 / 8);
  EXPECT_EQ(out.reward[0], -1.5);
}

TEST(RRHFTest, ValueOfAList) {
  // Means -1, -0.5, -2 in the order of preference: only (0, 1) is wrong, by 0.5; one token each.
  Row<double> row;
  row.branches = 3;
  row.branch[0].logp = -1;
  row.branch[1].logp = -0.5;
  row.branch[2].logp = -2;
  const RowLoss<double> out = RRHF{.nll_weight = 0}(row);
  EXPECT_EQ(out.loss, 0.5);
  EXPECT_EQ(out.d_logp[0], -1);
  EXPECT_EQ(out.d_logp[1], 1);
  EXPECT_EQ(out.d_logp[2], 0);
}

TEST(NoReferenceTest, NeedsNone) {
  for (const char* name : {"simpo", "cpo", "orpo", "alphapo", "slic", "rrhf"})
    EXPECT_FALSE(has(Objective(make_term(name)).needs(), Needs::reference)) << name;
  EXPECT_EQ(Objective(make_term("simpo")).needs(), Needs::nothing);
}

TEST(NoReferenceTest, RejectsOptionsWithoutEffect) {
  const std::string text = error_of(ErrorKind::option, [] {
    Objective(SimPO{.label_smoothing = 0.1, .simpo_loss = SimPOLoss::hinge});
  });
  EXPECT_NE(text.find("label_smoothing"), std::string::npos);
  EXPECT_NE(text.find("simpo"), std::string::npos);
  EXPECT_NO_THROW(Objective(SimPO{.simpo_loss = SimPOLoss::hinge}));
}

}  // namespace
}  // namespace pref
