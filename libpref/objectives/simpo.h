// SPDX-License-Identifier: Apache-2.0
// SimPO. Meng et al. 2024, arXiv:2405.14734, eq. 6; gamma = beta * gamma_beta_ratio. No reference.
//   u    = beta (logp_w / n_w - logp_l / n_l - gamma_beta_ratio) - margin
//   loss = -(1-e) log sigma(u) - e log sigma(-u)  (simpo_loss: sigmoid),  max(0, 1 - u)  (hinge)
//   dloss/dlogp_w = (beta / n_w) f'(u),   dloss/dlogp_l = -(beta / n_l) f'(u)
//   reward of a branch: beta logp / n
// As the authors' trainer. TRL's CPO trainer spells gamma itself (simpo_gamma) and adds an NLL term
// unless cpo_alpha is 0; here that is a second term, sft.
#pragma once
#include <array>

#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

enum class SimPOLoss { sigmoid, hinge };
constexpr std::array<EnumName<SimPOLoss>, 2> enum_names(SimPOLoss) {
  return {{{SimPOLoss::sigmoid, "sigmoid"}, {SimPOLoss::hinge, "hinge"}}};
}

struct SimPO {
  static constexpr const char* name = "simpo";
  static constexpr const char* loss_type = "simpo";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::margin | Accepts::weighting;
  static constexpr Normalizer normalizer = Normalizer::rows;
  static constexpr int min_branches = 2;

  double beta = 2.0;
  double gamma_beta_ratio = 0.25;
  double label_smoothing = 0;
  SimPOLoss simpo_loss = SimPOLoss::sigmoid;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("beta", self.beta, above(0), "inverse temperature of the implicit reward");
    visit("gamma_beta_ratio", self.gamma_beta_ratio, at_least(0),
          "target margin over beta, nats per token");
    visit("label_smoothing", self.label_smoothing, half_open(0, 0.5),
          "probability that a label is flipped");
    visit("simpo_loss", self.simpo_loss, any(), "function of the logit");
  }

  /// The option that has been set although the others leave it without effect, or null.
  const char* without_effect() const {
    return simpo_loss == SimPOLoss::hinge && label_smoothing != 0 ? "label_smoothing" : nullptr;
  }

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out = mean_logp_rewards(row, T(beta));
    const T u = out.reward[0] - out.reward[1] - T(beta) * T(gamma_beta_ratio) - row.margin;
    const auto f = simpo_loss == SimPOLoss::hinge ? hinge_at(T(1), u)
                                                  : smoothed_logistic(u, T(label_smoothing));
    add_pair(out, f, T(beta) / row.chosen().num_tokens, -T(beta) / row.rejected().num_tokens);
    return out;
  }
};

}  // namespace pref
