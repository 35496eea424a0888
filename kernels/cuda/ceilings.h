// SPDX-License-Identifier: Apache-2.0
// What a card can do at best: a copy, a read and a write that do nothing else. Speeds of other
// kernels are told as shares of these. `loads` 4 or 8: sixteen-byte accesses that a thread has under
// way at once; which is faster depends on the card, so a ceiling is the best of them.
#pragma once
#include "kernels/cuda/types.h"

namespace pref::kernels::cuda {

/// y = x; both on a sixteen-byte boundary, `bytes` a multiple of sixteen. So below.
void stream_copy(const void* x, void* y, int64_t bytes, int loads, Stream stream);

/// Words of the output of stream_read: less than 1/500 of what is read.
int64_t stream_read_words(int64_t bytes, int loads);
/// out [stream_read_words] = x's words in groups, joined by exclusive or: all of x has been read.
void stream_read(const void* x, int64_t bytes, int loads, uint32_t* out, Stream stream);

/// Every 32-bit word of y = word.
void stream_write(void* y, int64_t bytes, uint32_t word, int loads, Stream stream);

}  // namespace pref::kernels::cuda
