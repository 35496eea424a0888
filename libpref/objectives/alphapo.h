// SPDX-License-Identifier: Apache-2.0
// AlphaPO: SimPO on a reward whose shape alpha bends. Gupta et al. 2025, arXiv:2501.03884.
//   a    = logp / n,   R(a) = (1 - e^(-alpha a)) / alpha,   R(a) = a for alpha = 0 (SimPO)
//   u    = beta (R(a_w) - R(a_l) - gamma_beta_ratio) - margin
//   loss = -log sigma(u)
//   dloss/dlogp_w = -(beta / n_w) e^(-alpha a_w) sigma(-u), and so on
//   reward of a branch: beta R(a)
// As TRL's "alphapo", whose alpha is 0 by default. The exponent counts as 80 above 80.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct AlphaPO {
  static constexpr const char* name = "alphapo";
  static constexpr const char* loss_type = "alphapo";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 2.0;
  double gamma_beta_ratio = 0.25;
  double alpha = 0.25;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("gamma_beta_ratio", self.gamma_beta_ratio, at_least(0), "target margin over beta");
    visit("alpha", self.alpha, any(), "shape of the reward: 0 is SimPO, positive bends it down");
  }

  template <class T>
  PREF_HD ValueSlope<T> shaped(T a) const {
    using std::exp;
    using std::expm1;
    if (alpha == 0) return {a, T(1)};
    const T x = -T(alpha) * a;
    return x > T(80) ? ValueSlope<T>{-expm1(T(80)) / T(alpha), T(0)}
                     : ValueSlope<T>{-expm1(x) / T(alpha), exp(x)};
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    for (int k = 0; k < row.branches; ++k)
      out.reward[k] = T(beta) * shaped(mean_logp(row.branch[k])).value;
    const T u = out.reward[0] - out.reward[1] - T(beta) * T(gamma_beta_ratio) - row.margin;
    add_pair(out, smoothed_logistic(u, T(0)),
             T(beta) * shaped(mean_logp(row.chosen())).slope / row.chosen().num_tokens,
             -T(beta) * shaped(mean_logp(row.rejected())).slope / row.rejected().num_tokens);
    return out;
  }
};

}  // namespace pref
