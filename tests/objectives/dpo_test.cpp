// SPDX-License-Identifier: Apache-2.0
// DPO by hand, and the properties of its logit that a sign or a swapped argument would break.
#include "libpref/objectives/dpo.h"

#include <cmath>

#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

using testing::Random;
using testing::random_row;

Row<double> pair(double logp_w, double ref_w, double logp_l, double ref_l) {
  Row<double> row;
  row.branch[0] = {.logp = logp_w, .ref_logp = ref_w};
  row.branch[1] = {.logp = logp_l, .ref_logp = ref_l};
  return row;
}

TEST(DPOTest, Value) {
  // h_w = -4 + 6 = 2, h_l = -9 + 8 = -1; u = 0.5 (2 + 1) = 1.5.
  const Row<double> row = pair(-4, -6, -9, -8);
  const RowLoss<double> out = DPO{.beta = 0.5}(row);
  EXPECT_DOUBLE_EQ(out.loss, std::log(1 + std::exp(-1.5)));
  EXPECT_NEAR(out.loss, 0.20141327798275246, 1e-15);
  // d loss / d logp_w = -beta sigma(-u) = -0.5 / (1 + e^1.5).
  EXPECT_NEAR(out.d_logp[0], -0.091212761903178170, 1e-15);
  EXPECT_EQ(out.d_logp[1], -out.d_logp[0]);
  EXPECT_DOUBLE_EQ(out.reward[0], 1.0);
  EXPECT_DOUBLE_EQ(out.reward[1], -0.5);
}

TEST(DPOTest, ValueWithLabelSmoothing) {
  // u = 1.5, e = 0.2: 0.8 log(1 + e^-1.5) + 0.2 log(1 + e^1.5); the second is the first + 1.5.
  const Row<double> row = pair(-4, -6, -9, -8);
  const RowLoss<double> out = DPO{.beta = 0.5, .label_smoothing = 0.2}(row);
  EXPECT_NEAR(out.loss, 0.20141327798275246 + 0.2 * 1.5, 1e-15);
  // slope e - sigma(-u) = 0.2 - 0.1824255238 = 0.0175744761, times beta.
  EXPECT_NEAR(out.d_logp[0], 0.1 - 0.091212761903178170, 1e-15);
  EXPECT_EQ(out.d_logp[1], -out.d_logp[0]);
  EXPECT_DOUBLE_EQ(out.reward[0], 1.0) << "a reward knows no label noise";
}

TEST(DPOTest, ValueWithMargin) {
  // u = 1.5 - 2 = -0.5; the row's weight is the objective's business, not the term's.
  Row<double> row = pair(-4, -6, -9, -8);
  row.margin = 2;
  row.weight = 7;
  const RowLoss<double> out = DPO{.beta = 0.5}(row);
  EXPECT_DOUBLE_EQ(out.loss, std::log(1 + std::exp(0.5)));
  EXPECT_DOUBLE_EQ(out.d_logp[0], -0.5 / (1 + std::exp(-0.5)));
  EXPECT_DOUBLE_EQ(out.reward[0] - out.reward[1], 1.5) << "rewards are before the margin";
}

TEST(DPOTest, ValueOfAThirdBranch) {
  Row<double> row = pair(-4, -6, -9, -8);
  row.branches = 3;
  row.branch[2] = {.logp = -1, .ref_logp = -3};
  const RowLoss<double> out = DPO{.beta = 0.5}(row);
  EXPECT_DOUBLE_EQ(out.reward[2], 1.0);
  EXPECT_EQ(out.d_logp[2], 0) << "only the pair carries gradient";
  EXPECT_EQ(out.loss, DPO{.beta = 0.5}(pair(-4, -6, -9, -8)).loss);
}

TEST(DPOTest, OptimumOfSmoothedLabels) {
  // Deterministic pairs under cDPO stop at u* = logit(1 - e); beyond it the slope has turned.
  for (const double e : {0.01, 0.1, 0.25, 0.4, 0.49}) {
    const double best = std::log((1 - e) / e);
    const DPO dpo{.beta = 2, .label_smoothing = e};
    EXPECT_NEAR(dpo(pair(best / 2, 0, 0, 0)).d_logp[0], 0, 1e-15);
    EXPECT_LT(dpo(pair(best / 2 - 0.1, 0, 0, 0)).d_logp[0], 0);
    EXPECT_GT(dpo(pair(best / 2 + 0.1, 0, 0, 0)).d_logp[0], 0);
  }
}

TEST(DPOTest, SwapMirrorsTheLogit) {
  // f(u) - f(-u) = -(1 - 2e) u and f'(u) + f'(-u) = -(1 - 2e): swapping chosen and rejected maps u
  // to -u.
  Random random;
  for (int i = 0; i < 100; ++i) {
    const DPO dpo{.beta = random.uniform(0.05, 1), .label_smoothing = random.uniform(0, 0.49)};
    Row<double> row = random_row(random, 2);
    row.margin = 0;
    Row<double> swapped = row;
    std::swap(swapped.branch[0], swapped.branch[1]);
    const RowLoss<double> a = dpo(row), b = dpo(swapped);
    const double u = a.reward[0] - a.reward[1], mirror = 1 - 2 * dpo.label_smoothing;
    EXPECT_NEAR(a.loss - b.loss, -mirror * u, 1e-13 * (1 + std::abs(u)));
    EXPECT_NEAR(a.d_logp[0] + b.d_logp[0], -dpo.beta * mirror, 1e-14);
    EXPECT_EQ(a.reward[0], b.reward[1]);
  }
}

TEST(DPOTest, OrderOfLabels) {
  // Branch 0 is the chosen one: a step against the gradient raises it and lowers branch 1.
  Random random;
  for (int i = 0; i < 100; ++i) {
    const Row<double> row = random_row(random, 2);
    const RowLoss<double> out = DPO{}(row);
    EXPECT_LT(out.d_logp[0], 0);
    EXPECT_GT(out.d_logp[1], 0);
    Row<double> better = row;
    better.branch[0].logp += 0.5;
    EXPECT_LT(DPO{}(better).loss, out.loss);
  }
}

TEST(DPOTest, InvariantToWhatBothBranchesShare) {
  Random random;
  for (int i = 0; i < 100; ++i) {
    const Row<double> row = random_row(random, 2);
    Row<double> moved = row;
    for (int k = 0; k < 2; ++k) moved.branch[k].logp += 3.25;
    EXPECT_NEAR(DPO{}(moved).loss, DPO{}(row).loss, 1e-14);
    for (int k = 0; k < 2; ++k) moved.branch[k].ref_logp += 3.25;
    EXPECT_NEAR(DPO{}(moved).reward[0], DPO{}(row).reward[0], 1e-14);
  }
}

TEST(DPOTest, RejectsOptionsOutOfRange) {
  DPO dpo;
  const auto text = [&](const char* name, const char* value) {
    return testing::error_of(ErrorKind::option, [&] { set_option(dpo, name, value, {"here"}); });
  };
  EXPECT_NE(text("beta", "0").find("beta"), std::string::npos);
  EXPECT_NE(text("beta", "-1").find("above 0"), std::string::npos);
  EXPECT_NE(text("label_smoothing", "0.5").find("label_smoothing"), std::string::npos);
  EXPECT_NE(text("label_smoothing", "-0.1").find("label_smoothing"), std::string::npos);
  EXPECT_EQ(dpo.beta, 0.1);
  EXPECT_TRUE(set_option(dpo, "label_smoothing", "0.49", {"here"}));
  EXPECT_EQ(dpo.label_smoothing, 0.49);
}

}  // namespace
}  // namespace pref
