// SPDX-License-Identifier: Apache-2.0
// Label noise: an oracle that always prefers the larger reward, its labels flipped at a known rate.
// Regret of four losses at one beta, and their whole line of reward against KL at one rate, because
// at equal beta a smoothed loss also stops earlier.
#include <algorithm>

#include "examples/experiments/experiments.h"
#include "examples/experiments/tools.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t arms = 20, pairs = 2000, steps = 400;
  double rate = 0.1, beta = 0.3, line_noise = 0.3;
  Vector noises = {0, 0.1, 0.2, 0.3, 0.4}, betas = {0.03, 0.1, 0.3, 0.6, 1, 3};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("arms", self.arms, at_least(2), "responses");
    visit("pairs", self.pairs, at_least(1), "pairs from the reference");
    visit("steps", self.steps, at_least(1), "full-batch Adam steps");
    visit("rate", self.rate, above(0), "Adam's learning rate");
    visit("beta", self.beta, above(0), "of all losses");
    visit("noises", self.noises, half_open(0, 0.5), "rates at which labels are flipped");
    visit("line_noise", self.line_noise, half_open(0, 0.5), "rate of the reward-KL lines");
    visit("betas", self.betas, above(0), "of the reward-KL lines");
  }
};

Objective loss_named(const std::string& name, double beta, double noise) {
  const Setting strength = option("beta", beta), smoothing = option("label_smoothing", noise);
  if (name == "cdpo") return objective_of("dpo", {strength, smoothing});
  if (name == "robust") return objective_of("robust", {strength, smoothing});
  return objective_of(name, {strength});
}

}  // namespace

std::vector<Figure> label_noise(const RunSize& size) {
  Options options;
  if (size.brief)
    options.steps = 300, options.betas = {0.1, 0.3, 1}, options.noises = {0, 0.2, 0.4},
    options.line_noise = 0.2;
  const std::string config = config_json("label_noise", options, size);
  Figure regret{.name = "label_noise",
                .title = "Regret under flipped labels, beta " + json_value(options.beta),
                .parameter = "noise",
                .x_label = "share of labels flipped",
                .y_label = "regret: best reward - expected reward",
                .config = config},
      distance{.name = "label_noise_kl",
               .title = "How far from the reference each loss goes",
               .parameter = "noise",
               .x_label = "share of labels flipped",
               .y_label = "KL to the reference (nats)",
               .config = config},
      line{.name = "label_noise_line",
           .title = "Reward against KL, " + json_value(options.line_noise) + " of labels flipped",
           .parameter = "beta",
           .x_label = "KL to the reference (nats)",
           .y_label = "expected reward",
           .config = config},
      tuned{.name = "label_noise_tuned",
            .title = "Regret with beta tuned per loss and noise",
            .parameter = "noise",
            .x_label = "share of labels flipped",
            .y_label = "regret of the best beta",
            .config = config};
  for (int seed = 0; seed < size.seeds; ++seed) {
    RandomStream random(static_cast<uint64_t>(seed), "label-noise");
    const Vector reward = normals(options.arms, 1, random);
    const Arms arms{.ref_logp = log_softmax(normals(options.arms, 1, random))};
    const double best = largest(reward);
    for (const double beta : options.betas) {
      const Vector target = tilted(arms.ref_logp, reward, beta);
      Point& point = line.point("analytic", beta);
      point.x.push_back(kl(target, arms.ref_logp)), point.y.push_back(expected(target, reward));
    }
    for (const double noise : options.noises) {
      std::vector<Choice> rows;
      for (int64_t i = 0; i < options.pairs; ++i) {
        int a = sample(arms.ref_logp, random), b = sample(arms.ref_logp, random);
        if (reward[static_cast<size_t>(a)] < reward[static_cast<size_t>(b)]) std::swap(a, b);
        if (random.bernoulli(noise)) std::swap(a, b);
        rows.push_back({.arm = {a, b}});
      }
      rows = tally(rows);
      for (const char* loss : {"dpo", "cdpo", "robust", "hinge"}) {
        double least = best - expected(arms.ref_logp, reward);
        for (const double beta : options.betas) {
          Vector logits = arms.ref_logp;
          descend(loss_named(loss, beta, noise), arms, rows, Descent::adam, options.rate,
                  options.steps, logits);
          const Vector logp = log_softmax(logits);
          const double value = expected(logp, reward), at = kl(logp, arms.ref_logp);
          least = std::min(least, best - value);
          if (beta == options.beta) {
            regret.point(loss, noise).y.push_back(best - value);
            distance.point(loss, noise).y.push_back(at);
          }
          if (noise == options.line_noise) {
            Point& point = line.point(loss, beta);
            point.x.push_back(at), point.y.push_back(value);
          }
        }
        tuned.point(loss, noise).y.push_back(least);
      }
    }
  }
  return {regret, line, tuned, distance};
}

}  // namespace pref::experiments
