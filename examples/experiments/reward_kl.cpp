// SPDX-License-Identifier: Apache-2.0
// Reward against KL: a bandit with known rewards, labels of Bradley and Terry, N pairs from the
// reference or all of them in expectation, one policy per beta. The frontier pi_ref e^{r/beta} is drawn beside it; a policy's gap
// to the frontier at its own KL is what finite data and the loss cost.
#include <cmath>

#include "examples/experiments/experiments.h"
#include "examples/experiments/tools.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t arms = 20, few_pairs = 200, many_pairs = 2000, steps = 400;
  double rate = 0.1, label_smoothing = 0.1, compare_at_kl = 1;
  Vector betas = {0.03, 0.1, 0.3, 0.6, 1, 3};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("arms", self.arms, at_least(2), "responses");
    visit("few_pairs", self.few_pairs, at_least(1), "pairs of the small data set");
    visit("many_pairs", self.many_pairs, at_least(1), "pairs of the large data set");
    visit("steps", self.steps, at_least(1), "full-batch Adam steps");
    visit("rate", self.rate, above(0), "Adam's learning rate");
    visit("label_smoothing", self.label_smoothing, half_open(0, 0.5), "of cDPO");
    visit("compare_at_kl", self.compare_at_kl, above(0), "KL at which losses are compared, nats");
    visit("betas", self.betas, above(0), "one policy each");
  }
};

Objective loss_named(const std::string& name, double beta, const Options& options) {
  if (name == "cdpo")
    return objective_of("dpo",
                        {option("beta", beta), option("label_smoothing", options.label_smoothing)});
  if (name == "ipo")
    return objective_of("ipo", {option("beta", beta), option("ipo_normalization", "sum")});
  return objective_of(name, {option("beta", beta)});
}

// Every ordered pair of responses, as often as the reference draws it and the first one wins.
std::vector<Choice> every_pair(const Vector& ref_logp, const Vector& reward) {
  std::vector<Choice> rows;
  for (size_t i = 0; i < reward.size(); ++i)
    for (size_t j = 0; j < reward.size(); ++j)
      rows.push_back(
          {.arm = {static_cast<int>(i), static_cast<int>(j)},
           .weight = std::exp(ref_logp[i] + ref_logp[j]) / (1 + std::exp(reward[j] - reward[i]))});
  return rows;
}

}  // namespace

std::vector<Figure> reward_kl(const RunSize& size) {
  Options options;
  if (size.brief) options.steps = 200, options.betas = {0.1, 0.3, 1, 3};
  const std::string config = config_json("reward_kl", options, size);
  const auto lines = [&](const std::string& name, int64_t pairs) {
    return Figure{.name = name,
                  .title = "Reward against KL, " +
                           (pairs ? std::to_string(pairs) + " pairs" : "exact expectation"),
                  .parameter = "beta",
                  .x_label = "KL to the reference (nats)",
                  .y_label = "expected reward",
                  .config = config};
  };
  Figure few = lines("reward_kl_few", options.few_pairs),
         many = lines("reward_kl_many", options.many_pairs), exact = lines("reward_kl_exact", 0),
         gap{.name = "reward_kl_gap",
             .title = "Below the frontier, at equal KL",
             .parameter = "pairs",
             .x_label = "pairs (0: exact expectation)",
             .y_label = "reward missing at KL " + json_value(options.compare_at_kl),
             .config = config},
         each{.name = "reward_kl_gap_by_beta",
              .title = "Below the frontier, at the policy's own KL",
              .parameter = "beta",
              .x_label = "beta",
              .y_label = "reward missing",
              .config = config};
  for (int seed = 0; seed < size.seeds; ++seed) {
    RandomStream random(static_cast<uint64_t>(seed), "reward-kl");
    const Vector reward = normals(options.arms, 1, random);
    const Arms arms{.ref_logp = log_softmax(normals(options.arms, 1, random))};
    for (Figure* figure : {&few, &many, &exact}) {
      const int64_t pairs = figure == &few    ? options.few_pairs
                            : figure == &many ? options.many_pairs
                                              : 0;
      std::vector<Choice> rows;
      for (int64_t i = 0; i < pairs; ++i) {
        const int a = sample(arms.ref_logp, random), b = sample(arms.ref_logp, random);
        rows.push_back(labelled_pair(a, b, reward, random));
      }
      if (pairs == 0) rows = every_pair(arms.ref_logp, reward);
      rows = tally(rows);
      for (const char* loss : {"dpo", "cdpo", "hinge", "ipo"}) {
        Vector kls, gaps;
        for (const double beta : options.betas) {
          Vector logits = arms.ref_logp;
          descend(loss_named(loss, beta, options), arms, rows, Descent::adam, options.rate,
                  options.steps, logits);
          const Vector logp = log_softmax(logits);
          const double at = kl(logp, arms.ref_logp), value = expected(logp, reward);
          kls.push_back(at);
          gaps.push_back(frontier(arms.ref_logp, reward, at) - value);
          Point& point = figure->point(loss, beta);
          point.x.push_back(at), point.y.push_back(value);
          each.point(std::string(loss) + ' ' + (pairs ? std::to_string(pairs) : "exact"), beta)
              .y.push_back(gaps.back());
        }
        gap.point(loss, static_cast<double>(pairs))
            .y.push_back(first_at(kls, gaps, options.compare_at_kl));
      }
      for (const double beta : options.betas) {
        const Vector best = tilted(arms.ref_logp, reward, beta);
        Point& point = figure->point("analytic", beta);
        point.x.push_back(kl(best, arms.ref_logp)), point.y.push_back(expected(best, reward));
      }
    }
  }
  return {exact, many, few, gap, each};
}

}  // namespace pref::experiments
