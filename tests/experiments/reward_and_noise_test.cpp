// SPDX-License-Identifier: Apache-2.0
// Signs and orders of the experiments on reward against KL and on label noise.
#include "tests/experiments/experiments_test_util.h"

namespace pref::experiments {
namespace {

TEST(RewardKl, InvariantSignsAndOrders) {
  const auto figures = run_experiment("reward_kl", 5);
  const Figure &many = figure(figures, "reward_kl_many"), &gap = figure(figures, "reward_kl_gap"),
               &each = figure(figures, "reward_kl_gap_by_beta");
  for (const Curve& curve : each.curves)
    for (const Point& p : curve.points)
      for (const double y : p.y) EXPECT_GT(y, -1e-9) << curve.name << ": above the frontier";
  // DPO comes to the frontier as data grow. The others stay inside it even in exact expectation,
  // though on finite data their smoothing may serve them (docs/experiments.md).
  expect_above(gap.y("dpo", 200), gap.y("dpo", 2000), "DPO's gap, 200 against 2000 pairs");
  expect_above(gap.y("dpo", 2000), gap.y("dpo", 0), "DPO's gap, 2000 pairs against all");
  for (const char* other : {"hinge", "cdpo"})
    expect_above(gap.y(other, 0), gap.y("dpo", 0), std::string(other) + " is inside the frontier");
  for (const double beta : parameters(many, "dpo"))
    if (beta >= 0.1)  // below, no loss has arrived when training ends
      expect_above(many.x("dpo", beta), many.x("ipo", beta),
                   "KL of DPO above IPO's, beta " + std::to_string(beta));
}

TEST(LabelNoise, InvariantSignsAndOrders) {
  const auto figures = run_experiment("label_noise", 6);
  const Figure &regret = figure(figures, "label_noise"), &kls = figure(figures, "label_noise_kl"),
               &tuned = figure(figures, "label_noise_tuned");
  const auto noises = parameters(regret, "dpo");
  ASSERT_EQ(noises.front(), 0);
  const double most = noises.back();
  // No noise: three losses are one.
  for (const char* same : {"cdpo", "robust"})
    for (size_t i = 0; i < regret.y("dpo", 0).size(); ++i)
      EXPECT_NEAR(regret.y(same, 0)[i], regret.y("dpo", 0)[i], 1e-9) << same;
  for (const double noise : noises)
    expect_close(regret.y("hinge", noise), regret.y("dpo", noise), 0.25, "hinge and DPO");
  for (const char* loss : {"dpo", "cdpo", "robust", "hinge"})
    expect_above(regret.y(loss, most), regret.y(loss, 0), std::string(loss) + " rises with noise");
  for (size_t k = 1; k < noises.size(); ++k) {
    const double noise = noises[k];
    // Robust is lowest; by two standard errors of 20 seeds where the effect is large enough.
    for (const char* worse : {"dpo", "cdpo", "hinge"})
      EXPECT_GT(mean_error(regret.y(worse, noise)).mean, mean_error(regret.y("robust", noise)).mean)
          << worse << " at " << noise;
    expect_above(regret.y("cdpo", noise), regret.y("robust", noise), "cDPO above robust");
    if (noise >= 0.2) expect_above(regret.y("dpo", noise), regret.y("robust", noise), "DPO too");
    for (const char* better : {"dpo", "robust"}) {
      expect_above(regret.y("cdpo", noise), regret.y(better, noise),
                   std::string("cDPO above ") + better + " at " + std::to_string(noise));
      expect_above(kls.y(better, noise), kls.y("cdpo", noise), "cDPO stops at a smaller KL");
    }
  }
  // cDPO's regret at one beta is its smaller KL: with beta tuned most of the gap to DPO goes.
  const double at = 0.2;
  EXPECT_LT(mean_error(difference(tuned.y("cdpo", at), tuned.y("dpo", at))).mean,
            mean_error(difference(regret.y("cdpo", at), regret.y("dpo", at))).mean / 2);
}

}  // namespace
}  // namespace pref::experiments
