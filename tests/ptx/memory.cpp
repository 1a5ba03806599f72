// One job: see memory.h.
// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#define PTX_API extern "C" __attribute__((visibility("default")))

namespace ptx {

Device device;

namespace {

std::map<u64, Region> regions;  // by their first byte
Region* recent = nullptr;
bool atomic_now = false;

enum Flags : uint8_t { kReadable = 1, kWritable = 2, kWritten = 4 };

// ---- races -------------------------------------------------------------------------------------

// Whether nothing orders an earlier touch and this thread's.
bool apart(const Touch& other, const Thread& t, Space space) {
  const Interval& i = device.interval;
  if (other.interval == i.now) return other.thread != t.tid;
  return space == Space::global && other.interval >= i.of_launch && other.interval < i.of_block;
}

void note_read(const Thread& t, Shadow& s, Space space) {
  if (apart(s.written, t, space) && !s.atomic) found(t, "race: read what another thread writes");
  const u32 now = device.interval.now;
  s.read_by_several = apart(s.read, t, space) || (s.read_by_several && s.read.interval == now);
  s.read = {now, t.tid};
}

void note_write(const Thread& t, Shadow& s, Space space, bool atomic) {
  const u32 now = device.interval.now;
  if (apart(s.written, t, space) && !(atomic && s.atomic)) {
    found(t, "race: written by two threads");
  } else if (!atomic &&
             (apart(s.read, t, space) || (s.read_by_several && s.read.interval == now))) {
    found(t, "race: written while another thread reads");
  }
  s.written = {now, t.tid};
  s.atomic = atomic;
}

// ---- memory ------------------------------------------------------------------------------------

bool in_window(u64 address, u64 window) {
  return address >= window && address < window + kWindowSize;
}

bool is_parameter(u64 address) {
  const u64 first = reinterpret_cast<u64>(device.parameters);
  return address >= first && address < first + device.kernel->parameter_bytes;
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
  if (fine && r->device != device.number) {
    found(t, "memory of another device");
  } else if (!fine) {
    found(t, outside);
  }
  return fine ? r : nullptr;
}

bool in_shared(const Thread& t, u64 at, u32 size) {
  if (at + size <= device.shared.size()) return true;
  found(t, "outside shared memory");
  return false;
}

}  // namespace

void Thread::read(Space space, u64 address, void* to, u32 size) {
  if (address % size) found(*this, "misaligned");
  memset(to, 0xEE, size);
  if (space == Space::generic && in_window(address, kSharedWindow)) {
    space = Space::shared;
    address -= kSharedWindow;
  } else if (space == Space::generic && is_parameter(address)) {
    space = Space::param;
    address -= reinterpret_cast<u64>(device.parameters);
  }
  if (space == Space::param) {
    if (address + size > device.kernel->parameter_bytes)
      return found(*this, "outside the parameters");
    memcpy(to, device.parameters + address, size);
  } else if (space == Space::shared) {
    device.counts->shared += !atomic_now;
    if (!in_shared(*this, address, size)) return;
    for (u64 k = address; k < address + size; ++k) {
      if (!device.shared_set[k]) return found(*this, "shared memory read that is not set");
      if (!atomic_now) note_read(*this, device.shared_shadows[k], Space::shared);
    }
    memcpy(to, device.shared.data() + address, size);
  } else {
    ++device.counts->loads;
    device.counts->load_bytes += size;
    device.counts->byte_loads += size == 1;
    Region* r = allowed(*this, address, size, kReadable | kWritten,
                        "read of no array's element, or of one that is not written yet");
    if (!r) return;
    for (u32 k = 0; k < size && !r->shadows.empty(); ++k) {
      note_read(*this, r->shadow(address - r->first + k), Space::global);
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
    ++device.counts->shared;
    if (!in_shared(*this, address, size)) return;
    for (u64 k = address; k < address + size; ++k) {
      note_write(*this, device.shared_shadows[k], Space::shared, atomic_now);
      device.shared_set[k] = 1;
    }
    memcpy(device.shared.data() + address, from, size);
  } else {
    ++device.counts->stores;
    device.counts->store_bytes += size;
    device.counts->byte_stores += size == 1;
    Region* r = allowed(*this, address, size, kWritable, "write to no element of an output");
    if (!r) return;
    if (r->shadows.empty()) r->shadows.resize((r->bytes + Region::kPage - 1) / Region::kPage);
    for (u64 k = address - r->first; k < address - r->first + size; ++k) {
      note_write(*this, r->shadow(k), Space::global, false);
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

// ---- for Python --------------------------------------------------------------------------------

PTX_API void ptx_add_memory(u64 first, u64 bytes, uint8_t* flags, int on) {
  regions[first] = Region{first, bytes, flags, on, {}};
  recent = nullptr;
}
PTX_API void ptx_drop_memory(u64 first) {
  regions.erase(first);
  recent = nullptr;
}

}  // namespace ptx
