// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "tests/simt/sanitizers.h"

#if defined(__x86_64__)
// Saves what a call must keep (System V), stores the stack pointer, takes up the other stack.
asm(R"(.text
.type simt_switch_stacks,@function
simt_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void simt_switch_stacks(void** save, void* to);
#endif

namespace simt {
namespace {

constexpr size_t kStackBytes = 256 * 1024, kPage = 4096;

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack;
size_t scheduler_stack_bytes;
#endif
#if defined(SIMT_THREAD_SANITIZER)
void* scheduler_fiber;
#endif

}  // namespace

Fiber::Context Fiber::scheduler_;

Fiber::~Fiber() {
  if (stack_) munmap(stack_ - kPage, kStackBytes + kPage);
#if defined(SIMT_THREAD_SANITIZER)
  if (sanitizer_) __tsan_destroy_fiber(sanitizer_);
#endif
}

void Fiber::swap(Context& from, Context& to) {
#if defined(__x86_64__)
  simt_switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
}

void Fiber::restart(void (*entry)()) {
  if (!stack_) {
    void* memory = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, kPage, PROT_NONE);  // a stack that runs over ends the program
    stack_ = static_cast<char*>(memory) + kPage;
  }
  permit(stack_, kStackBytes);
#if defined(SIMT_THREAD_SANITIZER)
  if (sanitizer_) __tsan_destroy_fiber(sanitizer_);
  sanitizer_ = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
  // As simt_switch_stacks leaves it: six registers, then where to return to.
  auto* top = reinterpret_cast<void**>(stack_ + kStackBytes - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context_.stack_pointer = top;
#else
  getcontext(&context_.context);
  context_.context.uc_stack.ss_sp = stack_;
  context_.context.uc_stack.ss_size = kStackBytes;
  context_.context.uc_link = nullptr;
  makecontext(&context_.context, entry, 0);
#endif
}

void Fiber::resume() {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, kStackBytes);
#endif
#if defined(SIMT_THREAD_SANITIZER)
  scheduler_fiber = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(sanitizer_, 1);  // 1: the switch itself orders nothing
#endif
  swap(scheduler_, context_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::leave() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, scheduler_stack, scheduler_stack_bytes);
#endif
#if defined(SIMT_THREAD_SANITIZER)
  __tsan_switch_to_fiber(scheduler_fiber, 1);
#endif
  swap(context_, scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

void Fiber::entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

}  // namespace simt
