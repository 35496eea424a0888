// SPDX-License-Identifier: Apache-2.0
// Losses as their papers write them, in long double and without the care that a product needs at
// extremes; independent of libpref/objectives. Branch 0 is the chosen response, 1 the rejected.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pref::reference {

using Real = long double;
/// Options by name, enums by the number of their value.
using Numbers = std::map<std::string, double>;

struct ObjectiveRow {
  std::vector<Real> logp, ref, n, win, score, marked, unlikely, coupled;
  Real margin = 0;
  int label = 0;
  Real h(size_t k) const { return logp[k] - ref[k]; }
  Real mean(size_t k) const { return logp[k] / n[k]; }
  size_t branches() const { return logp.size(); }
};

inline Real logistic(Real x) { return 1 / (1 + std::exp(-x)); }
/// -log sigma(x)
inline Real softplus(Real x) { return std::log1p(std::exp(-x)); }
inline Real square(Real x) { return x * x; }
inline Real relu(Real x) { return x > 0 ? x : 0; }

using Loss = std::function<Real(const Numbers&, const ObjectiveRow&)>;

/// The loss of one row by the objective's name.
inline const std::map<std::string, Loss>& objective_losses() {
  using O = const Numbers&;
  using R = const ObjectiveRow&;
  static const std::map<std::string, Loss> losses = {
      {"dpo",
       [](O o, R r) {
         const Real u = o.at("beta") * (r.h(0) - r.h(1)) - r.margin, e = o.at("label_smoothing");
         return (1 - e) * softplus(u) + e * softplus(-u);
       }},
      {"sft", [](O, R r) { return -r.logp[0]; }},
      {"robust",
       [](O o, R r) {
         const Real u = o.at("beta") * (r.h(0) - r.h(1)) - r.margin, e = o.at("label_smoothing");
         return ((1 - e) * softplus(u) - e * softplus(-u)) / (1 - 2 * e);
       }},
      {"hinge", [](O o, R r) { return relu(1 - (o.at("beta") * (r.h(0) - r.h(1)) - r.margin)); }},
      {"ipo",
       [](O o, R r) {
         const bool sums = o.at("ipo_normalization") == 1;
         const Real w = sums ? r.h(0) : r.h(0) / r.n[0], l = sums ? r.h(1) : r.h(1) / r.n[1];
         return square(w - l - 1 / (2 * Real(o.at("beta"))));
       }},
      {"exo_pair",
       [](O o, R r) {
         // KL from softmax(beta h) over the two responses to the labels (1-e, e).
         const Real e = o.at("label_smoothing"), b = o.at("beta");
         const Real w = std::exp(b * r.h(0)), l = std::exp(b * r.h(1));
         return w / (w + l) * std::log(w / (w + l) / (1 - e)) +
                l / (w + l) * std::log(l / (w + l) / e);
       }},
      {"nca_pair",
       [](O o, R r) {
         const Real w = o.at("beta") * r.h(0), l = o.at("beta") * r.h(1);
         return -std::log(logistic(w)) - (std::log(logistic(-w)) + std::log(logistic(-l))) / 2;
       }},
      {"bco_pair",
       [](O o, R r) {
         const bool shifted = o.at("reward_shift") == 1;
         return softplus(o.at("beta") * r.h(0) - (shifted ? r.coupled[0] : 0)) +
                softplus(-(o.at("beta") * r.h(1) - (shifted ? r.coupled[1] : 0)));
       }},
      {"sppo_hard",
       [](O o, R r) {
         // Win probabilities 1 and 0 in (h - eta (P - 1/2))^2.
         const Real eta = 1 / Real(o.at("beta"));
         return square(r.h(0) - eta / 2) + square(r.h(1) + eta / 2);
       }},
      {"apo_zero",
       [](O o, R r) {
         return 1 - logistic(o.at("beta") * r.h(0)) + logistic(o.at("beta") * r.h(1));
       }},
      {"apo_down",
       [](O o, R r) {
         const Real b = o.at("beta");
         return logistic(b * r.h(0)) + 1 - logistic(b * (r.h(0) - r.h(1)));
       }},
      {"discopop",
       [](O o, R r) {
         const Real u = o.at("beta") * (r.h(0) - r.h(1)), m = logistic(u / o.at("discopop_tau"));
         return (1 - m) * softplus(u) + m * std::exp(-u);
       }},
      {"sigmoid_norm",
       [](O o, R r) {
         return softplus(o.at("beta") * (r.h(0) / r.n[0] - r.h(1) / r.n[1]) - r.margin);
       }},
      {"r_dpo",
       [](O o, R r) {
         return softplus(o.at("beta") * (r.h(0) - r.h(1)) + o.at("alpha") * (r.n[0] - r.n[1]) -
                         r.margin);
       }},
      {"simpo",
       [](O o, R r) {
         const Real gamma = o.at("beta") * o.at("gamma_beta_ratio"), e = o.at("label_smoothing");
         const Real u = o.at("beta") * (r.mean(0) - r.mean(1)) - gamma - r.margin;
         if (o.at("simpo_loss") == 1) return relu(1 - u);
         return (1 - e) * softplus(u) + e * softplus(-u);
       }},
      {"cpo",
       [](O o, R r) {
         const Real u = o.at("beta") * (r.logp[0] - r.logp[1]) - r.margin;
         const Real e = o.at("label_smoothing");
         return (1 - e) * softplus(u) + e * softplus(-u);
       }},
      {"orpo",
       [](O o, R r) {
         const auto odds = [](Real p) { return p / (1 - p); };
         const Real ratio = odds(std::exp(r.mean(0))) / odds(std::exp(r.mean(1)));
         return -o.at("nll_weight") * r.mean(0) -
                o.at("beta") * std::log(logistic(std::log(ratio)));
       }},
      {"alphapo",
       [](O o, R r) {
         const Real alpha = o.at("alpha"), b = o.at("beta");
         const auto reward = [&](size_t k) {
           const Real p = std::exp(r.mean(k));  // geometric mean of the tokens' probabilities
           return alpha == 0 ? b * std::log(p) : b * (1 - std::pow(p, -alpha)) / alpha;
         };
         return softplus(reward(0) - reward(1) - b * o.at("gamma_beta_ratio") - r.margin);
       }},
      {"slic",
       [](O o, R r) {
         return relu(o.at("delta") - r.logp[0] + r.logp[1]) - o.at("nll_weight") * r.logp[0];
       }},
      {"rrhf",
       [](O o, R r) {
         Real rank = 0;
         for (size_t better = 0; better < r.branches(); ++better)
           for (size_t worse = better + 1; worse < r.branches(); ++worse)
             rank += relu(r.mean(worse) - r.mean(better));
         return rank - o.at("nll_weight") * r.logp[0];
       }},
      {"sppo",
       [](O o, R r) {
         const Real eta = 1 / Real(o.at("beta"));
         return square(r.h(0) - eta * (r.win[0] - 0.5L)) / 2 +
                square(r.h(1) - eta * (r.win[1] - 0.5L)) / 2;
       }},
      {"dno",
       [](O o, R r) {
         // Cross-entropy of the policy's preference against sigma of the expected rewards.
         const Real label = logistic(r.win[0] - r.win[1]);
         const Real policy = logistic(o.at("beta") * r.h(0) - o.at("beta") * r.h(1));
         return -label * std::log(policy) -
                logistic(r.win[1] - r.win[0]) *
                    std::log(logistic(o.at("beta") * (r.h(1) - r.h(0))));
       }},
      {"selm",
       [](O o, R r) {
         return softplus(o.at("beta") * (r.h(0) - r.h(1)) - r.margin) +
                Real(o.at("alpha")) * o.at("beta") * (r.logp[2] - r.ref[2]);
       }},
      {"xpo",
       [](O o, R r) {
         return softplus(o.at("beta") * (r.h(0) - r.h(1)) - r.margin) + o.at("alpha") * r.logp[2];
       }},
      {"pro",
       [](O o, R r) {
         const size_t m = r.branches();
         Real loss = -o.at("nll_weight") * square(Real(m) - 1) * r.logp[0];
         for (size_t k = 0; k + 1 < m; ++k) {
           Real longest = r.score[k] - r.score[k + 1], others = 0;
           for (size_t i = k + 1; i < m; ++i) {
             longest = std::max(longest, r.score[k] - r.score[i]);
             others += std::exp(r.mean(i) * (r.score[k] - r.score[i]));
           }
           const Real head = std::exp(r.mean(k) * longest);
           loss -= std::log(head / (head + others));
         }
         return loss;
       }},
      {"logo",
       [](O o, R r) {
         Real worse = 0;
         for (size_t i = 1; i < r.branches(); ++i) worse += r.mean(i);
         worse /= Real(r.branches() - 1);
         const Real gamma = o.at("beta") * o.at("gamma_beta_ratio");
         return softplus(o.at("beta") * (r.mean(0) - worse) - gamma - r.margin);
       }},
      {"kto",
       [](O o, R r) {  // lambda_y - v(x, y)
         const Real s = o.at("beta") * (r.h(0) - r.coupled[0]);
         return r.label > 0 ? o.at("desirable_weight") * (1 - logistic(s))
                            : o.at("undesirable_weight") * (1 - logistic(-s));
       }},
      {"bco",
       [](O o, R r) {
         const Real u = o.at("beta") * r.h(0) - r.coupled[0];
         return -std::log(logistic(r.label > 0 ? u : -u));
       }},
      {"apo_zero_unpaired",
       [](O o, R r) {
         const Real p = logistic(o.at("beta") * r.h(0));
         return r.label > 0 ? o.at("desirable_weight") * (1 - p) : o.at("undesirable_weight") * p;
       }},
      {"aot",
       [](O o, R r) {
         const Real u = o.at("beta") * (r.logp[0] - r.logp[1] - r.coupled[0]);
         const Real e = o.at("label_smoothing");
         return (1 - e) * softplus(u) + e * softplus(-u);
       }},
      {"aot_unpaired",
       [](O o, R r) {
         const Real e = o.at("label_smoothing"), b = o.at("beta");
         const auto loss = [&](Real u) { return (1 - e) * softplus(u) + e * softplus(-u); };
         return (loss(b * (r.h(0) - r.coupled[0])) + loss(b * (r.coupled[1] - r.h(1)))) / 2;
       }},
      {"t_reg",
       [](O o, R r) {
         const Real u = o.at("beta") * (r.h(0) - r.h(1)) - r.margin;
         return softplus(u) -
                Real(o.at("alpha")) * o.at("beta") * logistic(-u) * (r.marked[0] + r.marked[1]);
       }},
      {"cut",
       [](O o, R r) {  // unflagged likelihood, flagged unlikelihood
         return (-(r.logp[0] - r.marked[0]) - o.at("unlikelihood_weight") * r.unlikely[0]) / r.n[0];
       }},
  };
  return losses;
}

}  // namespace pref::reference
