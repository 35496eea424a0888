// SPDX-License-Identifier: Apache-2.0
// f-divergences: a modifier that replaces the log-ratio h by phi(h) in losses of the difference of
// two log-ratios. Wang et al. 2023 (f-DPO), arXiv:2309.16240; phi(h) = f'(e^h) up to a constant,
// here with phi(0) = 0.
//   reverse_kl        h                          slope 1: no change
//   forward_kl        1 - e^-h                   e^-h
//   js_divergence     log 2 + log sigma(h)       sigma(-h)
//   alpha_divergence  (e^((a-1) h) - 1) / (a-1)  e^((a-1) h),   a = f_alpha_divergence_coef
// TRL from 0.29 drops the constants (f_divergence_constant: dropped): the same in a plain
// difference. Where lengths divide the log-ratios first (ipo as mean, sigmoid_norm) that leaves
// (1/n_l - 1/n_w) times the constant in the logit at the start, which phi(0) = 0 avoids. Losses
// that are no difference take phi in TRL's form alone: no paper says what phi(0) should be there.
// Exponents count as 80 above 80, as TRL's for alpha.
#pragma once
#include <array>
#include <cmath>

#include "libpref/base/options.h"
#include "libpref/objectives/logistic.h"

namespace pref {

enum class FDivergence { reverse_kl, forward_kl, js_divergence, alpha_divergence };
constexpr std::array<EnumName<FDivergence>, 4> enum_names(FDivergence) {
  return {{{FDivergence::reverse_kl, "reverse_kl"},
           {FDivergence::forward_kl, "forward_kl"},
           {FDivergence::js_divergence, "js_divergence"},
           {FDivergence::alpha_divergence, "alpha_divergence"}}};
}

enum class DivergenceConstant { zero_at_start, dropped };
constexpr std::array<EnumName<DivergenceConstant>, 2> enum_names(DivergenceConstant) {
  return {{{DivergenceConstant::zero_at_start, "zero_at_start"},
           {DivergenceConstant::dropped, "dropped"}}};
}

enum class DivergenceReward { divergence, log_ratio };
constexpr std::array<EnumName<DivergenceReward>, 2> enum_names(DivergenceReward) {
  return {
      {{DivergenceReward::divergence, "divergence"}, {DivergenceReward::log_ratio, "log_ratio"}}};
}

struct Divergence {
  static constexpr const char* name = "f_divergence";

  FDivergence f_divergence_type = FDivergence::reverse_kl;
  double f_alpha_divergence_coef = 0.5;
  DivergenceConstant f_divergence_constant = DivergenceConstant::zero_at_start;
  DivergenceReward f_divergence_reward = DivergenceReward::divergence;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("f_divergence_type", self.f_divergence_type, any(),
          "divergence that holds the policy to the reference");
    visit("f_alpha_divergence_coef", self.f_alpha_divergence_coef, any(),
          "alpha of alpha_divergence; 1 is reverse_kl");
    visit("f_divergence_constant", self.f_divergence_constant, any(),
          "zero_at_start: phi(0) = 0; dropped: phi without its constant, as TRL from 0.29");
    visit("f_divergence_reward", self.f_divergence_reward, any(),
          "rewards shown are beta phi(h), or beta h as TRL shows them");
  }

  /// The option that has been set although the others leave it without effect, or null.
  const char* without_effect() const {
    if (f_divergence_type != FDivergence::alpha_divergence &&
        f_alpha_divergence_coef != Divergence{}.f_alpha_divergence_coef)
      return "f_alpha_divergence_coef";
    if (f_divergence_type != FDivergence::reverse_kl) return nullptr;
    if (drops_constant()) return "f_divergence_constant";
    return f_divergence_reward == DivergenceReward::log_ratio ? "f_divergence_reward" : nullptr;
  }

  bool drops_constant() const { return f_divergence_constant == DivergenceConstant::dropped; }

  /// phi(h) and its slope.
  template <class T>
  PREF_HD ValueSlope<T> operator()(T h) const {
    if (f_divergence_type == FDivergence::reverse_kl) return {h, T(1)};
    const bool dropped = f_divergence_constant == DivergenceConstant::dropped;
    if (f_divergence_type == FDivergence::js_divergence)
      return {(dropped ? T(0) : T(0.69314718055994531)) - neg_log_sigmoid(h), sigmoid(-h)};
    // forward_kl is the alpha-divergence of a = 0.
    return power(
        h, f_divergence_type == FDivergence::forward_kl ? T(-1) : T(f_alpha_divergence_coef - 1),
        dropped);
  }

 private:
  /// (e^(c h) - 1) / c, or e^(c h) / c, which has no limit: from |c| = 1e-6 on it is h, as TRL's.
  template <class T>
  PREF_HD static ValueSlope<T> power(T h, T c, bool dropped) {
    using std::abs;
    using std::exp;
    using std::expm1;
    if (dropped ? abs(c) < T(1e-6) : c == T(0)) return {h, T(1)};
    const bool capped = c * h > T(80);
    const T x = capped ? T(80) : c * h;
    return {(dropped ? exp(x) : expm1(x)) / c, capped ? T(0) : exp(x)};
  }
};

}  // namespace pref
