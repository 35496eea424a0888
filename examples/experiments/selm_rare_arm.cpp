// SPDX-License-Identifier: Apache-2.0
// SELM where exploring pays: an arm that the reference almost never plays is the best one. And its
// price: the same arm is the worst one. Reference fixed, data kept.
#include <cmath>

#include "examples/experiments/experiments.h"
#include "examples/experiments/selm_play.h"

namespace pref::experiments {
namespace {

struct Options {
  double reward = 3, path_rarity = 1e-3;
  int64_t many_arms = 5;
  Vector alphas = {0, 0.003, 0.01, 0.03, 0.1, 0.3}, rarities = {1e-2, 1e-3, 1e-4};
  Play play{};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("reward", self.reward, above(0), "of the rare arm, or its negative; the others have 0");
    visit("many_arms", self.many_arms, at_least(2), "arms of the second bandit; the first has 2");
    visit("alphas", self.alphas, at_least(0), "SELM's alpha");
    visit("rarities", self.rarities, between(0, 1), "probability of the rare arm in the reference");
    visit("path_rarity", self.path_rarity, between(0, 1), "of the regret by iteration");
    visit("beta", self.play.beta, above(0), "of DPO");
    visit("iterations", self.play.iterations, at_least(1), "rounds of sampling and training");
    visit("pairs", self.play.pairs, at_least(1), "new pairs an iteration");
    visit("steps", self.play.steps, at_least(1), "gradient steps an iteration");
    visit("rate", self.play.rate, above(0), "size of a gradient step");
  }
};

double mean_of(const Vector& values) { return mean_error(values).mean; }

}  // namespace

std::vector<Figure> selm_rare_arm(const RunSize& size) {
  Options options;
  if (size.brief) {
    options.alphas = {0, 0.01, 0.1, 0.3}, options.rarities = {1e-2, 1e-3};
    options.play.iterations = 30, options.play.steps = 200;
  }
  const std::string config = config_json("selm_rare_arm", options, size);
  Figure found = by_alpha("selm_rare_found", "Rare best arm: when it is first compared",
                          "iteration (never: one past the last)", config),
         gain = by_alpha("selm_rare_better", "Rare arm is the best: regret under the KL price",
                         "J* - J, mean over iterations", config),
         price = by_alpha("selm_rare_worse", "Rare arm is the worst: regret under the KL price",
                          "J* - J, mean over iterations", config),
         path{.name = "selm_rare_path",
              .title =
                  "Rare best arm (" + json_value(options.path_rarity) + "): regret by iteration",
              .parameter = "iteration",
              .x_label = "iteration",
              .y_label = "J* - J",
              .config = config},
         trade{.name = "selm_rare_trade",
               .title = "What exploring costs and brings, by alpha",
               .parameter = "alpha",
               .x_label = "J* - J where the rare arm is worse (cost)",
               .y_label = "J* - J where it is better",
               .config = config};
  for (const double alpha : options.alphas) {
    for (const double rarity : options.rarities)
      for (const int64_t arms : {int64_t{2}, options.many_arms}) {
        if (arms != 2 && rarity != options.path_rarity) continue;
        const std::string curve = "rarity " + json_value(rarity) +
                                  (arms == 2 ? "" : " of " + std::to_string(arms) + " arms");
        Vector ref(static_cast<size_t>(arms),
                   std::log((1 - rarity) / static_cast<double>(arms - 1)));
        ref.back() = std::log(rarity);
        for (const double sign : {1.0, -1.0})
          for (int seed = 0; seed < size.seeds; ++seed) {
            RandomStream random(static_cast<uint64_t>(seed), "selm-rare-arm");
            Vector reward(ref.size());
            reward.back() = sign * options.reward;
            Play how = options.play;
            how.alpha = alpha;
            const Played played = play(how, ref, reward, static_cast<int>(arms) - 1, random);
            const double cost = mean_of(played.cost);
            add_by_alpha(sign > 0 ? gain : price, curve, alpha, cost);
            Point& both = trade.point(curve, alpha);
            (sign > 0 ? both.y : both.x).push_back(cost);
            if (sign < 0) continue;
            add_by_alpha(found, curve, alpha, played.found);
            if (arms == 2 && rarity == options.path_rarity)
              for (size_t t = 0; t < played.cost.size(); ++t)
                path.point("alpha " + json_value(alpha), static_cast<double>(t + 1))
                    .y.push_back(played.cost[t]);
          }
      }
  }
  return {found, gain, price, path, trade};
}

}  // namespace pref::experiments
