// SPDX-License-Identifier: Apache-2.0
// IPO. Azar et al. 2023, arXiv:2310.12036, eq. 17; beta is the paper's tau.
//   H    = h_w / n_w - h_l / n_l (ipo_normalization: mean) or h_w - h_l (sum),  h = logp - ref_logp
//   loss = (H - 1 / (2 beta))^2
//   dloss/dlogp_w = 2 (H - 1 / (2 beta)), over n_w for the mean;  dloss/dlogp_l: minus, over n_l
//   reward of a branch: beta h
// The paper writes sums. Its authors told TRL that their results are those of the mean, which TRL
// and libpref take by default; up to 0.28 TRL also logged mean rewards.
#pragma once
#include <array>

#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

enum class IPONormalization { mean, sum };
constexpr std::array<EnumName<IPONormalization>, 2> enum_names(IPONormalization) {
  return {{{IPONormalization::mean, "mean"}, {IPONormalization::sum, "sum"}}};
}

struct IPO {
  static constexpr const char* name = "ipo";
  static constexpr const char* loss_type = "ipo";
  static constexpr Needs needs = Needs::reference;
  static constexpr Accepts accepts = Accepts::weighting | Accepts::divergence | Accepts::length |
                                     Accepts::average | Accepts::divergence_constant;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 0.1;
  IPONormalization ipo_normalization = IPONormalization::mean;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "strength of the pull to the reference (the paper's tau)");
    visit("ipo_normalization", self.ipo_normalization, any(),
          "log-ratios of a response: mean over its tokens, or their sum");
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = log_ratio_rewards(row, T(beta));
    const bool mean = ipo_normalization == IPONormalization::mean;
    const T n_w = mean ? row.chosen().num_tokens : T(1),
            n_l = mean ? row.rejected().num_tokens : T(1);
    const T difference = log_ratio(row.chosen()) / n_w - log_ratio(row.rejected()) / n_l;
    add_pair(out, square_at(T(0.5) / T(beta), difference), T(1) / n_w, T(-1) / n_l);
    return out;
  }
};

}  // namespace pref
