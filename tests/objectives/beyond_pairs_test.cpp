// SPDX-License-Identifier: Apache-2.0
// Win probabilities, exploration and lists, by hand. The pair has h_w = 2, h_l = -1.
#include <gmock/gmock.h>

#include <cmath>

#include "libpref/objectives/objective.h"
#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::Random;
using testing::random_row;

constexpr double kLog15 = 0.20141327798275246, kRest15 = 0.18242552380635635;  // sigma(-1.5)

Row<double> pair() {
  Row<double> row;
  row.branch[0] = {.logp = -4, .ref_logp = -6, .num_tokens = 8, .win_probability = 0.75};
  row.branch[1] = {.logp = -9, .ref_logp = -8, .num_tokens = 6, .win_probability = 0.25};
  return row;
}

Row<double> triple() {
  Row<double> row = pair();
  row.branches = 3;
  row.branch[2] = {.logp = -3, .ref_logp = -7, .num_tokens = 5};
  return row;
}

TEST(SPPOTest, Value) {
  // eta 4: targets 1 and -1: ((2 - 1)^2 + (-1 + 1)^2) / 2; slopes 1 and 0.
  const RowLoss<double> out = SPPO{.beta = 0.25}(pair());
  EXPECT_EQ(out.loss, 0.5);
  EXPECT_EQ(out.d_logp[0], 1);
  EXPECT_EQ(out.d_logp[1], 0);
  EXPECT_EQ(out.reward[0], 0.5);
  EXPECT_EQ(out.reward[1], -0.25);
  // The authors' beta: eta 1000, targets +-250.
  EXPECT_NEAR(SPPO{}(pair()).loss, (248.0 * 248 + 249.0 * 249) / 2, 1e-9);
}

TEST(SPPOTest, HardLabelsAreHalfOfSPPOHard) {
  Random random;
  for (int i = 0; i < 50; ++i) {
    Row<double> row = random_row(random, 2);
    row.branch[0].win_probability = 1;
    row.branch[1].win_probability = 0;
    const RowLoss<double> soft = SPPO{.beta = 0.3}(row), hard = SPPOHard{.beta = 0.3}(row);
    EXPECT_NEAR(2 * soft.loss, hard.loss, 1e-12 * hard.loss);
    EXPECT_NEAR(2 * soft.d_logp[1], hard.d_logp[1], 1e-12 * (1 + std::abs(hard.d_logp[1])));
  }
}

TEST(DNOTest, Value) {
  // u = 0.5 * 3, q = sigma(0.5): L(1.5) + (1-q) 1.5; slope sigma(1.5) - q.
  const double q = 0.62245933120185459;
  const RowLoss<double> out = DNO{.beta = 0.5}(pair());
  EXPECT_NEAR(out.loss, kLog15 + (1 - q) * 1.5, 1e-15);
  EXPECT_NEAR(out.d_logp[0], 0.5 * (1 - kRest15 - q), 1e-15);
  EXPECT_EQ(out.d_logp[1], -out.d_logp[0]);
  EXPECT_EQ(out.reward[0], 1);
}

TEST(DNOTest, OptimumAtTheExpectedRewards) {
  // No pull where beta (h_0 - h_1) = P_0 - P_1.
  Row<double> row;
  row.branch[0] = {.logp = 1.2, .win_probability = 0.8};
  row.branch[1] = {.logp = 0.2, .win_probability = 0.3};
  EXPECT_NEAR(DNO{.beta = 0.5}(row).d_logp[0], 0, 1e-16);
}

TEST(SELMTest, Value) {
  // DPO's L(1.5) + 0.1 * 0.5 * h_y, h_y = -3 + 7.
  const RowLoss<double> out = SELM{.beta = 0.5, .alpha = 0.1}(triple());
  EXPECT_NEAR(out.loss, kLog15 + 0.2, 1e-15);
  EXPECT_NEAR(out.exploration, 0.2, 1e-16);
  EXPECT_NEAR(out.d_logp[0], -0.5 * kRest15, 1e-16);
  EXPECT_EQ(out.d_logp[1], -out.d_logp[0]);
  EXPECT_NEAR(out.d_logp[2], 0.05, 1e-17) << "positive: a step lowers the likelihood of y";
  EXPECT_EQ(out.reward[2], 2);
}

TEST(SELMTest, TurnsWhereYIsTheChosenResponse) {
  // At u = 0 with y the chosen response the shared tokens get -beta/2 + alpha beta; once
  // sigma(-u) < alpha the sum changes sign.
  Row<double> row = triple();
  for (auto& branch : row.branch) branch.ref_logp = branch.logp;
  row.branch[2] = row.branch[0];
  const SELM selm{.beta = 0.5, .alpha = 0.1};
  const RowLoss<double> start = selm(row);
  EXPECT_NEAR(start.d_logp[0] + start.d_logp[2], -0.25 + 0.05, 1e-16);
  row.branch[0].logp += 2 * std::log(9.0) + 0.1;  // sigma(-u) = 0.1 at u = log 9
  EXPECT_GT(selm(row).d_logp[0] + selm(row).d_logp[2], 0);
}

TEST(XPOTest, Value) {
  // L(1.5) + 0.1 * (-3): no beta, no reference in the exploration part.
  const RowLoss<double> out = XPO{.beta = 0.5, .alpha = 0.1}(triple());
  EXPECT_NEAR(out.loss, kLog15 - 0.3, 1e-15);
  EXPECT_NEAR(out.exploration, -0.3, 1e-16);
  EXPECT_EQ(out.d_logp[2], 0.1);
  EXPECT_NEAR(out.d_logp[0], -0.5 * kRest15, 1e-16);
}

TEST(ExplorationTest, IsReportedInTheShareOfTheBatch) {
  // Weight 2, 4 rows, term weight 3; within the loss, not beside it.
  Row<double> row = triple();
  row.weight = 2;
  const Objective objective({{SELM{.beta = 0.5, .alpha = 0.1}, 3}, {SFT{}, 1}});
  const RowLoss<double> out = objective(row, {.rows = 4, .chosen_tokens = 10});
  EXPECT_NEAR(out.exploration, 1.5 * 0.2, 1e-15);
  EXPECT_NEAR(out.loss, 1.5 * (kLog15 + 0.2) + 2 * 4 / 10.0, 1e-15);
  EXPECT_EQ(objective.min_branches(), 3);
  EXPECT_EQ(Objective(DPO{})(pair(), {}).exploration, 0);
}

TEST(ExplorationTest, VanishesWithAlpha) {
  Random random;
  for (int i = 0; i < 50; ++i) {
    const Row<double> row = random_row(random, 3);
    const RowLoss<double> dpo = DPO{.beta = 0.3}(row);
    for (const RowLoss<double>& out :
         {SELM{.beta = 0.3, .alpha = 0}(row), XPO{.beta = 0.3, .alpha = 0}(row)}) {
      EXPECT_EQ(out.loss, dpo.loss);
      EXPECT_EQ(out.d_logp[0], dpo.d_logp[0]);
      EXPECT_EQ(out.d_logp[2], 0);
    }
  }
}

TEST(PROTest, ValueOfAPair) {
  // Two responses: logistic loss with u = t (a_0 - a_1), t = 1.5, a = -1/2, -3/2; NLL 0.05 * 4.
  Row<double> row = pair();
  row.branch[0].score = 2;
  row.branch[1].score = 0.5;
  const RowLoss<double> out = PRO{}(row);
  EXPECT_NEAR(out.loss, kLog15 + 0.2, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -1.5 * kRest15 / 8 - 0.05, 1e-15);
  EXPECT_NEAR(out.d_logp[1], 1.5 * kRest15 / 6, 1e-15);
  EXPECT_EQ(out.reward[1], -1.5);
}

TEST(PROTest, ValueOfAList) {
  // Scores 2, 1, 0 and means -1, -1, -1 (one token each). Stage 0: t_00 = 2, t_01 = 1, t_02 = 2:
  // exponents -2, -1, -2: log(2 e^-2 + e^-1) + 2 = log(2 + e). Stage 1: exponents -1, -1: log 2.
  Row<double> row;
  row.branches = 3;
  for (int k = 0; k < 3; ++k) row.branch[k] = {.logp = -1, .score = 2.0 - k};
  const double e = std::exp(1.0);
  const RowLoss<double> out = PRO{}(row);
  EXPECT_NEAR(out.loss, std::log(2 + e) + std::log(2.0) + 0.05 * 4, 1e-15);
  // q of stage 0: 1, e, 1 over 2 + e; of stage 1: a half each.
  EXPECT_NEAR(out.d_logp[0], 2 * (1 / (2 + e) - 1) - 0.2, 1e-15);
  EXPECT_NEAR(out.d_logp[1], e / (2 + e) - 0.5, 1e-15);
  EXPECT_NEAR(out.d_logp[2], 2 / (2 + e) + 0.5, 1e-15);
}

TEST(LOGOTest, Value) {
  // beta 2, ratio 0.25; a = -1/2, rejected -3/2 and -5/2, mean -2: u = 2 (1.5 - 0.25) = 2.5.
  Row<double> row = pair();
  row.branches = 3;
  row.branch[2] = {.logp = -10, .num_tokens = 4};
  const RowLoss<double> out = LOGO{.beta = 2, .gamma_beta_ratio = 0.25}(row);
  const double rest = 1 / (1 + std::exp(2.5));
  EXPECT_NEAR(out.loss, std::log1p(std::exp(-2.5)), 1e-15);
  EXPECT_NEAR(out.d_logp[0], -2 * rest / 8, 1e-16);
  EXPECT_NEAR(out.d_logp[1], 2 * rest / (2 * 6), 1e-16);
  EXPECT_NEAR(out.d_logp[2], 2 * rest / (2 * 4), 1e-16);
}

TEST(LOGOTest, OneRejectedIsSimPO) {
  Random random;
  for (int i = 0; i < 50; ++i) {
    const Row<double> row = random_row(random, 2);
    const RowLoss<double> logo = LOGO{}(row),
                          simpo = SimPO{.beta = 10, .gamma_beta_ratio = 0.3}(row);
    EXPECT_NEAR(logo.loss, simpo.loss, 1e-13 * (1 + simpo.loss));
    EXPECT_NEAR(logo.d_logp[1], simpo.d_logp[1], 1e-14);
  }
}

std::string refusal(const Objective& objective, const Row<double>& row) {
  return error_of(ErrorKind::data, [&] { objective(row, {}); });
}

TEST(RowCheckTest, RejectsMissingWinProbabilities) {
  Row<double> row = pair();
  row.branch[1].win_probability = -1;
  EXPECT_THAT(
      refusal(SPPO{}, row),
      HasSubstr("[sppo] response 1 of a row needs a win probability between 0 and 1, got none"));
  row.branch[1].win_probability = 1.25;
  EXPECT_THAT(refusal(DNO{}, row), HasSubstr("[dno] response 1"));
  EXPECT_NO_THROW(Objective(DPO{})(row, {}));
}

TEST(RowCheckTest, RejectsScoresThatDoNotRank) {
  Row<double> row = pair();
  EXPECT_THAT(refusal(PRO{}, row), HasSubstr("[pro] the responses of a row all have score 0"));
  row.branch[1].score = 1;
  EXPECT_THAT(refusal(PRO{}, row), HasSubstr("by falling score; response 1 has 1 after 0"));
}

TEST(RowCheckTest, RejectsMarginsWithoutAPlace) {
  Row<double> row = pair();
  row.margin = 0.5;
  EXPECT_THAT(refusal(IPO{}, row), HasSubstr("[ipo] a row has margin 0.5"));
  EXPECT_THAT(refusal(Objective({{SFT{}, 1}, {APOZero{}, 1}}), row), HasSubstr("[apo_zero]"));
  EXPECT_NO_THROW(Objective(SimPO{})(row, {}));
  EXPECT_NO_THROW(Objective(SFT{})(row, {})) << "compares nothing";
}

TEST(RowCheckTest, MarginsHaveAnEffectWhereAccepted) {
  Random random;
  for_each_objective([&](const auto& objective) {
    Row<double> row = random_row(random, std::max(2, objective.min_branches)), other = row;
    other.branch[0].logp = row.branch[0].logp = -20;  // on the slope of hinges, too
    other.margin += 1;
    EXPECT_EQ(objective(row).loss != objective(other).loss, has(objective.accepts, Accepts::margin))
        << objective.name;
  });
}

}  // namespace
}  // namespace pref
