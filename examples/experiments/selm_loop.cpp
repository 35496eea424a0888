// SPDX-License-Identifier: Apache-2.0
// SELM as practised: the reference is the last iterate, old data are dropped, a pair is the best and
// the worst of three. On many prompts of fifty arms each, and on the bandit with one rare arm.
#include <cmath>

#include "examples/experiments/experiments.h"
#include "examples/experiments/selm_play.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t arms = 50, prompts = 40;
  double reference_spread = 1.75, rarity = 1e-2, rare_reward = 3;
  Vector alphas = {0, 0.001, 0.01, 0.1, 0.3};
  Play play{.iterations = 10, .pairs = 1, .steps = 20, .rate = 5, .follow = true};
  int64_t rare_iterations = 10, rare_pairs = 4, rare_steps = 400;
  double rare_rate = 20;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("arms", self.arms, at_least(2), "responses to a prompt, rewards N(0, 1)");
    visit("prompts", self.prompts, at_least(1), "independent bandits, one pair each an iteration");
    visit("reference_spread", self.reference_spread, at_least(0),
          "standard deviation of the first reference's logits");
    visit("alphas", self.alphas, at_least(0), "SELM's alpha");
    visit("beta", self.play.beta, above(0), "of DPO");
    visit("iterations", self.play.iterations, at_least(1), "rounds of sampling and training");
    visit("steps", self.play.steps, at_least(1), "gradient steps an iteration");
    visit("rate", self.play.rate, above(0), "size of a gradient step");
    visit("rarity", self.rarity, between(0, 1), "first probability of the rare arm");
    visit("rare_reward", self.rare_reward, above(0), "of the rare arm, or its negative");
    visit("rare_iterations", self.rare_iterations, at_least(1), "rounds on the rare arm");
    visit("rare_pairs", self.rare_pairs, at_least(1), "pairs an iteration on the rare arm");
    visit("rare_steps", self.rare_steps, at_least(1), "steps an iteration on the rare arm");
    visit("rare_rate", self.rare_rate, above(0), "size of a step on the rare arm");
  }
};

}  // namespace

std::vector<Figure> selm_loop(const RunSize& size) {
  Options options;
  if (size.brief) options.alphas = {0, 0.001, 0.1, 0.3};
  const std::string config = config_json("selm_loop", options, size);
  const char* label = "best reward - expected reward, last iteration";
  Figure regret = by_alpha("selm_loop_regret", "The loop as practised: 40 prompts of 50 arms",
                           label, config),
         rare = by_alpha("selm_loop_rare", "The loop as practised: one rare arm", label, config);
  for (const double alpha : options.alphas)
    for (int seed = 0; seed < size.seeds; ++seed) {
      RandomStream random(static_cast<uint64_t>(seed), "selm-loop");
      Play how = options.play;
      how.alpha = alpha;
      double sum = 0;
      for (int64_t prompt = 0; prompt < options.prompts; ++prompt) {
        const Vector reward = normals(options.arms, 1, random),
                     ref = log_softmax(normals(options.arms, options.reference_spread, random));
        RandomStream own(static_cast<uint64_t>(seed), "selm-loop-prompt",
                         static_cast<uint64_t>(prompt));
        sum += play(how, ref, reward, argmax(reward), own).regret.back();
      }
      add_by_alpha(regret, "regret", alpha, sum / static_cast<double>(options.prompts));
      how.iterations = options.rare_iterations, how.pairs = options.rare_pairs;
      how.steps = options.rare_steps, how.rate = options.rare_rate;
      const Vector ref = {std::log1p(-options.rarity), std::log(options.rarity)};
      for (const double sign : {1.0, -1.0}) {
        RandomStream own(static_cast<uint64_t>(seed), "selm-loop-rare");
        add_by_alpha(rare, sign > 0 ? "rare arm is better" : "rare arm is worse", alpha,
                     play(how, ref, {0, sign * options.rare_reward}, 1, own).regret.back());
      }
    }
  return {regret, rare};
}

}  // namespace pref::experiments
