// SPDX-License-Identifier: Apache-2.0
// The scheduler: blocks one after another, the fibers of a block in the chosen order, each until it
// waits or returns. A fiber touches no heap in here: under thread sanitizer the heap would order
// what a device leaves unordered.
#include "tests/simt/simt.h"

#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/simt/fiber.h"
#include "tests/simt/sanitizers.h"
#include "tests/simt/simt_device.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

Options options;

namespace {

constexpr int kMaxThreads = 1024, kWarp = 32, kMaxVariables = 64;
constexpr size_t kRedZone = 64, kArenaBytes = kMaxSharedBytes + kMaxVariables * 2 * kRedZone;
constexpr unsigned char kFill = 0xff;  // NaN as float, -1 as integer

enum class State { ready, waiting, returned };

struct Thread {
  Fiber fiber;
  State state = State::returned;
  bool at_barrier = false, parked = false;  // parked: done with a block, ready to begin another
  const char* waits_in = "";
  Site site{"", 0};
};

// A warp operation that lanes are arriving at, or have completed but not all left.
struct Collective {
  const char* operation;
  unsigned mask, arrived, left;
  bool complete;
  Site site;
  uint64_t value[kWarp];
  char order;  // sanitizers' place of synchronisation
};
struct Warp {
  Collective pool[kWarp];
  unsigned in_use, returned;
};

struct SharedVariable {
  const void* key;
  size_t offset, bytes;
  Site declared;
};

struct Block {
  int threads, arrived, returned, votes, result[2];
  unsigned generation;
  Site barrier_site;
  char order[2];  // sanitizers' place of a barrier, by its generation's parity
  Warp warps[kMaxThreads / kWarp];
  SharedVariable variables[kMaxVariables];
  int num_variables;
  size_t used;
};

// Thread sanitizer's stacks, fibers, barriers and arena alternate between blocks, so that neighbouring blocks
// stay unordered as they are on a device.
struct Set {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<unsigned char> arena;
  Block block;
};
Set sets[2];
Set* set = &sets[0];
int current;
const std::function<void()>* body;
std::exception_ptr first_fault;
std::minstd_rand generator;
char launch_order;
// Where the threads of a block end: the block that has their stacks next, two later, begins after them, but threads of
// one block are ordered by nothing but what the kernel does.
char end_order[4];
unsigned block_number;

Block& block() { return set->block; }
Thread& thread(int i) { return *set->threads[static_cast<size_t>(i)]; }

bool same(Site a, Site b) { return a.line == b.line && !std::strcmp(a.file, b.file); }
std::string text(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }
std::string text(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}
uint3 thread_index(int i) {
  const auto u = static_cast<unsigned>(i);
  return {u % blockDim.x, u / blockDim.x % blockDim.y, u / blockDim.x / blockDim.y};
}

void leave() {
  const int me = current;
  thread(me).fiber.leave();
}

void wait(const char* what, Site site) {
  Thread& me = thread(current);
  me.waits_in = what;
  me.site = site;
  me.state = State::waiting;
  leave();
}

void open_barrier() {
  block().result[block().generation & 1] = block().votes;
  block().votes = block().arrived = 0;
  ++block().generation;
  for (int i = 0; i < block().threads; ++i)
    if (thread(i).at_barrier) {
      thread(i).at_barrier = false;
      thread(i).state = State::ready;
    }
}

bool try_complete(Collective& c, int warp) {
  const unsigned returned = options.allow_exited ? block().warps[warp].returned : 0;
  if (c.complete || (c.arrived | returned) != (c.mask | returned)) return c.complete;
  c.complete = true;
  for (int i = 0; i < kWarp; ++i)
    if (c.arrived >> i & 1) {
      Thread& t = thread(warp * kWarp + i);
      if (t.state == State::waiting) t.state = State::ready;
    }
  return true;
}

void run_thread() {
  acquire(launch_order);
  acquire(end_order[(block_number + 2) % 4]);
  try {
    (*body)();
  } catch (...) {
    if (!first_fault) first_fault = std::current_exception();
  }
  release(end_order[block_number % 4]);
  const int warp = current / kWarp;
  thread(current).state = State::returned;
  ++block().returned;
  block().warps[warp].returned |= 1u << (current % kWarp);
  if (!options.allow_exited) return;
  for (unsigned k = 0; k < kWarp; ++k)
    if (block().warps[warp].in_use >> k & 1) try_complete(block().warps[warp].pool[k], warp);
  if (block().arrived && block().arrived + block().returned == block().threads) open_barrier();
}

// A fiber serves one block after another: making one is slow under thread sanitizer.
void thread_main() {
  Fiber::entered();
  for (;;) {
    run_thread();
    thread(current).parked = true;
    leave();
  }
}

// The next ready thread after `last` in the chosen order, or -1.
int pick(int last) {
  const int n = block().threads;
  int step = 1, at = last + 1;
  if (options.order == Order::reverse) step = n - 1, at = last + n - 1;
  if (options.order == Order::random) at = static_cast<int>(generator() % static_cast<unsigned>(n));
  for (int i = 0; i < n; ++i, at += step)
    if (thread(at % n).state == State::ready) return at % n;
  return -1;
}

[[noreturn]] void fail_stuck() {
  std::map<std::string, std::pair<int, int>> groups;  // where -> count, first
  for (int i = 0; i < block().threads; ++i) {
    const Thread& t = thread(i);
    const std::string where = t.state == State::returned
                                  ? "returned"
                                  : std::string("waiting in ") + t.waits_in + " at " + text(t.site);
    ++groups.try_emplace(where, 0, i).first->second.first;
  }
  std::string out = "not all threads of block " + text(blockIdx) + " reach the same barrier:";
  for (const auto& [where, count] : groups)
    out += "\n  " + std::to_string(count.first) + " threads (first " +
           std::to_string(count.second) + ") " + where;
  throw Error("[simt] " + out);
}

void begin_block(int threads) {
  block().threads = threads;
  block().arrived = block().returned = block().votes = block().num_variables = 0;
  block().generation = 0;
  block().used = 0;
  for (int w = 0; w * kWarp < threads; ++w) block().warps[w].in_use = block().warps[w].returned = 0;
  if (threads % kWarp) block().warps[threads / kWarp].returned = ~0u << (threads % kWarp);
  set->arena.resize(kArenaBytes);
  forbid(set->arena.data(), kArenaBytes);
}

// Shared variables are kept apart by zones that must still hold their filling.
void check_red_zones() {
  permit(set->arena.data(), kArenaBytes);
  for (int v = 0; v < block().num_variables; ++v) {
    const SharedVariable& variable = block().variables[v];
    const unsigned char* zones[2] = {set->arena.data() + variable.offset - kRedZone,
                                     set->arena.data() + variable.offset + variable.bytes};
    for (const auto* zone : zones)
      for (size_t i = 0; i < kRedZone; ++i)
        if (zone[i] != kFill)
          fault("shared memory: written beside the variable declared here", variable.declared);
  }
}

void* add_variable(const void* key, size_t bytes, Site declared) {
  const size_t offset = (block().used + kRedZone + 15) / 16 * 16;
  if (block().num_variables == kMaxVariables || offset + bytes + kRedZone > kArenaBytes)
    fault("shared memory: " + std::to_string(offset + bytes) + " bytes are too many", declared);
  block().used = offset + bytes + kRedZone;
  block().variables[block().num_variables++] = {key, offset, bytes, declared};
  // Volatile: a memset would be seen by thread sanitizer.
  volatile unsigned char* zone = set->arena.data() + offset - kRedZone;
  permit(set->arena.data() + offset - kRedZone, bytes + 2 * kRedZone);
  for (size_t i = 0; i < bytes + 2 * kRedZone; ++i) zone[i] = kFill;
  forbid(set->arena.data() + offset - kRedZone, kRedZone);
  forbid(set->arena.data() + offset + bytes, kRedZone);
  return set->arena.data() + offset;
}

void run_block(int threads) {
  int i = options.order == Order::reverse ? 0 : -1;
  while ((i = pick(i)) >= 0) {
    current = i;
    threadIdx = thread_index(i);
    thread(i).fiber.resume();
    if (first_fault) break;
  }
  acquire(end_order[block_number % 4]);  // what a fiber threw was made by it
  if (first_fault) std::rethrow_exception(std::exchange(first_fault, nullptr));
  if (block().returned != threads) fail_stuck();
  check_red_zones();
}

}  // namespace

void run(dim3 grid, dim3 block_size, size_t dynamic_bytes, const std::function<void()>& kernel) {
  const auto threads = static_cast<int>(block_size.x * block_size.y * block_size.z);
  if (threads < 1 || threads > kMaxThreads || !grid.x || !grid.y || !grid.z || grid.y > 65535 ||
      grid.z > 65535)
    throw Error("[simt] a launch of grid " + text(uint3{grid.x, grid.y, grid.z}) + " and block " +
                text(uint3{block_size.x, block_size.y, block_size.z}) + " is not possible");
  if (dynamic_bytes > kMaxSharedBytes)
    throw Error("[simt] " + std::to_string(dynamic_bytes) + " bytes of shared memory are too many");
  blockDim = block_size;
  gridDim = grid;
  body = &kernel;
  generator.seed(options.seed);
  release(launch_order);
  const unsigned blocks = grid.x * grid.y * grid.z;
  for (unsigned k = 0; k < blocks; ++k) {
    const unsigned at = options.order == Order::reverse ? blocks - 1 - k : k;
    blockIdx = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
#if defined(SIMT_THREAD_SANITIZER)
    ++block_number;
    set = &sets[block_number % 2];
#else
    set = &sets[0];
#endif
    while (set->threads.size() < static_cast<size_t>(threads)) {
      set->threads.push_back(std::make_unique<Thread>());
    }
    begin_block(threads);
    add_variable(nullptr, dynamic_bytes, {"dynamic shared memory", 0});
    for (int i = 0; i < threads; ++i) {
      Thread& t = thread(i);
      if (!std::exchange(t.parked, false)) t.fiber.restart(thread_main);
      t.state = State::ready;
      t.at_barrier = false;
    }
    run_block(threads);
  }
}

void fault(const std::string& what, Site site) {
  throw Error("[simt] " + what + " [" + text(site) + ", block " + text(blockIdx) + " thread " +
              text(threadIdx) + "]");
}

int lane() { return current % kWarp; }

void yield() {
  if (options.order == Order::random) leave();
}

int barrier(bool vote, Site site) {
  if (block().arrived && !same(block().barrier_site, site))
    fault("divergent barrier: other threads wait at " + text(block().barrier_site), site);
  if (block().returned && !options.allow_exited)
    fault("divergent barrier: " + std::to_string(block().returned) + " threads have returned",
          site);
  const unsigned parity = block().generation & 1;
  block().barrier_site = site;
  block().votes += vote;
  ++block().arrived;
  release(block().order[parity]);
  if (block().arrived + block().returned == block().threads) {
    open_barrier();
  } else {
    thread(current).at_barrier = true;
    wait("a barrier", site);
  }
  acquire(block().order[parity]);
  return block().result[parity];
}

Deposits exchange(const char* operation, unsigned mask, uint64_t value, bool orders_memory,
                  Site site) {
  const int warp = current / kWarp;
  const unsigned me = 1u << lane();
  Warp& w = block().warps[warp];
  if (!(mask & me))
    fault(std::string(operation) + ": the calling lane " + std::to_string(lane()) +
              " is not in the mask",
          site);
  if (!options.allow_exited && (mask & w.returned))
    fault(std::string(operation) + ": the mask names lanes that have returned or do not exist",
          site);
  Collective* c = nullptr;
  for (unsigned k = 0; k < kWarp; ++k) {
    Collective& other = w.pool[k];
    if (!(w.in_use >> k & 1) || other.complete) continue;
    const bool equal =
        other.mask == mask && !std::strcmp(other.operation, operation) && same(other.site, site);
    if (equal && !(other.arrived & me)) {
      c = &other;
    } else if ((other.mask & me) && (other.arrived & mask)) {
      fault(std::string(operation) + ": lane " + std::to_string(lane()) +
                " calls it while others wait for this lane in " + other.operation + " at " +
                text(other.site),
            site);
    }
  }
  if (!c) {
    const int k = __builtin_ctz(~w.in_use);
    w.in_use |= 1u << k;
    c = &w.pool[k];
    c->operation = operation;
    c->mask = mask;
    c->arrived = c->left = 0;
    c->complete = false;
    c->site = site;
  }
  c->arrived |= me;
  c->value[lane()] = value;
  if (orders_memory) release(c->order);
  if (!try_complete(*c, warp)) wait(operation, site);
  if (orders_memory) acquire(c->order);
  Deposits out;
  out.lanes = c->arrived;
  std::memcpy(out.value, c->value, sizeof out.value);
  c->left |= me;
  if (c->left == c->arrived) w.in_use &= ~(1u << (c - w.pool));
  return out;
}

void* shared_variable(const void* key, size_t bytes, Site declared) {
  for (int i = 0; i < block().num_variables; ++i)
    if (block().variables[i].key == key) return set->arena.data() + block().variables[i].offset;
  return add_variable(key, bytes, declared);
}

void* dynamic_shared(size_t* bytes) {
  *bytes = block().variables[0].bytes;
  return set->arena.data() + block().variables[0].offset;
}

}  // namespace simt
