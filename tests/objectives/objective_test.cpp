// SPDX-License-Identifier: Apache-2.0
// Sums of weighted terms with their normalizers, cross-entropy as the simplest of them, and terms
// by name.
#include "libpref/objectives/objective.h"

#include <gmock/gmock.h>

#include <cmath>

#include "libpref/objectives/logistic.h"
#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Random;
using testing::random_row;
using ::testing::StartsWith;

TEST(LogisticTest, Value) {
  EXPECT_DOUBLE_EQ(sigmoid(0.0), 0.5);
  EXPECT_DOUBLE_EQ(sigmoid(std::log(3.0)), 0.75);
  EXPECT_DOUBLE_EQ(sigmoid(-std::log(3.0)), 0.25);
  EXPECT_DOUBLE_EQ(neg_log_sigmoid(std::log(3.0)), std::log(4.0 / 3));
  EXPECT_DOUBLE_EQ(neg_log_sigmoid(-std::log(3.0)), std::log(4.0));
  // Far out: e^-40 keeps all its digits where 1 + e^-40 would round to 1, and -u is exact.
  EXPECT_DOUBLE_EQ(neg_log_sigmoid(40.0), std::exp(-40.0));
  EXPECT_DOUBLE_EQ(sigmoid(-40.0), std::exp(-40.0));
  EXPECT_EQ(neg_log_sigmoid(-1e6), 1e6);
  EXPECT_EQ(neg_log_sigmoid(1e6), 0);
  EXPECT_EQ(sigmoid(-1e6), 0);
  EXPECT_EQ(sigmoid(1e6), 1);
  EXPECT_GT(sigmoid(-720.0), 0) << "e^720 overflows, e^-720 does not vanish";
}

TEST(SFTTest, Value) {
  Row<double> row;
  row.branches = 1;
  row.branch[0] = {.logp = -3.5, .ref_logp = -1, .num_tokens = 7};
  const RowLoss<double> out = SFT{}(row);
  EXPECT_EQ(out.loss, 3.5);
  EXPECT_EQ(out.d_logp[0], -1);
  EXPECT_EQ(out.reward[0], 0);
  // Beside a rejected branch it still reads the chosen one alone.
  row.branches = 2;
  row.branch[1].logp = -100;
  EXPECT_EQ(SFT{}(row).loss, 3.5);
  EXPECT_EQ(SFT{}(row).d_logp[1], 0);
}

TEST(ObjectiveTest, ValueOfWeightedTerms) {
  // u = 0.5 ((-4 + 6) - (-9 + 8)) = 1.5. Row weight 3, batch of 4 rows and 10 chosen tokens:
  //   loss = 2 * 3 * log(1 + e^-1.5) / 4 + 0.25 * 3 * 4 / 10
  Row<double> row;
  row.branch[0] = {.logp = -4, .ref_logp = -6};
  row.branch[1] = {.logp = -9, .ref_logp = -8};
  row.weight = 3;
  const Objective objective({{DPO{.beta = 0.5}, 2}, {SFT{}, 0.25}});
  const RowLoss<double> out = objective(row, {.rows = 4, .chosen_tokens = 10});
  EXPECT_NEAR(out.loss, 1.5 * 0.20141327798275246 + 0.3, 1e-15);
  EXPECT_NEAR(out.d_logp[0], -1.5 * 0.091212761903178170 - 0.075, 1e-15);
  EXPECT_NEAR(out.d_logp[1], 1.5 * 0.091212761903178170, 1e-15);
  EXPECT_DOUBLE_EQ(out.reward[0], 1.0) << "neither weighted nor normalized";
  EXPECT_DOUBLE_EQ(out.reward[1], -0.5);
}

TEST(ObjectiveTest, ValueIsTheSumOfItsTerms) {
  Random random;
  for (int i = 0; i < 100; ++i) {
    const double a = random.uniform(-1, 2), b = random.uniform(-1, 2);
    const DPO one{.beta = random.uniform(0.1, 1)}, other{.beta = 0.3, .label_smoothing = 0.1};
    const Normalizers batch{random.uniform(1, 9), random.uniform(1, 90)};
    const Row<double> row = random_row(random, 3);
    const RowLoss<double> sum = Objective({{one, a}, {other, b}, {SFT{}, 2}})(row, batch);
    const RowLoss<double> x = Objective(one)(row, batch), y = Objective(other)(row, batch),
                          z = Objective(SFT{})(row, batch);
    EXPECT_NEAR(sum.loss, a * x.loss + b * y.loss + 2 * z.loss, 1e-12);
    for (int k = 0; k < 3; ++k) {
      EXPECT_NEAR(sum.d_logp[k], a * x.d_logp[k] + b * y.d_logp[k] + 2 * z.d_logp[k], 1e-12);
      EXPECT_EQ(sum.reward[k], x.reward[k]) << "of the first term that compares branches";
    }
  }
}

TEST(ObjectiveTest, InvariantToTheOrderOfTerms) {
  Random random;
  const Row<double> row = random_row(random, 2);
  const Normalizers batch{3, 17};
  const RowLoss<double> a = Objective({{DPO{}, 0.7}, {SFT{}, 2}})(row, batch);
  const RowLoss<double> b = Objective({{SFT{}, 2}, {DPO{}, 0.7}})(row, batch);
  EXPECT_DOUBLE_EQ(a.loss, b.loss);
  for (int k = 0; k < 2; ++k) {
    EXPECT_DOUBLE_EQ(a.d_logp[k], b.d_logp[k]);
    EXPECT_EQ(a.reward[k], b.reward[k]) << "sft compares nothing, so the rewards are dpo's";
    EXPECT_NE(b.reward[k], 0);
  }
}

TEST(ObjectiveTest, WeightAndNormalizersScaleLossAndGradient) {
  Random random;
  for_each_objective([&](const auto& term) {
    SCOPED_TRACE(term.name);
    Row<double> row = random_row(random, std::max(2, term.min_branches));
    row.weight = 1;
    row.margin = 0;
    const RowLoss<double> one = Objective(term)(row, {1, 1});
    row.weight = 2.5;
    const bool by_rows = term.normalizer == Normalizer::rows;
    const RowLoss<double> scaled = Objective(term)(row, {by_rows ? 8.0 : 1e9, by_rows ? 1e9 : 8.0});
    EXPECT_DOUBLE_EQ(scaled.loss, one.loss * 2.5 / 8);
    for (int k = 0; k < 2; ++k) {
      EXPECT_DOUBLE_EQ(scaled.d_logp[k], one.d_logp[k] * 2.5 / 8);
      EXPECT_EQ(scaled.reward[k], one.reward[k]);
    }
    row.weight = 0;
    EXPECT_EQ(Objective(term)(row, {1, 1}).loss, 0);
    EXPECT_EQ(Objective(term)(row, {1, 1}).d_logp[0], 0);
  });
}

TEST(ObjectiveTest, NeedsBranchesAndName) {
  const Objective dpo{DPO{}}, sft{SFT{}}, both({{SFT{}, 1}, {DPO{}, 1}});
  EXPECT_TRUE(has(dpo.needs(), Needs::reference));
  EXPECT_FALSE(has(sft.needs(), Needs::reference));
  EXPECT_TRUE(has(both.needs(), Needs::reference));
  EXPECT_FALSE(has(both.needs(), Needs::collision));
  EXPECT_EQ(dpo.min_branches(), 2);
  EXPECT_EQ(sft.min_branches(), 1);
  EXPECT_EQ(both.min_branches(), 2);
  const Objective turned({{DPO{}, 1}, {SFT{}, 1}});
  EXPECT_TRUE(has(turned.needs(), Needs::reference));
  EXPECT_EQ(turned.min_branches(), 2);
  EXPECT_EQ(turned.name(), "dpo+sft");
  EXPECT_EQ(dpo.name(), "dpo");
  EXPECT_EQ(both.name(), "sft+dpo");
  ASSERT_EQ(both.terms().size(), 2u);
  EXPECT_TRUE(std::holds_alternative<SFT>(both.terms()[0].term));
}

TEST(ObjectiveTest, TermByName) {
  for_each_objective([](const auto& objective) {
    using T = std::decay_t<decltype(objective)>;
    EXPECT_TRUE(std::holds_alternative<T>(make_term(objective.name))) << objective.name;
    EXPECT_TRUE(std::holds_alternative<T>(make_term(objective.loss_type))) << objective.loss_type;
  });
  EXPECT_EQ(std::get<DPO>(make_term("sigmoid")).beta, DPO{}.beta);
}

TEST(ObjectiveTest, RejectsAnUnknownName) {
  const std::string near = error_of(ErrorKind::option, [] { make_term("dop"); });
  EXPECT_THAT(
      near,
      StartsWith("[objective] \"dop\" is not a known objective; known: dpo (loss_type sigmoid), "));
  EXPECT_THAT(near, HasSubstr(" Did you mean \"dpo\"?"));
  for (const std::string& name : objective_names()) EXPECT_THAT(near, HasSubstr(name));
  const std::string far = error_of(ErrorKind::option, [] { make_term("reinforcement"); });
  EXPECT_THAT(far, HasSubstr("\"reinforcement\" is not a known objective"));
  EXPECT_THAT(far, Not(HasSubstr("Did you mean")));
  EXPECT_THAT(error_of(ErrorKind::option, [] { make_term(""); }), HasSubstr("\"\" is not a known"));
}

TEST(ObjectiveTest, RejectsNoTerms) {
  EXPECT_THAT(error_of(ErrorKind::option, [] { Objective(std::vector<WeightedTerm>{}); }),
              HasSubstr("[objective] at least one term is required"));
}

}  // namespace
}  // namespace pref
