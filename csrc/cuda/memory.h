// One job: read and write device memory in the widest pieces that its alignment allows.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "method/value.h"

// Before a loop whose copies would cost more registers than they save time.
#define SASAUG_ROLLED _Pragma("unroll 1")

namespace sasaug {

constexpr int32_t kWarp = 32;

inline namespace SASAUG_VARIANT {

struct alignas(16) Bytes16 {
  uint32_t w[4];
};

// Four neighbours: one access of up to 16 bytes, or two.
template <class T>
struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) Four {
  T of[4];
};

// Of an array in shared memory whose first element is aligned to 16 bytes.
template <class T>
__device__ Four<T> four_of(const T* from, int32_t first) {
  return *reinterpret_cast<const Four<T>*>(from + first);
}

// An address that the compiler takes as it is: it would add up its parts once more for each use.
__device__ inline const char* opaque(const char* address) {
#ifdef __CUDA_ARCH__
  asm("" : "+l"(address));
#endif
  return address;
}

// A number that the compiler does not know: one that it knows it would add by an instruction more.
__device__ inline uint32_t opaque(uint32_t number) {
#ifdef __CUDA_ARCH__
  asm("" : "+r"(number));
#endif
  return number;
}

// A number that is worked out where it is needed. The compiler would do so once, before the loop
// over a block's tiles: for a single tile, and in a register that all phases then lack.
__device__ inline uint32_t here(uint32_t number) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(number));
#endif
  return number;
}

__device__ inline uint64_t bits_of(const void* address) {
  return reinterpret_cast<uint64_t>(address);
}
__device__ inline uint64_t bits_of(int64_t stride) { return static_cast<uint64_t>(stride); }

// Arrays whose addresses are no multiples of their type's size are rare, but none may fault.
// Volatile, or nvcc would merge the branches and read every array byte by byte.
template <class T>
__device__ T load(const char* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const T*>(from);
  char bytes[sizeof(T)];
  for (size_t k = 0; k < sizeof(T); ++k) bytes[k] = static_cast<const volatile char*>(from)[k];
  T value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

template <class T>
__device__ void store(char* to, T value, bool aligned) {
  if (aligned) {
    *reinterpret_cast<T*>(to) = value;
    return;
  }
  char bytes[sizeof(T)];
  memcpy(bytes, &value, sizeof value);
  for (size_t k = 0; k < sizeof(T); ++k) static_cast<volatile char*>(to)[k] = bytes[k];
}

// Calls f with an unsigned integer of a pixel's size.
template <class F>
__device__ void with_bits(PixelType type, F&& f) {
  const int32_t bytes = pixel_bytes(type);
  if (bytes == 1) return f(uint8_t{});
  if (bytes == 2) return f(uint16_t{});
  f(uint32_t{});
}

// The largest unit of 16, 4, 2 or 1 bytes that all of these are multiples of.
__device__ inline int32_t common_unit(uint64_t all) {
  return all % 16 == 0 ? 16 : (all % 4 == 0 ? 4 : (all % 2 == 0 ? 2 : 1));
}

// Calls f with an unsigned integer of `bytes`, or with Bytes16.
template <class F>
__device__ void with_unit(int32_t bytes, F&& f) {
  if (bytes == 16) return f(Bytes16{});
  if (bytes == 4) return f(uint32_t{});
  if (bytes == 2) return f(uint16_t{});
  f(uint8_t{});
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
