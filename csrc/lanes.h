// One job: the two steps that compilers do not turn into good CPU vectors by themselves.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "philox.h"

#if defined(__SSE2__) && defined(__GNUC__)
#include <immintrin.h>
#define SASAUG_LANES 1
#endif

namespace sasaug {
inline namespace SASAUG_VARIANT {

#ifdef SASAUG_LANES

#if defined(__AVX512F__)
constexpr int kWide = 8;
typedef uint64_t Wide __attribute__((vector_size(64)));
inline Wide multiply_low_halves(Wide a, Wide b) {
  return (Wide)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
constexpr int kWide = 4;
typedef uint64_t Wide __attribute__((vector_size(32)));
inline Wide multiply_low_halves(Wide a, Wide b) {
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
#else
constexpr int kWide = 2;
typedef uint64_t Wide __attribute__((vector_size(16)));
inline Wide multiply_low_halves(Wide a, Wide b) {
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
}
#endif

inline Wide lane_numbers() {
  uint64_t numbers[kWide];
  for (int i = 0; i < kWide; ++i) numbers[i] = static_cast<uint64_t>(i);
  Wide lanes;
  memcpy(&lanes, numbers, sizeof lanes);
  return lanes;
}

inline void narrow(Wide lanes, uint32_t* words) {
  typedef uint32_t Narrow __attribute__((vector_size(4 * kWide)));
  const Narrow low = __builtin_convertvector(lanes, Narrow);
  memcpy(words, &low, sizeof low);
}

// philox4x32 for many neighbouring blocks: with every word in a 64-bit lane the 32 x 32 -> 64 bit
// multiply is one instruction, and nothing has to be shuffled.
// words[j][i] = word j of block c.w[0] + i. The upper halves of the lanes hold leftovers of the
// products: the multiply ignores them, the final narrowing drops them.
template <int N>
inline void philox_lanes(Words c, uint64_t seed, uint32_t (*words)[N]) {
  constexpr int kTogether = kWide == 8 ? 4 : 2;  // independent chains hide the multiply's latency
  static_assert(N % (kWide * kTogether) == 0, "whole groups of vectors");
  const Wide m0 = Wide{} + kPhiloxM0, m1 = Wide{} + kPhiloxM1;
  for (int start = 0; start < N; start += kWide * kTogether) {
    Wide w0[kTogether], w1[kTogether], w2[kTogether], w3[kTogether];
    for (int t = 0; t < kTogether; ++t) {
      w0[t] = lane_numbers() + c.w[0] + static_cast<uint32_t>(start + t * kWide);
      w1[t] = Wide{} + c.w[1];
      w2[t] = Wide{} + c.w[2];
      w3[t] = Wide{} + c.w[3];
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      for (int t = 0; t < kTogether; ++t) {
        const Wide p0 = multiply_low_halves(w0[t], m0), p1 = multiply_low_halves(w2[t], m1);
        w0[t] = (p1 >> 32) ^ w1[t] ^ uint64_t { k0 };
        w1[t] = p1;
        w2[t] = (p0 >> 32) ^ w3[t] ^ uint64_t { k1 };
        w3[t] = p0;
      }
      k0 += kPhiloxW0;
      k1 += kPhiloxW1;
    }
    for (int t = 0; t < kTogether; ++t) {
      narrow(w0[t], words[0] + start + t * kWide);
      narrow(w1[t], words[1] + start + t * kWide);
      narrow(w2[t], words[2] + start + t * kWide);
      narrow(w3[t], words[3] + start + t * kWide);
    }
  }
}

#else

template <int N>
inline void philox_lanes(Words c, uint64_t seed, uint32_t (*words)[N]) {
  for (int i = 0; i < N; ++i) {
    const Words r =
        philox4x32(Words{{c.w[0] + static_cast<uint32_t>(i), c.w[1], c.w[2], c.w[3]}}, seed);
    for (int j = 0; j < 4; ++j) words[j][i] = r.w[j];
  }
}

#endif

// The four values that a band's rows have in one column, and those of two columns. Without types
// for them the compiler vectorises along the columns instead, and gathers.
#ifdef SASAUG_LANES
typedef float Four __attribute__((vector_size(16)));
typedef float Eight __attribute__((vector_size(32)));
inline Four four(float v) { return Four{v, v, v, v}; }
inline Eight both(Four a, Four b) { return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7); }
template <class V>
inline V where_positive(V w, V then, V otherwise) {
  return w > 0.0f ? then : otherwise;
}
#else
template <int N>
struct Floats {
  float v[N];
};
using Four = Floats<4>;
using Eight = Floats<8>;
template <int N>
inline Floats<N> operator+(Floats<N> a, Floats<N> b) {
  for (int r = 0; r < N; ++r) a.v[r] = a.v[r] + b.v[r];
  return a;
}
template <int N>
inline Floats<N> operator-(Floats<N> a, Floats<N> b) {
  for (int r = 0; r < N; ++r) a.v[r] = a.v[r] - b.v[r];
  return a;
}
template <int N>
inline Floats<N> operator*(Floats<N> a, Floats<N> b) {
  for (int r = 0; r < N; ++r) a.v[r] = a.v[r] * b.v[r];
  return a;
}
inline Four four(float v) { return Four{{v, v, v, v}}; }
inline Eight both(Four a, Four b) {
  Eight v;
  memcpy(v.v, a.v, sizeof a);
  memcpy(v.v + 4, b.v, sizeof b);
  return v;
}
template <int N>
inline Floats<N> where_positive(Floats<N> w, Floats<N> then, Floats<N> otherwise) {
  for (int r = 0; r < N; ++r) then.v[r] = w.v[r] > 0.0f ? then.v[r] : otherwise.v[r];
  return then;
}
#endif
inline Eight pair_at(const Four* from) {
  Eight v;
  memcpy(&v, from, sizeof v);
  return v;
}
inline void put_pair(Eight v, Four* to) { memcpy(to, &v, sizeof v); }

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
