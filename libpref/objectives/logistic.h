// SPDX-License-Identifier: Apache-2.0
// The functions of one logit that objectives share, with their slopes and without overflow:
// -log sigma(u), its label-smoothed form, sigma itself, the hinge.
#pragma once
#include <cmath>

#include "libpref/objectives/row.h"

namespace pref {

template <class T>
PREF_HD_CALL T sigmoid(T u) {
  using std::exp;
  if (u >= T(0)) return T(1) / (T(1) + exp(-u));
  const T e = exp(u);
  return e / (T(1) + e);
}

/// -log sigma(u) = log(1 + e^-u), exact at both ends.
template <class T>
PREF_HD_CALL T neg_log_sigmoid(T u) {
  using std::exp;
  using std::log1p;
  return u >= T(0) ? log1p(exp(-u)) : log1p(exp(u)) - u;
}

/// A value and its derivative by the argument.
template <class T>
struct ValueSlope {
  T value, slope;
};

/// -(1-e) log sigma(u) - e log sigma(-u); slope in u: sigma(u) - (1-e).
template <class T>
PREF_HD ValueSlope<T> smoothed_logistic(T u, T e) {
  return {(T(1) - e) * neg_log_sigmoid(u) + e * neg_log_sigmoid(-u), e - sigmoid(-u)};
}

/// sigma(u); slope sigma(u) sigma(-u), which keeps its digits where 1 - sigma(u) has none.
template <class T>
PREF_HD ValueSlope<T> logistic(T u) {
  return {sigmoid(u), sigmoid(u) * sigmoid(-u)};
}

/// max(0, at - u); slope 0 at the kink.
template <class T>
PREF_HD ValueSlope<T> hinge_at(T at, T u) {
  return u < at ? ValueSlope<T>{at - u, T(-1)} : ValueSlope<T>{T(0), T(0)};
}

/// (u - at)^2.
template <class T>
PREF_HD ValueSlope<T> square_at(T at, T u) {
  return {(u - at) * (u - at), T(2) * (u - at)};
}

}  // namespace pref
