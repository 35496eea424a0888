// SPDX-License-Identifier: Apache-2.0
// Oracle of kernels/swiglu.h for one element (arXiv:2002.05202).
#pragma once
#include <cmath>

namespace pref::reference {

template <class Number>
Number swiglu(Number gate, Number up) {
  return gate / (1 + std::exp(-gate)) * up;
}

/// Derivatives of swiglu by its two arguments: the first by central differences in double, good to
/// about 1e-10.
struct SwigluGradient {
  double gate, up;
};
inline SwigluGradient swiglu_gradient(double gate, double up) {
  const double h = 1e-5;
  return {(swiglu(gate + h, up) - swiglu(gate - h, up)) / (2 * h), swiglu(gate, 1.0)};
}

}  // namespace pref::reference
