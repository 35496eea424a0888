// SPDX-License-Identifier: Apache-2.0
// What the harness tells the sanitizers; nothing without them. SIMT_THREAD_SANITIZER is defined by
// the build, as the harness itself is compiled without thread sanitizer: its own bookkeeping orders
// fibers that a device would not order.
#pragma once
#include <cstddef>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SIMT_THREAD_SANITIZER)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace simt {

/// What happened before a release() is seen after an acquire() of the same place.
inline void release([[maybe_unused]] char& place) {
#if defined(SIMT_THREAD_SANITIZER)
  __tsan_release(&place);
#endif
}
inline void acquire([[maybe_unused]] char& place) {
#if defined(SIMT_THREAD_SANITIZER)
  __tsan_acquire(&place);
#endif
}
inline void forbid([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(memory, bytes);
#endif
}
inline void permit([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

}  // namespace simt
