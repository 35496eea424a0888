// SPDX-License-Identifier: Apache-2.0
// Oracle of kernels/adamw.h: algorithm 2 of arXiv:1711.05101 line by line for one element, in the
// number type asked for.
#pragma once
#include <cmath>

namespace pref::reference {

template <class Number>
struct AdamWElement {
  Number weight, exp_avg = 0, exp_avg_sq = 0;

  void step(Number gradient, Number learning_rate, Number beta1, Number beta2, Number eps,
            Number weight_decay, int t) {
    exp_avg = beta1 * exp_avg + (1 - beta1) * gradient;
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * gradient * gradient;
    const Number corrected = exp_avg / (1 - std::pow(beta1, static_cast<Number>(t)));
    const Number corrected_sq = exp_avg_sq / (1 - std::pow(beta2, static_cast<Number>(t)));
    weight = weight - learning_rate * weight_decay * weight -
             learning_rate * corrected / (std::sqrt(corrected_sq) + eps);
  }
};

}  // namespace pref::reference
