// One job: what a thread of a translated kernel calls beside arithmetic, and what runs a grid.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "operations.h"

namespace ptx {

// Windows of the generic address space: what is in neither is global memory, at its own address.
constexpr u64 kSharedWindow = 0x1000000, kWindowSize = 0x1000000;

struct Instruction {
  const char* text;   // the opcode
  const char* where;  // file and line of the kernel's source
};

struct Thread;

struct Kernel {
  const char* name;
  void (*run)(Thread&);
  u32 parameter_bytes, shared_bytes, register_bytes;
  u32 threads;  // as __launch_bounds__ says
  const Instruction* instructions;
  const u32* block_sizes;  // instructions of each basic block
  u32 blocks;
};

enum class Space { global, shared, param, generic };

struct Thread {
  const uint8_t* parameters;
  void* registers;
  u32 tid, ntid, ctaid, nctaid;
  u32* visits;  // of each basic block; null: they are not counted
  u32 steps = 0;
  u32 pc = 0;  // the instruction that touches memory or waits

  void enter(u32 block) {
    if (visits) ++visits[block];
    if (++steps >> 24) endless();
  }
  void endless();
  void barrier(u32 pc);
  u32 exchange(u32 pc, u32 how, u32 given, u32 by, u32 clamp, u32 lanes, bool* inside);

  void read(Space space, u64 address, void* to, u32 bytes);
  void write(Space space, u64 address, const void* from, u32 bytes);
  void touch_atomically(Space space, u64 address, u32 bytes);
};

// A kernel's code, block after block: each returns the number of the next.
constexpr u32 kEnd = ~0u;

template <class Registers, size_t kBlocks>
void run(Thread& t, u32 (*const (&code)[kBlocks])(Thread&, Registers&)) {
  Registers& r = *static_cast<Registers*>(t.registers);
  for (u32 block = 0; block < kBlocks; block = code[block](t, r)) t.enter(block);
}

// ---- memory ------------------------------------------------------------------------------------

template <class T, int N>
struct Vector {
  T of[N];
};

template <class T, int N, class Address>
Vector<T, N> load(Thread& t, u32 pc, Space space, const Address& base, s64 offset) {
  Vector<T, N> v;
  t.pc = pc;
  t.read(space, static_cast<u64>(base) + offset, v.of, sizeof v);
  return v;
}

template <class T, int N, class Address>
void store(Thread& t, u32 pc, Space space, const Address& base, s64 offset, Vector<T, N> v) {
  t.pc = pc;
  t.write(space, static_cast<u64>(base) + offset, v.of, sizeof v);
}

template <class T, class Address>
T atom_add(Thread& t, u32 pc, Space space, const Address& base, s64 offset, T more) {
  t.pc = pc;
  const u64 address = static_cast<u64>(base) + offset;
  t.touch_atomically(space, address, sizeof(T));
  T before;
  t.read(space, address, &before, sizeof before);
  const T after = add<T>(before, more);
  t.write(space, address, &after, sizeof after);
  return before;
}

// ---- registers in groups -----------------------------------------------------------------------

template <class Whole, class Part, class... More>
void unpack(Whole whole, Register<Part>& first, More&... rest) {
  first = static_cast<Part>(whole);
  if constexpr (sizeof...(rest) > 0) unpack(static_cast<Whole>(whole >> 8 * sizeof(Part)), rest...);
}

template <class Whole, class Part>
Whole pack(std::initializer_list<Part> parts) {
  Whole whole = 0;
  int at = 0;
  for (Part part : parts) whole |= static_cast<Whole>(part) << 8 * sizeof(Part) * at++;
  return whole;
}

// ---- warps -------------------------------------------------------------------------------------

enum Exchange : u32 { kUp, kDown, kButterfly, kIndex, kBallot };

// ---- for the runtime: a grid, one block after another ------------------------------------------

void launch(const Kernel& kernel, u32 blocks, u32 threads, const void* parameters, int device);
void violation(const char* format, ...) __attribute__((format(printf, 1, 2)));

extern const Kernel kKernels[];
extern const int kKernelCount;

}  // namespace ptx
