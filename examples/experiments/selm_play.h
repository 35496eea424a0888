// SPDX-License-Identifier: Apache-2.0
// The online loop of the SELM experiments on a bandit: sample, label, train by the objective selm,
// again. alpha 0 is iterative DPO.
#pragma once
#include "examples/experiments/figure.h"
#include "examples/experiments/tools.h"

namespace pref::experiments {

struct Play {
  double beta = 0.3, alpha = 0;
  int64_t iterations = 60, pairs = 4, steps = 400;
  Descent descent = Descent::gradient;
  double rate = 20;
  /// false: a fixed reference, all data kept; a pair is one sample of the policy and one of the
  /// reference, labelled by Bradley and Terry. true, as practised: the reference becomes the policy
  /// at each iteration, old data are dropped; a pair is the best and the worst of the greedy answer
  /// and two samples.
  bool follow = false;
};

struct Played {
  Vector cost;          ///< J* - J by iteration, J = E r - beta KL(pi || first reference)
  Vector regret;        ///< best reward - E r by iteration
  double found = 0;     ///< iteration (from 1) that first compares the best arm with another, or
                        ///< iterations + 1
  double compared = 0;  ///< arms that were ever compared with another
  double kl = 0;        ///< of the last policy from the first reference
};

/// `watched`: the arm whose first comparison is `found`.
Played play(const Play& how, const Vector& ref_logp, const Vector& reward, int watched,
            RandomStream& random);

/// A figure over alpha on a logarithmic axis, 0 drawn at -4, and a value of one seed on it.
Figure by_alpha(const char* name, const char* title, const char* y_label,
                const std::string& config);
void add_by_alpha(Figure& figure, const std::string& curve, double alpha, double y);

}  // namespace pref::experiments
