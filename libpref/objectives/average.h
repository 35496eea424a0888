// SPDX-License-Identifier: Apache-2.0
// Means for sums: a modifier that divides every log-prob by its completion's length before anything
// else looks at it, so that losses and rewards are those of means over tokens. TRL up to 0.28 does
// so for all losses of a list that has ipo in it; as a reading of a loss it is its own objective.
//   logp' = logp / n,  ref_logp' = ref_logp / n,  n' = 1;   a slope by logp: that by logp', over n
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/row.h"

namespace pref {

struct Averaging {
  static constexpr const char* name = "mean";

  bool average_log_prob = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("average_log_prob", self.average_log_prob, any(),
          "log-probs are means over the completion's tokens instead of sums");
  }

  /// Divides and returns the slope of the means by the sums.
  template <class T>
  PREF_HD T apply(Sequence<T>& s) const {
    const T slope = T(1) / s.num_tokens;
    s.logp *= slope;
    s.ref_logp *= slope;
    s.num_tokens = T(1);
    return slope;
  }
};

}  // namespace pref
