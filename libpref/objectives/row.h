// SPDX-License-Identifier: Apache-2.0
// What an objective sees of a row: a few sums per branch; and what it gives back: a loss and its
// derivatives by the summed log-probs. Only those derivatives reach the network (one coefficient
// per label), so no vocabulary-sized kernel knows an objective. Plain host/device code, templated
// over the number type: double on the CPU and in tests, float on a GPU.
#pragma once
#include <cstdint>

// PREF_HD_CALL: on a device called rather than inlined, where many kernels share a piece and none
// gains by a copy of its own; inlined, they are most of what nvcc compiles.
#if defined(__CUDACC__)
#define PREF_HD __host__ __device__
#define PREF_HD_CALL __host__ __device__ __noinline__
#else
#define PREF_HD
#define PREF_HD_CALL
#endif

namespace pref {

/// Most branches of one row (2 for a pair, 3 with a reference response, K for lists).
inline constexpr int kMaxBranches = 16;

/// Sums over one branch's completion tokens, EOS included.
template <class T>
struct Sequence {
  T logp = 0;      ///< sum of log p, nats
  T ref_logp = 0;  ///< the same under the reference policy; 0 when the objective needs none
  T num_tokens = 1;
  T collision = 0;  ///< mean over tokens of log sum_v p_v^2, nats (Needs::collision)
  T max_logp = 0;   ///< mean over tokens of log max_v p_v, nats (Needs::max_logp)
  /// How often this response beats the others sampled for its prompt, in [0, 1], itself counted as
  /// 1/2 (Needs::win_probability); -1: not given.
  T win_probability = -1;
  T score = 0;  ///< reward of this response, any scale (Needs::score)
  /// Sums over tokens of m_t log p(y_t), under policy and reference, and of m_t log(1 - p(y_t)),
  /// nats. The marks m_t are 1 beyond the shorter response's length (Needs::tail) or the row's token
  /// rewards (Needs::token_rewards).
  T marked = 0, ref_marked = 0, unlikely = 0;
  T coupled = 0;  ///< what the batch as a whole gives this response (coupling.h); no gradient
};

template <class T>
struct Row {
  Sequence<T> branch[kMaxBranches];
  int branches = 2;
  T weight = 1, margin = 0;
  int label = 0;  ///< unpaired feedback on branch 0: 1 desirable, -1 undesirable, 0 none
  PREF_HD const Sequence<T>& chosen() const { return branch[0]; }
  PREF_HD const Sequence<T>& rejected() const { return branch[1]; }
};

/// loss of the row, its derivatives by the sums of each branch, implicit reward per branch. Starts
/// at zero.
template <class T>
struct RowLoss {
  T loss = 0;
  T d_logp[kMaxBranches] = {};
  T d_marked[kMaxBranches] = {}, d_unlikely[kMaxBranches] = {};
  T reward[kMaxBranches] = {};
  T exploration = 0;  ///< the part of `loss` that pays for exploring (SELM, XPO); often negative
  T pair_weight = 1;  ///< the weight WPO gave the row's pair losses; carries no gradient
};

/// What an objective asks of the trainer beyond logp and token counts.
enum class Needs : unsigned {
  nothing = 0,
  reference = 1,
  collision = 2,
  max_logp = 4,
  win_probability = 8,
  score = 16,
  tail = 32,           ///< marks beyond the shorter response of a pair
  token_rewards = 64,  ///< marks from the data
  label = 128,         ///< unpaired feedback
  mismatched = 256,    ///< branch 1 is another row's response (KTO's estimate of the divergence)
};
constexpr Needs operator|(Needs a, Needs b) {
  return static_cast<Needs>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
PREF_HD constexpr bool has(Needs set, Needs one) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

/// What may act on an objective from outside; each names what it has a place for in `accepts`.
/// Asking for another is an error.
enum class Accepts : unsigned {
  nothing = 0,
  margin = 1,      ///< a row's margin, subtracted from the logit
  weighting = 2,   ///< WPO's weight on the whole term (weighting.h): losses of one pair alone
  divergence = 4,  ///< phi(h) for h (divergence.h): losses of the difference of two log-ratios
  length = 8,      ///< less of the longer response's tail (LD-DPO): losses of one pair's sums
  average = 16,    ///< means for sums (average.h): losses of log-ratios that read no length
  /// phi without its constant (divergence.h): losses that the constant changes
  divergence_constant = 32,
};
constexpr Accepts operator|(Accepts a, Accepts b) {
  return static_cast<Accepts>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
PREF_HD constexpr bool has(Accepts set, Accepts one) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

/// What the sum of a term over the global batch is divided by.
enum class Normalizer {
  rows,           ///< rows (pairs) of the global batch
  chosen_tokens,  ///< completion tokens of branch 0 over the global batch (cross-entropy)
};

}  // namespace pref
