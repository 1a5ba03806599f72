// One job: run a grid of threads of a translated kernel on the host.
//
// A thread is a fiber: it runs until a barrier, an exchange within its warp, or its end.
// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"

#define PTX_API extern "C" __attribute__((visibility("default")))

namespace ptx {
namespace {

constexpr u32 kWarp = 32;
constexpr u32 kMostMessages = 20;

std::vector<std::string> messages;

// ---- the running block -------------------------------------------------------------------------

enum State { kRunning, kAtBarrier, kExchanging, kDone };

struct Fiber {
  Thread thread;
  State state;
  u32 how, given, by, clamp, lanes, got;
  bool inside;
  jmp_buf at;
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  std::vector<u64> registers;
};
std::vector<std::unique_ptr<Fiber>> fibers;
jmp_buf scheduler;
Fiber* current;

bool stuck = false;                     // a thread of the block
bool counted = false, by_line = false;  // what Python has asked for
std::vector<u32> visits;                // by thread and basic block, where they are counted
std::map<std::string, Counts> counts;
struct Line {
  u64 instructions = 0, slots = 0;
};
std::map<std::string, Line> lines;  // of the source

void leave(State state) {
  current->state = state;
  if (!_setjmp(current->at)) _longjmp(scheduler, 1);
}

void fiber_main() {
  for (;;) {
    try {
      device.kernel->run(current->thread);
    } catch (const std::exception& error) {  // nothing above a fiber could catch it
      violation("the host stopped %s: %s", device.kernel->name, error.what());
      stuck = true;
    }
    leave(kDone);
  }
}

void resume(Fiber& fiber) {
  current = &fiber;
  if (_setjmp(scheduler)) return;
  if (fiber.stack) _longjmp(fiber.at, 1);
  constexpr size_t kStack = 128 << 10;
  fiber.stack = std::make_unique<char[]>(kStack);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStack;
  makecontext(&fiber.context, fiber_main, 0);
  setcontext(&fiber.context);
}

void restart_fibers() {  // those of an abandoned block stand anywhere
  for (auto& fiber : fibers) fiber->stack.reset();
}

}  // namespace

void violation(const char* format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (messages.size() < kMostMessages &&
      std::find(messages.begin(), messages.end(), text) == messages.end()) {
    messages.push_back(text);
  }
}

void found(const Thread& t, const char* what) {
  const Instruction& at = device.kernel->instructions[t.pc];
  violation("%s: %s of %s", what, at.text, at.where);
}

// ---- waiting -----------------------------------------------------------------------------------

void Thread::barrier(u32 place) {
  pc = place;
  leave(kAtBarrier);
}

u32 Thread::exchange(u32 place, u32 how, u32 given, u32 by, u32 clamp, u32 lanes, bool* inside) {
  pc = place;
  Fiber& f = *current;
  f.how = how, f.given = given, f.by = by, f.clamp = clamp, f.lanes = lanes;
  leave(kExchanging);
  *inside = f.inside;
  return f.got;
}

namespace {

void exchange_lane(u32 first, u32 lane) {
  Fiber& f = *fibers[first + lane];
  u32 from = lane, ballot = 0;
  const u32 segment = f.clamp >> 8 & 31, most = (lane & segment) | (f.clamp & 31 & ~segment);
  bool inside = true;
  if (f.how == kBallot) {
    for (u32 k = 0; k < kWarp; ++k) ballot |= fibers[first + k]->given << k;
  } else if (f.how == kUp) {
    inside = lane >= f.by + most;
    from = lane - f.by;
  } else {
    from = f.how == kDown
               ? lane + f.by
               : (f.how == kButterfly ? lane ^ f.by : (lane & segment) | (f.by & 31 & ~segment));
    inside = from <= most;
  }
  f.inside = inside;
  f.got = f.how == kBallot ? ballot : fibers[first + (inside ? from : lane)]->given;
}

// Whether a warp went on; false at the end, too: where its lanes are not all at one place.
bool exchange_warp(u32 first, bool* broken) {
  u32 waiting = 0;
  const Fiber* one = nullptr;
  for (u32 l = 0; l < kWarp; ++l) {
    const Fiber& f = *fibers[first + l];
    if (f.state != kExchanging) continue;
    ++waiting;
    if (one && (f.thread.pc != one->thread.pc || f.lanes != one->lanes)) *broken = true;
    one = &f;
  }
  if (!one) return false;
  if (waiting < kWarp || one->lanes != ~0u) *broken = true;
  if (*broken) {
    found(one->thread, "an exchange that not all lanes of a warp reach");
    return false;
  }
  for (u32 l = 0; l < kWarp; ++l) exchange_lane(first, l);
  for (u32 l = 0; l < kWarp; ++l) fibers[first + l]->state = kRunning;
  return true;
}

// Whether all wait at one barrier, and now go on.
bool pass_barrier(u32 threads, bool* broken) {
  u32 waiting = 0;
  const Fiber* one = nullptr;
  for (u32 i = 0; i < threads; ++i) {
    const Fiber& f = *fibers[i];
    if (f.state != kAtBarrier) continue;
    ++waiting;
    if (one && f.thread.pc != one->thread.pc) *broken = true;
    one = &f;
  }
  if (!one) return false;
  if (waiting < threads) *broken = true;
  if (*broken) {
    found(one->thread, "a barrier that not all threads reach");
    return false;
  }
  for (u32 i = 0; i < threads; ++i) fibers[i]->state = kRunning;
  ++device.interval.now;
  return true;
}

// Until all threads of a block have ended. False where they cannot.
bool run_threads(u32 block, u32 threads) {
  bool broken = false;
  for (u32 turn = block;; ++turn) {
    for (u32 k = 0; k < threads && !stuck; ++k) {  // in an order that is as good as any other
      const u32 i = turn % 3 == 0 ? k : (turn % 3 == 1 ? threads - 1 - k : (k * 77 + 13) % threads);
      if (fibers[i]->state == kRunning) resume(*fibers[i]);
    }
    broken = stuck;
    bool going = false;
    for (u32 first = 0; first < threads && !broken; first += kWarp) {
      going |= exchange_warp(first, &broken);
    }
    if (!going && !broken) going = pass_barrier(threads, &broken);
    if (!going || broken) return !broken;
  }
}

void count_visits(u32 threads) {
  const Kernel& k = *device.kernel;
  const Instruction* at = k.instructions;
  for (u32 b = 0; b < k.blocks; ++b) {
    Line all;
    for (u32 first = 0; first < threads; first += kWarp) {
      u32 sum = 0, most = 0;
      for (u32 i = first; i < first + kWarp && i < threads; ++i) {
        sum += visits[i * k.blocks + b];
        most = std::max(most, visits[i * k.blocks + b]);
      }
      all.instructions += sum;
      all.slots += most;
      device.counts->instructions += u64{sum} * k.block_sizes[b];
      device.counts->slots += u64{most} * k.block_sizes[b];
    }
    for (u32 i = 0; i < k.block_sizes[b] && by_line; ++i, ++at) {
      lines[at->where].instructions += all.instructions;
      lines[at->where].slots += all.slots;
    }
  }
}

void run_block(u32 block, u32 blocks, u32 threads) {
  const Kernel& k = *device.kernel;
  device.shared.assign(k.shared_bytes, 0xA5);
  device.shared_set.assign(k.shared_bytes, 0);
  if (device.shared_shadows.size() < k.shared_bytes) device.shared_shadows.resize(k.shared_bytes);
  if (counted) visits.assign(size_t{threads} * k.blocks, 0);
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  for (u32 i = 0; i < threads; ++i) {
    Fiber& f = *fibers[i];
    if (f.registers.size() < k.register_bytes / 8 + 1) f.registers.resize(k.register_bytes / 8 + 1);
    u32* counting = counted ? &visits[i * k.blocks] : nullptr;
    f.thread = Thread{device.parameters, f.registers.data(), i, threads, block, blocks, counting};
    f.state = kRunning;
  }
  device.interval.of_block = ++device.interval.now;
  if (!run_threads(block, threads)) restart_fibers();
  stuck = false;
  if (counted) count_visits(threads);
}

}  // namespace

void Thread::endless() {
  violation("a loop without end in %s", device.kernel->name);
  stuck = true;
  leave(kDone);
}

void launch(const Kernel& k, u32 blocks, u32 threads, const void* given, int on) {
  static u32 launches = 0;
  ++launches;
  // a copy, as a launch makes: it has the alignment that a GPU promises, and no more
  std::vector<u64> copy(k.parameter_bytes / 8 + 3);
  auto* bytes = reinterpret_cast<uint8_t*>(copy.data());
  bytes += reinterpret_cast<u64>(bytes) % 16 == 0 ? 8 : 0;
  memcpy(bytes, given, k.parameter_bytes);
  device.kernel = &k;
  device.parameters = bytes;
  device.number = on;
  device.counts = &counts[k.name];
  device.interval.of_launch = device.interval.now + 1;
  for (u32 i = 0; i < blocks; ++i) run_block(launches % 2 ? i : blocks - 1 - i, blocks, threads);
}

// ---- for Python --------------------------------------------------------------------------------

PTX_API int ptx_launch(const char* name, u32 blocks, u32 threads, const void* given, int on) {
  for (int i = 0; i < kKernelCount; ++i) {
    if (std::string(kKernels[i].name) != name) continue;
    launch(kKernels[i], blocks, threads, given, on);
    return 1;
  }
  return 0;
}

// The violations since the last call, a line each.
PTX_API const char* ptx_violations() {
  static std::string text;
  text.clear();
  for (const std::string& message : messages) text += message + "\n";
  messages.clear();
  return text.c_str();
}

// Count by line of the source from now on; the instructions and the slots of each since the last
// call.
PTX_API const char* ptx_lines() {
  static std::string text;
  text.clear();
  for (const auto& [line, l] : lines) {
    text += line + " " + std::to_string(l.instructions) + " " + std::to_string(l.slots) + "\n";
  }
  lines.clear();
  counted = by_line = true;
  return text.c_str();
}

// Count instructions from now on; what each kernel has done since the last call, a line each.
PTX_API const char* ptx_counts() {
  static std::string text;
  text.clear();
  for (const auto& [name, c] : counts) {
    text += name;
    for (u64 v : {c.instructions, c.slots, c.loads, c.load_bytes, c.byte_loads, c.stores,
                  c.store_bytes, c.byte_stores, c.shared}) {
      text += " " + std::to_string(v);
    }
    text += '\n';
  }
  counts.clear();
  counted = true;
  return text.c_str();
}

}  // namespace ptx
