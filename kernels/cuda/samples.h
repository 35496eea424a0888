// SPDX-License-Identifier: Apache-2.0
// What a check on a device needs and a host would take minutes for: gigabytes of random numbers, and
// whether two of them are the same.
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// x[i] = mean + deviation n_i, n_i standard normal from (seed, i) alone.
void fill_normal(Pointer x, int64_t count, float mean, float deviation, uint64_t seed,
                 Stream stream);

/// x[index[i]] = value[i]; index [count] i64 without repetitions, value [count] f32.
void set_elements(Pointer x, const int64_t* index, const float* value, int64_t count,
                  Stream stream);

/// sum[0] += a number that depends on every bit of x and its place (modulo 2^64): equal for equal
/// bytes, different otherwise but by a chance of 2^-64. x on a sixteen-byte boundary.
void fingerprint(const void* x, int64_t bytes, uint64_t* sum, Stream stream);

}  // namespace pref::kernels::cuda
