// SPDX-License-Identifier: Apache-2.0
// SELM where exploring does not pay: fifty arms, all played by the reference now and then. Under
// gradient descent and under Adam, whose step does not shrink with the gradient of an arm that no
// pair has shown.
#include "examples/experiments/experiments.h"
#include "examples/experiments/selm_play.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t arms = 50;
  double reference_spread = 1.75, adam_rate = 0.05;
  Vector alphas = {0, 0.01, 0.03, 0.1, 0.3};
  Play play{.iterations = 30, .pairs = 8, .steps = 100};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("arms", self.arms, at_least(2), "responses, rewards N(0, 1)");
    visit("reference_spread", self.reference_spread, at_least(0),
          "standard deviation of the reference's logits");
    visit("alphas", self.alphas, at_least(0), "SELM's alpha");
    visit("adam_rate", self.adam_rate, above(0), "Adam's learning rate");
    visit("beta", self.play.beta, above(0), "of DPO");
    visit("iterations", self.play.iterations, at_least(1), "rounds of sampling and training");
    visit("pairs", self.play.pairs, at_least(1), "new pairs an iteration");
    visit("steps", self.play.steps, at_least(1), "steps an iteration");
    visit("rate", self.play.rate, above(0), "size of a plain gradient step");
  }
};

}  // namespace

std::vector<Figure> selm_dense(const RunSize& size) {
  Options options;
  if (size.brief) options.alphas = {0, 0.1, 0.3}, options.play.iterations = 15;
  const std::string config = config_json("selm_dense", options, size);
  Figure cost = by_alpha("selm_dense_cost", "Fifty common arms: regret under the KL price",
                         "J* - J, last iteration", config),
         regret = by_alpha("selm_dense_regret", "Fifty common arms: raw regret",
                           "best reward - expected reward, last iteration", config),
         compared = by_alpha("selm_dense_compared", "Fifty common arms: how many are ever compared",
                             "arms compared", config),
         distance =
             by_alpha("selm_dense_kl", "Fifty common arms: KL to the reference", "nats", config);
  for (const Descent descent : {Descent::gradient, Descent::adam})
    for (const double alpha : options.alphas)
      for (int seed = 0; seed < size.seeds; ++seed) {
        RandomStream random(static_cast<uint64_t>(seed), "selm-dense");
        const Vector reward = normals(options.arms, 1, random),
                     ref = log_softmax(normals(options.arms, options.reference_spread, random));
        Play how = options.play;
        how.alpha = alpha, how.descent = descent;
        if (descent == Descent::adam) how.rate = options.adam_rate;
        const Played played = play(how, ref, reward, argmax(reward), random);
        const std::string curve = descent == Descent::adam ? "Adam" : "gradient descent";
        add_by_alpha(cost, curve, alpha, played.cost.back());
        add_by_alpha(regret, curve, alpha, played.regret.back());
        add_by_alpha(compared, curve, alpha, played.compared);
        add_by_alpha(distance, curve, alpha, played.kl);
      }
  return {cost, regret, compared, distance};
}

}  // namespace pref::experiments
