// SPDX-License-Identifier: Apache-2.0
// f-divergences: a modifier that replaces the log-ratio h by phi(h) in losses of the difference of
// two log-ratios. Wang et al. 2023 (f-DPO), arXiv:2309.16240; phi(h) = f'(e^h) up to a constant,
// here with phi(0) = 0.
//   reverse_kl        h                          slope 1: no change
//   forward_kl        1 - e^-h                   e^-h
//   js_divergence     log 2 + log sigma(h)       sigma(-h)
//   alpha_divergence  (e^((a-1) h) - 1) / (a-1)  e^((a-1) h),   a = f_alpha_divergence_coef
// TRL from 0.29 drops the constants: the same in a plain difference. Where lengths divide the
// log-ratios first (ipo as mean, sigmoid_norm) they leave (1/n_l - 1/n_w) times the constant in
// TRL's logit at the start, which phi(0) = 0 avoids; losses that are no difference refuse.
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

struct Divergence {
  static constexpr const char* name = "f_divergence";

  FDivergence f_divergence_type = FDivergence::reverse_kl;
  double f_alpha_divergence_coef = 0.5;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("f_divergence_type", self.f_divergence_type, any(),
          "divergence that holds the policy to the reference");
    visit("f_alpha_divergence_coef", self.f_alpha_divergence_coef, any(),
          "alpha of alpha_divergence; 1 is reverse_kl");
  }

  /// The option that has been set although the others leave it without effect, or null.
  const char* without_effect() const {
    return f_divergence_type != FDivergence::alpha_divergence &&
                   f_alpha_divergence_coef != Divergence{}.f_alpha_divergence_coef
               ? "f_alpha_divergence_coef"
               : nullptr;
  }

  /// phi(h) and its slope.
  template <class T>
  PREF_HD ValueSlope<T> operator()(T h) const {
    if (f_divergence_type == FDivergence::reverse_kl) return {h, T(1)};
    if (f_divergence_type == FDivergence::js_divergence)
      return {T(0.69314718055994531) - neg_log_sigmoid(h), sigmoid(-h)};
    // forward_kl is the alpha-divergence of a = 0.
    return power(
        h, f_divergence_type == FDivergence::forward_kl ? T(-1) : T(f_alpha_divergence_coef - 1));
  }

 private:
  /// (e^(c h) - 1) / c
  template <class T>
  PREF_HD static ValueSlope<T> power(T h, T c) {
    using std::exp;
    using std::expm1;
    if (c == T(0)) return {h, T(1)};
    const T x = c * h;
    return x > T(80) ? ValueSlope<T>{expm1(T(80)) / c, T(0)} : ValueSlope<T>{expm1(x) / c, exp(x)};
  }
};

}  // namespace pref
