// SPDX-License-Identifier: Apache-2.0
// Loops that train on their own samples, in exact expectation. SPIN towards a known target: with
// the optimum of each iteration the log-ratio to the target shrinks by |1 - 1/beta|. SPPO and DNO
// on a game without a best action, where the average iterate cannot be exploited.
#include <algorithm>
#include <cmath>

#include "examples/experiments/experiments.h"
#include "examples/experiments/tools.h"

namespace pref::experiments {
namespace {

struct Options {
  int64_t responses = 10, spin_iterations = 10, actions = 20, game_iterations = 60;
  double spin_beta = 2, eta = 2;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("responses", self.responses, at_least(2), "SPIN: responses of target and policy");
    visit("spin_iterations", self.spin_iterations, at_least(1), "SPIN: iterations");
    visit("spin_beta", self.spin_beta, above(0.5), "SPIN: beta; at 1/2 and below it diverges");
    visit("actions", self.actions, at_least(2), "of the game");
    visit("game_iterations", self.game_iterations, at_least(1), "of SPPO and DNO");
    visit("eta", self.eta, above(0), "1 / beta of SPPO and DNO");
  }
};

Vector trained(const Objective& objective, const Arms& arms, const std::vector<Choice>& rows) {
  return log_softmax(stationary_point(
      [&](const Vector& x) { return arms_loss(objective, arms, rows, x).gradient; },
      arms.ref_logp));
}

// Every pair, the first drawn from `first`, the second from `second`.
std::vector<Choice> drawn_pairs(const Vector& first, const Vector& second) {
  std::vector<Choice> rows;
  for (size_t i = 0; i < first.size(); ++i)
    for (size_t j = 0; j < second.size(); ++j)
      rows.push_back({.arm = {static_cast<int>(i), static_cast<int>(j)},
                      .weight = std::exp(first[i] + second[j])});
  return rows;
}

// Every pair of the policy's own samples once: these losses do not care which comes first.
std::vector<Choice> own_pairs(const Vector& logp) {
  std::vector<Choice> rows = drawn_pairs(logp, logp);
  std::erase_if(rows, [](const Choice& row) { return row.arm[0] > row.arm[1]; });
  for (Choice& row : rows)
    if (row.arm[0] == row.arm[1]) row.weight /= 2;
  return rows;
}

double distance(const Vector& logp, const Vector& target) {
  double sum = 0;
  for (size_t i = 0; i < logp.size(); ++i) sum += std::abs(std::exp(logp[i]) - std::exp(target[i]));
  return sum;
}

// How often each action beats one drawn from the policy.
Vector win_rates(const std::vector<Vector>& wins, const Vector& logp) {
  Vector out;
  for (const Vector& row : wins) out.push_back(expected(logp, row));
  return out;
}

}  // namespace

std::vector<Figure> loops(const RunSize& size) {
  Options options;
  if (size.brief) options.game_iterations = 40, options.actions = 8;
  const std::string config = config_json("loops", options, size);
  Figure spin{.name = "loops_spin",
              .title = "SPIN: distance to the target, beta " + json_value(options.spin_beta),
              .parameter = "iteration",
              .x_label = "iteration",
              .y_label = "sum of |pi - target|",
              .config = config},
      game{.name = "loops_game",
           .title = "A game without a best action: how far a policy can be exploited",
           .parameter = "iteration",
           .x_label = "iteration",
           .y_label = "best win rate against it - 1/2",
           .config = config};
  for (int seed = 0; seed < size.seeds; ++seed) {
    RandomStream random(static_cast<uint64_t>(seed), "loops");
    const Vector target = log_softmax(normals(options.responses, 1, random)),
                 start = log_softmax(normals(options.responses, 1, random));
    Arms arms{.ref_logp = start};
    const Objective dpo = objective_of("dpo", {option("beta", options.spin_beta)});
    for (int64_t t = 0; t <= options.spin_iterations; ++t) {
      const auto at = static_cast<double>(t);
      spin.point("spin", at).y.push_back(distance(arms.ref_logp, target));
      // log pi_t = log target + (1 - 1/beta)^t (log pi_0 - log target) + const
      Vector known = target;
      const double kept = std::pow(1 - 1 / options.spin_beta, at);
      for (size_t i = 0; i < known.size(); ++i) known[i] += kept * (start[i] - target[i]);
      spin.point("analytic", at).y.push_back(distance(log_softmax(known), target));
      arms.ref_logp = trained(dpo, arms, drawn_pairs(target, arms.ref_logp));
    }

    std::vector<Vector> wins(static_cast<size_t>(options.actions),
                             Vector(static_cast<size_t>(options.actions), 0.5));
    for (size_t i = 0; i < wins.size(); ++i)
      for (size_t j = 0; j < i; ++j) {
        wins[i][j] = 1 / (1 + std::exp(-random.normal()));
        wins[j][i] = 1 - wins[i][j];
      }
    for (const char* loss : {"sppo", "dno"}) {
      const Objective objective = objective_of(loss, {option("beta", 1 / options.eta)});
      Arms play{.ref_logp = Vector(wins.size(), -std::log(static_cast<double>(wins.size())))};
      // Away from the even strategy, so that there is a way to go.
      for (double& l : play.ref_logp) l += random.normal();
      play.ref_logp = log_softmax(play.ref_logp);
      Vector sum(wins.size());
      for (int64_t t = 1; t <= options.game_iterations; ++t) {
        play.win_probability = win_rates(wins, play.ref_logp);
        Vector average(wins.size());
        for (size_t i = 0; i < sum.size(); ++i) {
          sum[i] += std::exp(play.ref_logp[i]);
          average[i] = std::log(sum[i] / static_cast<double>(t));
        }
        if (t == 1 || t % 5 == 0) {
          const auto at = static_cast<double>(t);
          const std::string name = loss;
          game.point(name + " average", at).y.push_back(largest(win_rates(wins, average)) - 0.5);
          game.point(name + " last", at).y.push_back(largest(play.win_probability) - 0.5);
        }
        play.ref_logp = trained(objective, play, own_pairs(play.ref_logp));
      }
    }
  }
  return {spin, game};
}

}  // namespace pref::experiments
