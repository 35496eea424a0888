// SPDX-License-Identifier: Apache-2.0
// One fiber: a stack of its own and a switch to and from the scheduler, told to the address and
// thread sanitizers. A dozen instructions on x86-64, ucontext elsewhere.
#pragma once
#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() calls `entry`, which never returns. What ran here before is abandoned.
  void restart(void (*entry)());
  /// From the scheduler: runs until leave().
  void resume();
  /// From the fiber: back to the scheduler.
  void leave();
  /// First thing `entry` does.
  static void entered();

 private:
  struct Context {
#if defined(__x86_64__)
    void* stack_pointer = nullptr;
#else
    ucontext_t context;
#endif
  };
  static void swap(Context& from, Context& to);
  static Context scheduler_;

  Context context_;
  char* stack_ = nullptr;       // lowest usable address; a page without access lies below
  void* fake_stack_ = nullptr;  // address sanitizer's
  void* sanitizer_ = nullptr;   // thread sanitizer's fiber
};

}  // namespace simt
