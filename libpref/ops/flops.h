// SPDX-License-Identifier: Apache-2.0
// Counts of useful floating-point operations, by part of the step: 2mnk for a matrix product, 4 x
// width x attended pairs for attention forward and twice that backward. A gate of the tests, and
// the rate shown by benchmarks.
#pragma once

namespace pref {

struct FlopCount {
  double body = 0;  ///< projections of the decoder blocks
  double attention = 0;
  double head = 0;
  double total() const { return body + attention + head; }
};

/// Since the process began, over all threads.
FlopCount flop_count();

namespace detail {
void count_body_flops(double flops);
void count_attention_flops(double flops);
void count_head_flops(double flops);
}  // namespace detail
}  // namespace pref
