// SPDX-License-Identifier: Apache-2.0
// LD-DPO: a modifier that counts the log-probs of a response beyond the shorter one's length m less.
// Liu et al. 2024, arXiv:2409.06411, eq. 9.
//   logp' = sum over t <= m of log p(y_t) + ld_alpha (sum over t > m)
//   a token's slope beyond m: ld_alpha times the others'
// The reference's sums are treated alike (ld_reference: both, TRL from 0.29) or stay whole (policy,
// TRL before).
#pragma once
#include <array>

#include "libpref/base/options.h"
#include "libpref/objectives/pair.h"

namespace pref {

enum class LengthReference { both, policy };
constexpr std::array<EnumName<LengthReference>, 2> enum_names(LengthReference) {
  return {{{LengthReference::both, "both"}, {LengthReference::policy, "policy"}}};
}

struct LengthDesensitization {
  static constexpr const char* name = "ld";

  double ld_alpha = 1;
  LengthReference ld_reference = LengthReference::both;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("ld_alpha", self.ld_alpha, between(0, 1),
          "weight of log-probs beyond the shorter response's length; 1 counts all alike");
    visit("ld_reference", self.ld_reference, any(), "whose sums are so weighted");
  }

  /// The option that has been set although the others leave it without effect, or null.
  const char* without_effect() const { return ld_alpha == 1 ? "ld_alpha" : nullptr; }

  /// The sums with the tail counted less; their slope by `marked` is `tail_slope`.
  template <class T>
  PREF_HD void apply(Sequence<T>& s) const {
    s.logp += T(tail_slope()) * s.marked;
    if (ld_reference == LengthReference::both) s.ref_logp += T(tail_slope()) * s.ref_marked;
  }
  PREF_HD double tail_slope() const { return ld_alpha - 1; }
};

}  // namespace pref
