// One job: the memory of a played GPU, and the checks of every access to it.
//
// Each byte remembers who touched it last, and in which interval between barriers. Two threads that
// touch it in one interval, one of them writing, race; so do two blocks of a launch.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "machine.h"

namespace ptx {

// Intervals are counted on from block to block and from launch to launch: their numbers tell all.
struct Interval {
  u32 now = 0, of_block = 0, of_launch = 0;  // the last two: the first of each
};

struct Touch {
  u32 interval = 0, thread = 0;
};
struct Shadow {
  Touch written, read;
  bool read_by_several = false, atomic = false;
};

// An array's memory: a flag for each byte, which the side of Python sets.
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

struct Counts {
  u64 instructions, slots, loads, load_bytes, byte_loads, stores, store_bytes, byte_stores, shared;
};

// What the running launch sees.
struct Device {
  const Kernel* kernel;
  const uint8_t* parameters;
  int number;
  Interval interval;
  std::vector<uint8_t> shared, shared_set;
  std::vector<Shadow> shared_shadows;
  Counts* counts;
};
extern Device device;

// One line for each place in the source.
void found(const Thread& t, const char* what);

}  // namespace ptx
