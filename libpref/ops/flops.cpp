// SPDX-License-Identifier: Apache-2.0
#include "libpref/ops/flops.h"

#include <atomic>

namespace pref {
namespace {
std::atomic<double> body{0}, attention{0}, head{0};
}  // namespace

FlopCount flop_count() { return {body.load(), attention.load(), head.load()}; }

namespace detail {
void count_body_flops(double flops) { body.fetch_add(flops, std::memory_order_relaxed); }
void count_attention_flops(double flops) { attention.fetch_add(flops, std::memory_order_relaxed); }
void count_head_flops(double flops) { head.fetch_add(flops, std::memory_order_relaxed); }
}  // namespace detail
}  // namespace pref
