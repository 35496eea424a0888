// SPDX-License-Identifier: Apache-2.0
// Cross-entropy of branch 0: the supervised fine-tuning objective, and the "sft" term beside a
// preference loss (RPO).
//   loss = -logp_w, divided by the completion tokens of branch 0 over the global batch (a token
//     mean, as TRL's "sft")
#pragma once
#include "libpref/base/options.h"
#include "libpref/objectives/row.h"

namespace pref {

struct SFT {
  static constexpr const char* name = "sft";
  static constexpr const char* loss_type = "sft";
  static constexpr Needs needs = Needs::nothing;
  static constexpr Accepts accepts = Accepts::nothing;
  static constexpr Normalizer normalizer = Normalizer::chosen_tokens;
  static constexpr int min_branches = 1;

  template <class Self, class Visit>
  static void fields(Self&, Visit&&) {}

  template <class T>
  PREF_HD RowLoss<T> operator()(const Row<T>& row) const {
    RowLoss<T> out;
    out.loss = -row.branch[0].logp;
    out.d_logp[0] = T(-1);
    return out;
  }
};

}  // namespace pref
