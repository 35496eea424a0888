// SPDX-License-Identifier: Apache-2.0
// Losses as their papers write them, in long double and without any of the care that a product needs
// at extremes; independent of libpref/objectives. Branch 0 is the chosen response, 1 the rejected.
#pragma once
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
  std::vector<Real> logp, ref, n, win, score;
  Real margin = 0;
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
       [](O o, R r) { return softplus(o.at("beta") * r.h(0)) + softplus(-o.at("beta") * r.h(1)); }},
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
  };
  return losses;
}

}  // namespace pref::reference
