// SPDX-License-Identifier: Apache-2.0
#include "examples/experiments/selm_play.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace pref::experiments {
namespace {

// The best and the worst of three by their true rewards; equal ones take the first, so that an
// all-tie row compares a response with itself, as in the authors' code.
Choice best_and_worst(const std::array<int, 3>& three, const Vector& reward) {
  const auto less = [&](int a, int b) {
    return reward[static_cast<size_t>(a)] < reward[static_cast<size_t>(b)];
  };
  const int best = *std::max_element(three.begin(), three.end(), less),
            worst = *std::min_element(three.begin(), three.end(), less);
  return {.arm = {best, worst}};
}

}  // namespace

Played play(const Play& how, const Vector& ref_logp, const Vector& reward, int watched,
            RandomStream& random) {
  const Objective objective =
      objective_of("selm", {option("beta", how.beta), option("alpha", how.alpha)});
  const double best = largest(reward);
  const Vector ideal = tilted(ref_logp, reward, how.beta);
  const double ideal_value = expected(ideal, reward) - how.beta * kl(ideal, ref_logp);

  Arms arms{.ref_logp = ref_logp};
  Vector logits = ref_logp;
  std::vector<Choice> rows;
  std::set<int> compared;
  Played out{.found = static_cast<double>(how.iterations + 1)};
  for (int64_t t = 1; t <= how.iterations; ++t) {
    Vector logp = log_softmax(logits);
    if (how.follow) arms.ref_logp = logp, rows.clear();
    const int greedy = argmax(logp);
    for (int64_t i = 0; i < how.pairs; ++i) {
      const int a = sample(logp, random), b = sample(arms.ref_logp, random);
      Choice row =
          how.follow ? best_and_worst({greedy, a, b}, reward) : labelled_pair(a, b, reward, random);
      if (row.arm[0] != row.arm[1]) {
        compared.insert({row.arm[0], row.arm[1]});
        if (row.arm[0] == watched || row.arm[1] == watched)
          out.found = std::min(out.found, static_cast<double>(t));
      }
      row.arm[2] = greedy, row.branches = 3;
      rows.push_back(row);
    }
    rows = tally(rows);
    descend(objective, arms, rows, how.descent, how.rate, how.steps, logits);
    logp = log_softmax(logits);
    const double value = expected(logp, reward);
    out.kl = kl(logp, ref_logp);
    out.cost.push_back(ideal_value - (value - how.beta * out.kl));
    out.regret.push_back(best - value);
  }
  out.compared = static_cast<double>(compared.size());
  return out;
}

Figure by_alpha(const char* name, const char* title, const char* y_label,
                const std::string& config) {
  return {.name = name,
          .title = title,
          .parameter = "alpha",
          .x_label = "log10 of alpha (alpha 0 drawn at -4)",
          .y_label = y_label,
          .config = config};
}

void add_by_alpha(Figure& figure, const std::string& curve, double alpha, double y) {
  Point& point = figure.point(curve, alpha);
  point.x.push_back(alpha == 0 ? -4 : std::log10(alpha)), point.y.push_back(y);
}

}  // namespace pref::experiments
