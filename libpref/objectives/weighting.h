// SPDX-License-Identifier: Apache-2.0
// WPO's weight: a modifier that multiplies the pair losses of an objective. Zhou et al. 2024,
// arXiv:2406.11827, eq. 1 and 2. No gradient passes through it.
//   log w(y) = mean over tokens of (log p(y_t) - A_t),   from the present policy
//   A_t      = log sum_v p_v^2 (alignment: sampled), log max_v p_v (greedy), 0 (none)
//   W        = min(1, w(y_w) w(y_l)) (clamp: product),   w(y_w) w(y_l) (clamp: none)
// The clamp is the authors' code's, on the product; the paper and TRL from 0.29 have none. The
// exponent counts as 80 above 80, which no vocabulary reaches.
#pragma once
#include <array>
#include <cmath>

#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

enum class Alignment { sampled, greedy, none };
constexpr std::array<EnumName<Alignment>, 3> enum_names(Alignment) {
  return {
      {{Alignment::sampled, "sampled"}, {Alignment::greedy, "greedy"}, {Alignment::none, "none"}}};
}

enum class WeightClamp { product, none };
constexpr std::array<EnumName<WeightClamp>, 2> enum_names(WeightClamp) {
  return {{{WeightClamp::product, "product"}, {WeightClamp::none, "none"}}};
}

enum class WeightSide { both, chosen, rejected };
constexpr std::array<EnumName<WeightSide>, 3> enum_names(WeightSide) {
  return {{{WeightSide::both, "both"},
           {WeightSide::chosen, "chosen"},
           {WeightSide::rejected, "rejected"}}};
}

struct Weighting {
  static constexpr const char* name = "wpo";

  Alignment alignment = Alignment::sampled;
  WeightClamp clamp = WeightClamp::product;
  WeightSide weight_side = WeightSide::both;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("alignment", self.alignment, any(),
          "what a token's log-prob is measured against: a sampled token, the greedy one, nothing");
    visit("clamp", self.clamp, any(), "product: a pair's weight is at most 1");
    visit("weight_side", self.weight_side, any(), "responses whose weight counts");
  }

  constexpr Needs needs() const {
    return alignment == Alignment::sampled  ? Needs::collision
           : alignment == Alignment::greedy ? Needs::max_logp
                                            : Needs::nothing;
  }

  /// log w of one response, nats.
  template <class T>
  PREF_HD T log_weight(const Sequence<T>& s) const {
    return mean_logp(s) - (alignment == Alignment::sampled  ? s.collision
                           : alignment == Alignment::greedy ? s.max_logp
                                                            : T(0));
  }

  /// W of a pair.
  template <class T>
  PREF_HD T operator()(const Row<T>& row) const {
    using std::exp;
    const T log_product = (weight_side == WeightSide::rejected ? T(0) : log_weight(row.chosen())) +
                          (weight_side == WeightSide::chosen ? T(0) : log_weight(row.rejected()));
    const T most = clamp == WeightClamp::product ? T(0) : T(80);
    return exp(log_product < most ? log_product : most);
  }
};

}  // namespace pref
