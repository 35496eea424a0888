// SPDX-License-Identifier: Apache-2.0
// Launchers of kernels/cuda/adamw.h.
#include "kernels/cuda/adamw.h"

#include <cmath>

#include "kernels/cuda/device/adamw.cuh"
#include "kernels/cuda/launch.cuh"

namespace pref::kernels::cuda {
namespace {

constexpr int kThreads = 256;

AdamWFactors factors_of(const AdamWStep& step, uint64_t rounding_seed) {
  const auto t = static_cast<double>(step.step);
  const auto f = [](double x) { return static_cast<float>(x); };
  // -expm1(t log b) = 1 - b^t, exact also when b is close to 1.
  return {f(step.gradient_scale),
          f(step.beta1),
          f(1 - step.beta1),
          f(step.beta2),
          f(1 - step.beta2),
          f(step.eps),
          f(step.learning_rate * step.weight_decay),
          f(step.learning_rate / -std::expm1(t * std::log(step.beta1))),
          f(1 / -std::expm1(t * std::log(step.beta2))),
          rounding_seed == 0
              ? 0
              : rounding_seed * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(step.step)};
}

}  // namespace

void adamw_update(const AdamWState& state, ConstPointer gradient, int64_t count,
                  const AdamWStep& step, const AdamWDevice& device, uint64_t rounding_seed,
                  int64_t first_element, Stream stream) {
  const char* where = "adamw_update";
  require_same_type(where, state.exp_avg, state.exp_avg_sq);
  require((state.weight.type == Type::bf16) == (state.remainder != nullptr), ErrorKind::option,
          where, "bf16 weights with a remainder or f32 weights without are required.");
  require(rounding_seed == 0 || state.exp_avg.type == Type::bf16, ErrorKind::option, where,
          "a rounding seed has no effect on f32 moments. Pass 0.");
  const bool aligned = rows_aligned(state.weight, 0) && rows_aligned(gradient, 0) &&
                       rows_aligned(state.exp_avg, 0) && rows_aligned(state.exp_avg_sq, 0) &&
                       reinterpret_cast<uintptr_t>(state.remainder) % 16 == 0;
  with_type(state.weight.type, [&](auto* weight) {
    with_type(state.exp_avg.type, [&](auto* moment) {
      with_type(gradient.type, [&](auto* gradient_element) {
        with_vectors(aligned, 0, [&](auto n) {
          using W = std::remove_pointer_t<decltype(weight)>;
          using M = std::remove_pointer_t<decltype(moment)>;
          using G = std::remove_pointer_t<decltype(gradient_element)>;
          constexpr int kN = decltype(n)::value;
          launch(where, stream, {divide_up(divide_up(count, kN), kThreads), kThreads},
                 adamw_range<kN, W, M, G, kThreads>, static_cast<W*>(state.weight.data),
                 state.remainder, static_cast<const G*>(gradient.data),
                 static_cast<M*>(state.exp_avg.data), static_cast<M*>(state.exp_avg_sq.data), count,
                 factors_of(step, rounding_seed), device, first_element);
        });
      });
    });
  });
}

void split_master(const float* master, int64_t count, BF16* weight, int16_t* remainder,
                  Stream stream) {
  launch("split_master", stream, {divide_up(count, kThreads), kThreads}, split_range<kThreads>,
         master, count, weight, remainder);
}

void join_master(const BF16* weight, const int16_t* remainder, int64_t count, float* master,
                 Stream stream) {
  launch("join_master", stream, {divide_up(count, kThreads), kThreads}, join_range<kThreads>,
         weight, remainder, count, master);
}

}  // namespace pref::kernels::cuda
