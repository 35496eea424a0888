// SPDX-License-Identifier: Apache-2.0
// kernels/adamw.h on CUDA (arXiv:1711.05101, algorithm 2), for weights kept as bf16 with a 16-bit
// remainder: an f32 master in four bytes, of which the network reads the upper two.
//   q = (bits(x) + 0x8000) >> 16 (the nearest bf16, ties away from zero),  r = bits(x) - (q << 16)
// The clip factor and whether to step at all are read on the device: nothing waits for the host.
#pragma once
#include "kernels/adamw.h"
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// Weights of `count` elements: f32 (remainder null), or bf16 with remainder [count] i16.
struct AdamWState {
  Pointer weight;
  int16_t* remainder;
  Pointer exp_avg, exp_avg_sq;  ///< f32 or bf16 alike
};

/// What only the device knows when the step is enqueued; null where there is none.
struct AdamWDevice {
  const float* gradient_scale = nullptr;  ///< multiplies step.gradient_scale
  const int* skip = nullptr;              ///< not 0: nothing is changed
};

/// One step as on the CPU; gradient [N] f32 or bf16. The arithmetic is f32 on the exact master, so
/// weights with a remainder give the bits of f32 weights. bf16 moments are rounded to nearest where
/// rounding_seed is 0, else up or down at random in proportion (from seed, step and element): to
/// nearest, a second moment with beta2 = 0.999 cannot fall. Elementwise: callers split ranges
/// freely and pass the index of the first element. Throws (option): remainders beside f32 weights
/// or none beside bf16 ones, moments of two types, a seed for f32 moments.
void adamw_update(const AdamWState& state, ConstPointer gradient, int64_t count,
                  const AdamWStep& step, const AdamWDevice& device, uint64_t rounding_seed,
                  int64_t first_element, Stream stream);

/// weight [N] bf16 and remainder [N] i16 from master [N] f32, and back, bit for bit. Any finite f32
/// below 3.39e38.
void split_master(const float* master, int64_t count, BF16* weight, int16_t* remainder,
                  Stream stream);
void join_master(const BF16* weight, const int16_t* remainder, int64_t count, float* master,
                 Stream stream);

}  // namespace pref::kernels::cuda
