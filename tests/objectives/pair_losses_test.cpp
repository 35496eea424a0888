// SPDX-License-Identifier: Apache-2.0
// The losses on log-ratios to a reference, by hand on one pair:
//   logp_w = -4, ref_w = -6, logp_l = -9, ref_l = -8:   h_w = 2, h_l = -1
// and, with beta = 1/2, r_w = 1, r_l = -1/2, u = 3/2. L(x) = -log sigma(x) = log(1 + e^-x):
//   L(1.5) = 0.2014132779827525    L(-1.5) = 1.7014132779827525
//   L(1)   = 0.3132616875182228    L(-1)   = 1.3132616875182228
//   L(0.5) = 0.4740769841801067    L(-0.5) = 0.9740769841801067
//   sigma(1.5) = 0.8175744761936437  sigma(1) = 0.7310585786300049  sigma(0.5) = 0.6224593312018546
#include <cmath>

#include "libpref/objectives/list.h"
#include "tests/objectives/objective_test_util.h"

namespace pref {
namespace {

using testing::error_of;

constexpr double kLog15 = 0.20141327798275246, kSig15 = 0.81757447619364365;
constexpr double kLog1 = 0.31326168751822286, kSig1 = 0.73105857863000487;
constexpr double kLog05 = 0.47407698418010669, kSig05 = 0.62245933120185459;

Row<double> pair(double n_w = 1, double n_l = 1) {
  Row<double> row;
  row.branch[0] = {.logp = -4, .ref_logp = -6, .num_tokens = n_w};
  row.branch[1] = {.logp = -9, .ref_logp = -8, .num_tokens = n_l};
  return row;
}

Row<double> with_margin(Row<double> row, double margin) {
  row.margin = margin;
  return row;
}

void expect(const RowLoss<double>& out, double loss, double d_chosen, double d_rejected,
            double beta = 0.5) {
  EXPECT_NEAR(out.loss, loss, 1e-14);
  EXPECT_NEAR(out.d_logp[0], d_chosen, 1e-15);
  EXPECT_NEAR(out.d_logp[1], d_rejected, 1e-15);
  EXPECT_NEAR(out.reward[0], 2 * beta, 1e-15);
  EXPECT_NEAR(out.reward[1], -beta, 1e-15);
}

TEST(RobustDPOTest, Value) {
  // (0.8 L(1.5) - 0.2 L(-1.5)) / 0.6 = (0.6 L(1.5) - 0.2 * 1.5) / 0.6 = L(1.5) - 0.5;
  // slope -(0.8 sigma(-1.5) + 0.2 sigma(1.5)) / 0.6.
  const double slope = -(0.8 * (1 - kSig15) + 0.2 * kSig15) / 0.6;
  expect(RobustDPO{.beta = 0.5, .label_smoothing = 0.2}(pair()), kLog15 - 0.5, 0.5 * slope,
         -0.5 * slope);
  // With a margin of 1.5 the logit is 0: (0.8 - 0.2) / 0.6 log 2.
  const RobustDPO robust{.beta = 0.5, .label_smoothing = 0.2};
  EXPECT_NEAR(robust(with_margin(pair(), 1.5)).loss, std::log(2.0), 1e-15);
}

TEST(RobustDPOTest, UnbiasedUnderItsNoise) {
  // Labels flipped at rate e: the mean of the robust losses of both labels is DPO's clean loss.
  for (const double e : {0.05, 0.2, 0.4}) {
    Row<double> flipped = pair();
    std::swap(flipped.branch[0], flipped.branch[1]);
    const RobustDPO robust{.beta = 0.5, .label_smoothing = e};
    EXPECT_NEAR((1 - e) * robust(pair()).loss + e * robust(flipped).loss, kLog15, 1e-14);
  }
}

TEST(HingeTest, Value) {
  expect(Hinge{.beta = 0.5}(pair()), 0, 0, 0);                      // 1 - 1.5 < 0
  expect(Hinge{.beta = 0.25}(pair()), 0.25, -0.25, 0.25, 0.25);     // 1 - 0.75
  EXPECT_EQ(Hinge{.beta = 0.5}(with_margin(pair(), 2)).loss, 1.5);  // 1 - (1.5 - 2)
  Row<double> kink = pair();
  kink.branch[1].ref_logp = -9;  // u = 0.5 * 2 = 1: both one-sided slopes are right, TRL takes 0
  EXPECT_EQ(Hinge{.beta = 0.5}(kink).loss, 0);
  EXPECT_EQ(Hinge{.beta = 0.5}(kink).d_logp[0], 0);
}

TEST(IPOTest, Value) {
  // mean: H = 2/4 + 1/5 = 0.7, 1 / (2 beta) = 1: (-0.3)^2; 2 (-0.3) / 4 and 2 (0.3) / 5.
  expect(IPO{.beta = 0.5}(pair(4, 5)), 0.09, -0.15, 0.12);
  // sum: H = 3: (3 - 1)^2, slopes 4.
  expect(IPO{.beta = 0.5, .ipo_normalization = IPONormalization::sum}(pair(4, 5)), 4, 4, -4);
  // One-token responses: the two readings agree.
  EXPECT_EQ(IPO{.beta = 0.5}(pair()).loss, 4);
}

TEST(EXOPairTest, Value) {
  // q = sigma(1.5): q (-L(1.5) - log 0.8) + (1-q) (-L(-1.5) - log 0.2);
  // slope q (1-q) (1.5 - log 4).
  const double q = kSig15;
  const double loss = q * (-kLog15 - std::log(0.8)) + (1 - q) * (-(kLog15 + 1.5) - std::log(0.2));
  const double slope = q * (1 - q) * (1.5 - std::log(4.0));
  expect(EXOPair{.beta = 0.5, .label_smoothing = 0.2}(pair()), loss, 0.5 * slope, -0.5 * slope);
}

TEST(EXOPairTest, OptimumAtTheSmoothedLabel) {
  // The KL vanishes where the policy's preference is the label: u = logit(1 - e).
  for (const double e : {1e-3, 0.05, 0.3, 0.49}) {
    Row<double> row;
    row.branch[0].logp = std::log((1 - e) / e);
    const RowLoss<double> out = EXOPair{.beta = 1, .label_smoothing = e}(row);
    EXPECT_NEAR(out.loss, 0, 1e-15);
    EXPECT_NEAR(out.d_logp[0], 0, 1e-15);
  }
}

TEST(NCAPairTest, Value) {
  // L(1) + L(-1) / 2 + L(0.5) / 2; r_w = 1: sigma(1) / 2 - sigma(-1); r_l = -0.5: sigma(-0.5) / 2.
  expect(NCAPair{.beta = 0.5}(pair()), kLog1 + 0.5 * (kLog1 + 1) + 0.5 * kLog05,
         0.5 * (1.5 * kSig1 - 1), 0.5 * 0.5 * (1 - kSig05));
}

TEST(BCOPairTest, Value) {
  // L(1) + L(0.5); -sigma(-1) and sigma(-0.5).
  expect(BCOPair{.beta = 0.5}(pair()), kLog1 + kLog05, -0.5 * (1 - kSig1), 0.5 * (1 - kSig05));
}

TEST(SPPOHardTest, Value) {
  // Targets +-1: (2 - 1)^2 + (-1 + 1)^2.
  expect(SPPOHard{.beta = 0.5}(pair()), 1, 2, 0);
  // beta 0.25, targets +-2: (2 - 2)^2 + (-1 + 2)^2.
  expect(SPPOHard{.beta = 0.25}(pair()), 1, 0, 2, 0.25);
}

TEST(APOZeroTest, Value) {
  // 1 - sigma(1) + sigma(-0.5).
  expect(APOZero{.beta = 0.5}(pair()), 1 - kSig1 + 1 - kSig05, -0.5 * kSig1 * (1 - kSig1),
         0.5 * kSig05 * (1 - kSig05));
}

TEST(APODownTest, Value) {
  // sigma(1) + 1 - sigma(1.5).
  const double order = kSig15 * (1 - kSig15);
  expect(APODown{.beta = 0.5}(pair()), kSig1 + 1 - kSig15, 0.5 * (kSig1 * (1 - kSig1) - order),
         0.5 * order);
}

TEST(APOTest, DirectionsAtTheStart) {
  // Zero: chosen up, rejected down. Down: at the reference only the rejected one moves, and once
  // the two differ the chosen one falls too.
  Row<double> start = pair();
  for (auto& branch : start.branch) branch.ref_logp = branch.logp;
  EXPECT_LT(APOZero{}(start).d_logp[0], 0);
  EXPECT_GT(APOZero{}(start).d_logp[1], 0);
  EXPECT_EQ(APODown{}(start).d_logp[0], 0);
  EXPECT_GT(APODown{}(start).d_logp[1], 0);
  start.branch[1].logp -= 10;
  EXPECT_GT(APODown{}(start).d_logp[0], 0);
}

TEST(DiscoPOPTest, Value) {
  // tau = 0.75: m = sigma(2) = 0.8807970779778823; (1-m) L(1.5) + m e^-1.5.
  const double m = 0.88079707797788231, power = 0.22313016014842982;
  const double slope = m * (1 - m) / 0.75 * (power - kLog15) - (1 - m) * (1 - kSig15) - m * power;
  expect(DiscoPOP{.beta = 0.5, .discopop_tau = 0.75}(pair()), (1 - m) * kLog15 + m * power,
         0.5 * slope, -0.5 * slope);
}

TEST(DiscoPOPTest, FarBelowItIsLogistic) {
  // u = -2e5 at tau 0.05: the blend is all logistic, where 0 times e^200000 has no value.
  Row<double> row;
  row.branch[0].logp = -2e6;
  const RowLoss<double> out = DiscoPOP{.beta = 0.1}(row);
  EXPECT_EQ(out.loss, 2e5);
  EXPECT_EQ(out.d_logp[0], -0.1);
  // At tau = 1 the exponential part tends to 1: (1-m) |u| + m e^-u with m e^-u = sigma(-u).
  EXPECT_EQ((DiscoPOP{.beta = 0.1, .discopop_tau = 1}(row).loss), 2e5 + 1);
}

TEST(SigmoidNormTest, Value) {
  // u = 0.5 (2/4 + 1/5) = 0.35; L(0.35) = 0.5333816605, slopes -0.125 sigma(-u), 0.1 sigma(-u).
  const double rest = 1 / (1 + std::exp(0.35));
  expect(SigmoidNorm{.beta = 0.5}(pair(4, 5)), std::log1p(std::exp(-0.35)), -0.125 * rest,
         0.1 * rest);
  EXPECT_NEAR(SigmoidNorm{.beta = 0.5}(pair()).loss, kLog15, 1e-15) << "one token: DPO";
  EXPECT_NEAR(SigmoidNorm{.beta = 0.5}(with_margin(pair(4, 5), 0.35)).loss, std::log(2.0), 1e-15);
}

TEST(RDPOTest, Value) {
  // u = 1.5 + 0.25 (4 - 8) = 0.5.
  expect(RDPO{.beta = 0.5, .alpha = 0.25}(pair(4, 8)), kLog05, -0.5 * (1 - kSig05),
         0.5 * (1 - kSig05));
  // A longer chosen response pulls less than a shorter one.
  EXPECT_GT(RDPO{}(pair(80, 8)).d_logp[0], RDPO{}(pair(8, 80)).d_logp[0]);
}

TEST(PairLossesTest, ReduceToDPO) {
  testing::Random random;
  for (int i = 0; i < 100; ++i) {
    const Row<double> row = testing::random_row(random, 2);
    const RowLoss<double> dpo = DPO{.beta = 0.3}(row);
    for (const RowLoss<double>& other :
         {RobustDPO{.beta = 0.3}(row), RDPO{.beta = 0.3, .alpha = 0}(row)}) {
      EXPECT_NEAR(other.loss, dpo.loss, 1e-14 * (1 + dpo.loss));
      EXPECT_NEAR(other.d_logp[0], dpo.d_logp[0], 1e-15);
    }
  }
}

TEST(PairLossesTest, OptimumOfRobustUnderNoisyLabels) {
  // A share p of clean labels prefers w; flips at rate e turn it into p' = p(1-e) + (1-p)e. The
  // robust loss still stops at u* = logit(p), conservative DPO at logit of the noisier mixture.
  const double p = 0.7, e = 0.2, seen = p * (1 - e) + (1 - p) * e;
  const auto pull = [&](const auto& loss, double u) {
    Row<double> row, flipped;
    row.branch[0].logp = flipped.branch[1].logp = u;
    return seen * loss(row).d_logp[0] + (1 - seen) * loss(flipped).d_logp[1];
  };
  EXPECT_NEAR(pull(RobustDPO{.beta = 1, .label_smoothing = e}, std::log(p / (1 - p))), 0, 1e-15);
  const double mixed = seen * (1 - e) + (1 - seen) * e;
  EXPECT_NEAR(pull(DPO{.beta = 1, .label_smoothing = e}, std::log(mixed / (1 - mixed))), 0, 1e-15);
}

TEST(PairLossesTest, RejectsOptionsOutOfRange) {
  const auto refuses = [](auto objective, const char* name, const char* value) {
    const std::string text =
        error_of(ErrorKind::option, [&] { set_option(objective, name, value, {"here"}); });
    EXPECT_NE(text.find(name), std::string::npos) << text;
  };
  refuses(EXOPair{}, "label_smoothing", "0");  // N11: log e has no value at 0
  refuses(EXOPair{}, "label_smoothing", "0.5");
  refuses(RobustDPO{}, "label_smoothing", "0.5");  // N11: divides by 1 - 2e
  refuses(RobustDPO{}, "label_smoothing", "-0.1");
  refuses(DiscoPOP{}, "discopop_tau", "0");
  refuses(DiscoPOP{}, "discopop_tau", "1.5");
  refuses(IPO{}, "ipo_normalization", "median");
  refuses(RDPO{}, "alpha", "-0.1");
  refuses(Hinge{}, "label_smoothing", "0.1");  // not an option of the hinge
}

}  // namespace
}  // namespace pref
