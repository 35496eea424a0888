// SPDX-License-Identifier: Apache-2.0
// SELM: where exploring helps, and where it does not.
#include "tests/experiments/experiments_test_util.h"

namespace pref::experiments {
namespace {

TEST(SelmRareArm, InvariantSignsAndOrders) {
  const auto figures = run_experiment("selm_rare_arm", 8);
  const Figure &found = figure(figures, "selm_rare_found"),
               &better = figure(figures, "selm_rare_better"),
               &worse = figure(figures, "selm_rare_worse");
  for (const Curve& curve : found.curves) {
    // Among five arms exploring first moves the mode's mass to the other common arms: it takes
    // longer, and the largest alpha does harm.
    const bool several = curve.name.ends_with("arms");
    if (several && !long_tests()) continue;
    const double most = several ? 0.1 : parameters(found, curve.name).back();
    expect_above(found.y(curve.name, 0), found.y(curve.name, most),
                 curve.name + ": found earlier with exploration");
    expect_above(better.y(curve.name, 0), better.y(curve.name, most),
                 curve.name + ": less regret where the rare arm is better");
    expect_above(worse.y(curve.name, most), worse.y(curve.name, 0),
                 curve.name + ": exploring costs where it is worse");
  }
  expect_above(found.y("rarity 0.001", 0), found.y("rarity 0.01", 0), "rarer is found later");
}

TEST(SelmDense, InvariantSignsAndOrders) {
  const auto figures = run_experiment("selm_dense", 6);
  const Figure &cost = figure(figures, "selm_dense_cost"),
               &compared = figure(figures, "selm_dense_compared"),
               &distance = figure(figures, "selm_dense_kl");
  const double most = parameters(cost, "Adam").back();
  expect_above(cost.y("gradient descent", most), cost.y("gradient descent", 0),
               "no benefit: regret under the KL price rises");
  expect_close(compared.y("gradient descent", most), compared.y("gradient descent", 0), 2,
               "arms compared");
  // Adam turns the exploration part's tiny gradients on unseen arms into full steps: away from the
  // reference, and no benefit either.
  expect_above(cost.y("Adam", most), cost.y("Adam", 0), "Adam: regret under the KL price rises");
  expect_above(distance.y("Adam", most), distance.y("Adam", 0), "Adam: larger KL");
}

TEST(SelmLoop, InvariantSignsAndOrders) {
  const auto figures = run_experiment("selm_loop", 8);
  const Figure &regret = figure(figures, "selm_loop_regret"),
               &rare = figure(figures, "selm_loop_rare");
  const double most = parameters(regret, "regret").back();
  expect_above(regret.y("regret", most), regret.y("regret", 0), "exploration costs");
  expect_close(regret.y("regret", 0.001), regret.y("regret", 0), 0.02, "the smallest alpha");
  expect_above(rare.y("rare arm is better", 0), rare.y("rare arm is better", most),
               "finds a rare good arm");
  expect_above(rare.y("rare arm is worse", most), rare.y("rare arm is worse", 0),
               "gets stuck on a rare bad arm");
}

}  // namespace
}  // namespace pref::experiments
