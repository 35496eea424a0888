// SPDX-License-Identifier: Apache-2.0
// EXO for pairs: the reverse KL from the policy's preference to the smoothed label. Ji et al. 2024,
// arXiv:2402.00856, eq. 16.
//   u = beta (h_w - h_l),   h = logp - ref_logp,   q = sigma(u)
//   loss = q log(q / (1-e)) + (1-q) log((1-q) / e);   slope in u: q (1-q) (u - log((1-e) / e))
//   reward of a branch: beta h
// e = 0 has no finite value. The paper's 1e-3 is the default here; TRL's is 0, which 1.9 refuses
// and 0.28 replaced by 1e-3.
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

struct EXOPair {
  static constexpr const char* name = "exo_pair";
  static constexpr const char* loss_type = "exo_pair";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts =
      Accepts::weighting | Accepts::divergence | Accepts::length | Accepts::average;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  double label_smoothing = 1e-3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("label_smoothing", self.label_smoothing,
          Range{.low = 0, .high = 0.5, .low_open = true, .high_open = true},
          "probability that a label is flipped");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    using std::log;
    using std::log1p;
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const T u = out.reward[0] - out.reward[1], e = T(label_smoothing);
    const T q = sigmoid(u), p = sigmoid(-u), log_label = log1p(-e), log_flip = log(e);
    const ValueSlope<T> f{
        q * (-neg_log_sigmoid(u) - log_label) + p * (-neg_log_sigmoid(-u) - log_flip),
        q * p * (u - (log_label - log_flip))};
    add_pair(out, f, T(beta), -T(beta));
    return out;
  }
};

}  // namespace pref
