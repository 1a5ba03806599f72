// One job: run a grid of threads of a translated kernel on the host, and check all that they touch.
//
// A thread is a fiber: it runs until a barrier, an exchange within its warp, or its end. Each byte
// of memory remembers who touched it last, and in which interval between barriers: two threads that
// touch it in one interval, one of them writing, race.
// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define PTX_API extern "C" __attribute__((visibility("default")))

namespace ptx {
namespace {

constexpr u32 kWarp = 32;
constexpr u32 kMostMessages = 20;

std::vector<std::string> messages;

// ---- what a byte remembers ---------------------------------------------------------------------

struct Touch {
  u32 launch = 0, block = 0, interval = 0, thread = 0;
};
struct Shadow {
  Touch written, read;
  bool read_by_several = false, atomic = false;
};

enum Flags : uint8_t { kReadable = 1, kWritable = 2, kWritten = 4 };

// Memory of a device: a flag for each byte, which the side of Python sets.
struct Region {
  static constexpr u64 kPage = 4096;

  u64 first, bytes;
  uint8_t* flags;
  int device;
  // in pages, made when they are touched: a view's elements may be gigabytes apart
  std::vector<std::unique_ptr<Shadow[]>> shadows;  // empty until the first write

  Shadow& shadow(u64 at) {
    auto& page = shadows[at / kPage];
    if (!page) page = std::make_unique<Shadow[]>(kPage);
    return page[at % kPage];
  }

  bool holds(u64 address, u32 size) const {
    return address >= first && address + size <= first + bytes;
  }
};
std::map<u64, Region> regions;  // by their first byte

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
};
std::vector<std::unique_ptr<Fiber>> fibers;
jmp_buf scheduler;
Fiber* current;

const Kernel* kernel;
const uint8_t* parameters;
int device;
u32 launches = 0, interval = 0;
bool stuck = false;  // a thread of the block
std::vector<uint8_t> shared_memory, shared_set;
std::vector<Shadow> shared_shadows;
Region* recent = nullptr;

struct Counts {
  u64 instructions, slots, loads, load_bytes, byte_loads, stores, store_bytes, byte_stores, shared;
};
std::map<std::string, Counts> counts;
Counts* counting;
std::map<std::string, u64> lines;  // instructions by line of the source

void leave(State state) {
  current->state = state;
  if (!_setjmp(current->at)) _longjmp(scheduler, 1);
}

void fiber_main() {
  for (;;) {
    try {
      kernel->run(current->thread);
    } catch (const std::exception& error) {  // nothing above a fiber could catch it
      violation("the host stopped %s: %s", kernel->name, error.what());
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

// One line for each place in the source.
void found(const Thread& t, const char* what) {
  const Instruction& at = kernel->instructions[t.pc];
  violation("%s: %s of %s", what, at.text, at.where);
}

// ---- races -------------------------------------------------------------------------------------

bool apart(const Touch& other, const Thread& t) {  // nothing orders it and this thread's doing
  if (other.launch != launches || other.launch == 0) return false;
  if (other.block != t.ctaid) return true;
  return other.interval == interval && other.thread != t.tid;
}

void note_read(const Thread& t, Shadow& s) {
  if (apart(s.written, t) && !s.atomic) found(t, "race: read what another thread writes");
  const Touch now{launches, t.ctaid, interval, t.tid};
  s.read_by_several = apart(s.read, t) || (s.read_by_several && s.read.interval == interval &&
                                           s.read.launch == launches);
  s.read = now;
}

void note_write(const Thread& t, Shadow& s, bool atomic) {
  if (apart(s.written, t) && !(atomic && s.atomic)) {
    found(t, "race: written by two threads");
  } else if (!atomic && (apart(s.read, t) || (s.read_by_several && s.read.launch == launches &&
                                              s.read.interval == interval))) {
    found(t, "race: written while another thread reads");
  }
  s.written = {launches, t.ctaid, interval, t.tid};
  s.atomic = atomic;
}

// ---- memory ------------------------------------------------------------------------------------

bool in_window(u64 address, u64 window) {
  return address >= window && address < window + kWindowSize;
}

bool is_parameter(u64 address) {
  const u64 first = reinterpret_cast<u64>(parameters);
  return address >= first && address < first + kernel->parameter_bytes;
}

Region* region_of(u64 address, u32 size) {
  if (recent && recent->holds(address, size)) return recent;
  auto after = regions.upper_bound(address);
  if (after == regions.begin()) return nullptr;
  Region& r = std::prev(after)->second;
  return r.holds(address, size) ? recent = &r : nullptr;
}

Region* allowed(const Thread& t, u64 address, u32 size, uint8_t flags, const char* outside) {
  Region* r = region_of(address, size);
  bool fine = r != nullptr;
  for (u32 k = 0; fine && k < size; ++k) fine = r->flags[address - r->first + k] & flags;
  if (fine && r->device != device) {
    found(t, "memory of another device");
  } else if (!fine) {
    found(t, outside);
  }
  return fine ? r : nullptr;
}

bool in_shared(const Thread& t, u64 at, u32 size) {
  if (at + size <= shared_memory.size()) return true;
  found(t, "outside shared memory");
  return false;
}

bool atomic_now = false;
bool by_line = false;

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

void Thread::read(Space space, u64 address, void* to, u32 size) {
  if (address % size) found(*this, "misaligned");
  memset(to, 0xEE, size);
  if (space == Space::generic && in_window(address, kSharedWindow)) {
    space = Space::shared;
    address -= kSharedWindow;
  } else if (space == Space::generic && is_parameter(address)) {
    space = Space::param;
    address -= reinterpret_cast<u64>(parameters);
  }
  if (space == Space::param) {
    if (address + size > kernel->parameter_bytes) return found(*this, "outside the parameters");
    memcpy(to, parameters + address, size);
  } else if (space == Space::shared) {
    counting->shared += !atomic_now;
    if (!in_shared(*this, address, size)) return;
    for (u64 k = address; k < address + size; ++k) {
      if (!shared_set[k]) return found(*this, "shared memory read that is not set");
      if (!atomic_now) note_read(*this, shared_shadows[k]);
    }
    memcpy(to, shared_memory.data() + address, size);
  } else {
    ++counting->loads;
    counting->load_bytes += size;
    counting->byte_loads += size == 1;
    Region* r = allowed(*this, address, size, kReadable | kWritten,
                        "read of no array's element, or of one that is not written yet");
    if (!r) return;
    for (u32 k = 0; k < size && !r->shadows.empty(); ++k) {
      note_read(*this, r->shadow(address - r->first + k));
    }
    memcpy(to, reinterpret_cast<const void*>(address), size);
  }
}

void Thread::write(Space space, u64 address, const void* from, u32 size) {
  if (address % size) found(*this, "misaligned");
  if (space == Space::generic && in_window(address, kSharedWindow)) {
    space = Space::shared;
    address -= kSharedWindow;
  }
  if (space == Space::shared) {
    ++counting->shared;
    if (!in_shared(*this, address, size)) return;
    for (u64 k = address; k < address + size; ++k) {
      note_write(*this, shared_shadows[k], atomic_now);
      shared_set[k] = 1;
    }
    memcpy(shared_memory.data() + address, from, size);
  } else {
    ++counting->stores;
    counting->store_bytes += size;
    counting->byte_stores += size == 1;
    Region* r = allowed(*this, address, size, kWritable, "write to no element of an output");
    if (!r) return;
    if (r->shadows.empty()) r->shadows.resize((r->bytes + Region::kPage - 1) / Region::kPage);
    for (u64 k = address - r->first; k < address - r->first + size; ++k) {
      note_write(*this, r->shadow(k), false);
      r->flags[k] |= kWritten;
    }
    memcpy(reinterpret_cast<void*>(address), from, size);
  }
  atomic_now = false;
}

// The read and the write that follow are one.
void Thread::touch_atomically(Space space, u64, u32) {
  if (space != Space::shared) violation("an atomic outside shared memory is not known here");
  atomic_now = true;
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
  ++interval;
  return true;
}

void run_block(u32 block, u32 blocks, u32 threads) {
  shared_memory.assign(kernel->shared_bytes, 0xA5);
  shared_set.assign(kernel->shared_bytes, 0);
  shared_shadows.assign(kernel->shared_bytes, Shadow{});
  std::vector<u32> visits(size_t{threads} * kernel->blocks);
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  for (u32 i = 0; i < threads; ++i) {
    fibers[i]->thread =
        Thread{parameters, i, threads, block, blocks, &visits[i * kernel->blocks], 0};
    fibers[i]->state = kRunning;
  }
  ++interval;
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
    if (!going || broken) break;
  }
  if (broken) restart_fibers();
  stuck = false;
  for (u32 b = 0; b < kernel->blocks; ++b) {
    for (u32 first = 0; first < threads; first += kWarp) {
      u32 sum = 0, most = 0;
      for (u32 i = first; i < first + kWarp && i < threads; ++i) {
        sum += visits[i * kernel->blocks + b];
        most = std::max(most, visits[i * kernel->blocks + b]);
      }
      counting->instructions += u64{sum} * kernel->block_sizes[b];
      counting->slots += u64{most} * kernel->block_sizes[b];
    }
  }
  if (!by_line) return;
  const Instruction* at = kernel->instructions;
  for (u32 b = 0; b < kernel->blocks; ++b) {
    u64 sum = 0;
    for (u32 i = 0; i < threads; ++i) sum += visits[i * kernel->blocks + b];
    for (u32 k = 0; k < kernel->block_sizes[b]; ++k) lines[at++->where] += sum;
  }
}

}  // namespace

void Thread::endless() {
  violation("a loop without end in %s", kernel->name);
  stuck = true;
  leave(kDone);
}

void launch(const Kernel& k, u32 blocks, u32 threads, const void* given, int on) {
  ++launches;
  kernel = &k;
  device = on;
  counting = &counts[k.name];
  // a copy, as a launch makes: it has the alignment that a GPU promises, and no more
  std::vector<u64> copy(k.parameter_bytes / 8 + 3);
  auto* bytes = reinterpret_cast<uint8_t*>(copy.data());
  bytes += reinterpret_cast<u64>(bytes) % 16 == 0 ? 8 : 0;
  memcpy(bytes, given, k.parameter_bytes);
  parameters = bytes;
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

PTX_API void ptx_add_memory(u64 first, u64 bytes, uint8_t* flags, int on) {
  regions[first] = Region{first, bytes, flags, on, {}};
  recent = nullptr;
}
PTX_API void ptx_drop_memory(u64 first) {
  regions.erase(first);
  recent = nullptr;
}

// The violations since the last call, a line each.
PTX_API const char* ptx_violations() {
  static std::string text;
  text.clear();
  for (const std::string& message : messages) text += message + "\n";
  messages.clear();
  return text.c_str();
}

// Count by line of the source from now on; the instructions of each since the last call.
PTX_API const char* ptx_lines() {
  static std::string text;
  text.clear();
  for (const auto& [line, count] : lines) text += line + " " + std::to_string(count) + "\n";
  lines.clear();
  by_line = true;
  return text.c_str();
}

// What each kernel has done since the last call: its name and numbers, a line each.
PTX_API const char* ptx_counts() {
  static std::string text;
  text.clear();
  for (const auto& [name, c] : counts) {
    text += name;
    for (u64 v : {c.instructions, c.slots, c.loads, c.load_bytes, c.byte_loads, c.stores,
                  c.store_bytes, c.byte_stores, c.shared}) {
      text += " " + std::to_string(v);
    }
    text += "\n";
  }
  counts.clear();
  return text.c_str();
}

}  // namespace ptx
