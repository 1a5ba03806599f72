// One job: the steps that compilers do not turn into good CPU vectors by themselves.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "method/pixel.h"

// GCC has the shuffles from 12 on; the plain loops give the same bits without
#if defined(__SSE2__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#include <immintrin.h>
#define SASAUG_VECTORS 1
#endif
#endif

namespace sasaug {
inline namespace SASAUG_VARIANT {

constexpr int kColumns = 8;  // neighbours that get noise together, in each of a band's four rows
constexpr int kLanes = 4 * kColumns;
constexpr int kMostGroups = 4;  // of such columns, drawn together

#ifdef SASAUG_VECTORS

#if defined(__AVX2__)
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

inline Wide in_all_lanes(uint32_t word) { return Wide{} + uint64_t{word}; }

// Numbers of the columns in a pair of vectors: so placed that the narrowing puts them in order.
struct LaneNumbers {
  Wide a, b;
};
inline LaneNumbers lane_numbers() {
#if defined(__AVX2__)
  return {Wide{0, 1, 4, 5}, Wide{2, 3, 6, 7}};
#else
  return {Wide{0, 1}, Wide{2, 3}};
#endif
}

// One store of a whole vector: two halves would have to be waited for when they are read as one.
inline void store_low_halves(Wide a, Wide b, uint32_t* words) {
  typedef uint32_t Halves __attribute__((vector_size(sizeof(Wide))));
#if defined(__AVX2__)
  const Halves low = __builtin_shufflevector((Halves)a, (Halves)b, 0, 2, 8, 10, 4, 6, 12, 14);
#else
  const Halves low = __builtin_shufflevector((Halves)a, (Halves)b, 0, 2, 4, 6);
#endif
  memcpy(words, &low, sizeof low);
}

// The keys of the ten rounds, in every lane.
struct RoundKeys {
  Wide k0[10], k1[10];

  explicit RoundKeys(uint64_t seed) {
    uint32_t low = static_cast<uint32_t>(seed), high = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      k0[round] = in_all_lanes(low);
      k1[round] = in_all_lanes(high);
      low += kPhiloxW0;
      high += kPhiloxW1;
    }
  }
};

// philox4x32 for many neighbouring blocks: with every word in a 64-bit lane the 32 x 32 -> 64 bit
// multiply is one instruction, and nothing has to be shuffled.
// word[(i / 8 * 4 + j) * 8 + i % 8] = word j of block c.w[0] + i, for `groups` of eight. The upper
// halves of the lanes hold leftovers of the products: the multiply ignores them, the final
// narrowing drops them.
inline void philox_lanes(Words c, const RoundKeys& keys, int32_t groups, uint32_t* words) {
  const Wide m0 = in_all_lanes(kPhiloxM0), m1 = in_all_lanes(kPhiloxM1);
  const Wide *k0 = keys.k0, *k1 = keys.k1;
  // blocks differ in word 0 alone: half of rounds 0 and 1 is the same in every lane
  const Wide same1 = multiply_low_halves(in_all_lanes(c.w[2]), m1);
  const Wide same0 = multiply_low_halves((same1 >> 32) ^ in_all_lanes(c.w[1]) ^ k0[0], m0);
  const Wide round0 = in_all_lanes(c.w[3]) ^ k1[0];
  const Wide round1_w0 = same1 ^ k0[1], round1_w2 = (same0 >> 32) ^ k1[1], round2 = same0 ^ k1[2];
  const LaneNumbers lanes = lane_numbers();
  Wide block[2] = {lanes.a + in_all_lanes(c.w[0]), lanes.b + in_all_lanes(c.w[0])};
  for (int32_t start = 0; start < groups * kColumns; start += 2 * kWide) {
    Wide w0[2], w1[2], w2[2], w3[2];
    for (int t = 0; t < 2; ++t) {
      w3[t] = multiply_low_halves(block[t], m0);
      w1[t] = multiply_low_halves((w3[t] >> 32) ^ round0, m1);
      w0[t] = (w1[t] >> 32) ^ round1_w0;
      w2[t] = w3[t] ^ round1_w2;
      block[t] += uint64_t{2 * kWide};
    }
    for (int round = 2; round < 10; ++round) {
      for (int t = 0; t < 2; ++t) {
        const Wide p0 = multiply_low_halves(w0[t], m0), p1 = multiply_low_halves(w2[t], m1);
        w0[t] = (p1 >> 32) ^ w1[t] ^ k0[round];
        w1[t] = p1;
        w2[t] = (p0 >> 32) ^ (round == 2 ? round2 : w3[t] ^ k1[round]);
        w3[t] = p0;
      }
    }
    uint32_t* to = words + start / kColumns * kLanes + start % kColumns;
    store_low_halves(w0[0], w0[1], to);
    store_low_halves(w1[0], w1[1], to + kColumns);
    store_low_halves(w2[0], w2[1], to + 2 * kColumns);
    store_low_halves(w3[0], w3[1], to + 3 * kColumns);
  }
}

#else

struct RoundKeys {
  uint64_t seed;

  explicit RoundKeys(uint64_t given_seed) : seed(given_seed) {}
};

inline void philox_lanes(Words c, RoundKeys keys, int32_t groups, uint32_t* words) {
  for (int32_t i = 0; i < groups * kColumns; ++i) {
    const Words r =
        philox4x32(Words{{c.w[0] + static_cast<uint32_t>(i), c.w[1], c.w[2], c.w[3]}}, keys.seed);
    uint32_t* to = words + i / kColumns * kLanes + i % kColumns;
    for (int j = 0; j < 4; ++j) to[j * kColumns] = r.w[j];
  }
}

#endif

// Eight values of each of four rows, one row after the other.
template <class T>
inline void four_eights(const T* r0, const T* r1, const T* r2, const T* r3, T* to) {
#if defined(SASAUG_VECTORS)
  if constexpr (sizeof(T) == 1) {  // one store: it is read as one
    typedef uint64_t Eights __attribute__((vector_size(32)));
    uint64_t a, b, c, d;
    memcpy(&a, r0, 8);
    memcpy(&b, r1, 8);
    memcpy(&c, r2, 8);
    memcpy(&d, r3, 8);
    const Eights all{a, b, c, d};
    memcpy(to, &all, sizeof all);
    return;
  }
#endif
  memcpy(static_cast<void*>(to), r0, 8 * sizeof(T));
  memcpy(static_cast<void*>(to + 8), r1, 8 * sizeof(T));
  memcpy(static_cast<void*>(to + 16), r2, 8 * sizeof(T));
  memcpy(static_cast<void*>(to + 24), r3, 8 * sizeof(T));
}

#ifdef SASAUG_VECTORS
// 16 bytes of each of four rows to 16 groups of four; compilers find shuffles for it that cost
// more.
inline void interleave_16(const uint8_t* r0, const uint8_t* r1, const uint8_t* r2,
                          const uint8_t* r3, uint8_t* to) {
  typedef uint8_t Bytes __attribute__((vector_size(16)));
  typedef uint16_t Pairs __attribute__((vector_size(16)));
  Bytes a, b, c, d;
  memcpy(&a, r0, 16);
  memcpy(&b, r1, 16);
  memcpy(&c, r2, 16);
  memcpy(&d, r3, 16);
#define SASAUG_LOW_BYTES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SASAUG_HIGH_BYTES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
  const Pairs ab0 = (Pairs)__builtin_shufflevector(a, b, SASAUG_LOW_BYTES);
  const Pairs ab1 = (Pairs)__builtin_shufflevector(a, b, SASAUG_HIGH_BYTES);
  const Pairs cd0 = (Pairs)__builtin_shufflevector(c, d, SASAUG_LOW_BYTES);
  const Pairs cd1 = (Pairs)__builtin_shufflevector(c, d, SASAUG_HIGH_BYTES);
#undef SASAUG_LOW_BYTES
#undef SASAUG_HIGH_BYTES
  // four stores: as one array the compiler builds it on the stack and waits to read it back wider
  const Pairs out0 = __builtin_shufflevector(ab0, cd0, 0, 8, 1, 9, 2, 10, 3, 11);
  const Pairs out1 = __builtin_shufflevector(ab0, cd0, 4, 12, 5, 13, 6, 14, 7, 15);
  const Pairs out2 = __builtin_shufflevector(ab1, cd1, 0, 8, 1, 9, 2, 10, 3, 11);
  const Pairs out3 = __builtin_shufflevector(ab1, cd1, 4, 12, 5, 13, 6, 14, 7, 15);
  memcpy(to, &out0, 16);
  memcpy(to + 16, &out1, 16);
  memcpy(to + 32, &out2, 16);
  memcpy(to + 48, &out3, 16);
}
#endif

// The four values that a band's rows have in one column, and those of two columns. Without types
// for them the compiler vectorises along the columns instead, and gathers.
#ifdef SASAUG_VECTORS
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

#ifdef SASAUG_VECTORS
// As many neighbouring values as a vector holds, as floats. Compilers turn bytes into floats
// through 16 bits, with twice the shuffles.
#if defined(__AVX2__)
constexpr int kValues = 8;
typedef Eight Values;
inline Values load_values(const uint8_t* from) {
  return (Values)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from)));
}
inline Values load_values(const uint16_t* from) {
  return (Values)_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from)));
}
#else
constexpr int kValues = 4;
typedef Four Values;
inline Values load_values(const uint8_t* from) {
  int32_t bytes;
  memcpy(&bytes, from, sizeof bytes);
  const __m128i zero = _mm_setzero_si128();
  const __m128i shorts = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero);
  return (Values)_mm_cvtepi32_ps(_mm_unpacklo_epi16(shorts, zero));
}
inline Values load_values(const uint16_t* from) {
  const __m128i shorts = _mm_loadl_epi64((const __m128i*)from);
  return (Values)_mm_cvtepi32_ps(_mm_unpacklo_epi16(shorts, _mm_setzero_si128()));
}
#endif
inline Values load_values(const float* from) {
  Values v;
  memcpy(&v, from, sizeof v);
  return v;
}
inline void put_values(Values v, float* to) { memcpy(to, &v, sizeof v); }

// clip, as the processor's own minimum and maximum: compilers carry the choices on to the store.
#if defined(__AVX2__)
inline Values clip(Values v, float full) {
  v = (Values)_mm256_max_ps((__m256)v, _mm256_setzero_ps());
  return (Values)_mm256_min_ps((__m256)v, _mm256_set1_ps(full));
}
#else
inline Values clip(Values v, float full) {
  v = (Values)_mm_max_ps((__m128)v, _mm_setzero_ps());
  return (Values)_mm_min_ps((__m128)v, _mm_set1_ps(full));
}
#endif
// Four rows of them to columns.
inline void interleave_values(Values r0, Values r1, Values r2, Values r3, float* to) {
#if defined(__AVX2__)
#define SASAUG_LOW_FLOATS 0, 8, 1, 9, 4, 12, 5, 13
#define SASAUG_HIGH_FLOATS 2, 10, 3, 11, 6, 14, 7, 15
#define SASAUG_LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define SASAUG_HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#else
#define SASAUG_LOW_FLOATS 0, 4, 1, 5
#define SASAUG_HIGH_FLOATS 2, 6, 3, 7
#define SASAUG_LOW_PAIRS 0, 1, 4, 5
#define SASAUG_HIGH_PAIRS 2, 3, 6, 7
#endif
  const Values a0 = __builtin_shufflevector(r0, r1, SASAUG_LOW_FLOATS);
  const Values a1 = __builtin_shufflevector(r0, r1, SASAUG_HIGH_FLOATS);
  const Values b0 = __builtin_shufflevector(r2, r3, SASAUG_LOW_FLOATS);
  const Values b1 = __builtin_shufflevector(r2, r3, SASAUG_HIGH_FLOATS);
  const Values c0 = __builtin_shufflevector(a0, b0, SASAUG_LOW_PAIRS);
  const Values c1 = __builtin_shufflevector(a0, b0, SASAUG_HIGH_PAIRS);
  const Values c2 = __builtin_shufflevector(a1, b1, SASAUG_LOW_PAIRS);
  const Values c3 = __builtin_shufflevector(a1, b1, SASAUG_HIGH_PAIRS);
#undef SASAUG_LOW_FLOATS
#undef SASAUG_HIGH_FLOATS
#undef SASAUG_LOW_PAIRS
#undef SASAUG_HIGH_PAIRS
#if defined(__AVX2__)
  const Values out0 = __builtin_shufflevector(c0, c1, 0, 1, 2, 3, 8, 9, 10, 11);
  const Values out1 = __builtin_shufflevector(c2, c3, 0, 1, 2, 3, 8, 9, 10, 11);
  const Values out2 = __builtin_shufflevector(c0, c1, 4, 5, 6, 7, 12, 13, 14, 15);
  const Values out3 = __builtin_shufflevector(c2, c3, 4, 5, 6, 7, 12, 13, 14, 15);
#else
  const Values out0 = c0, out1 = c1, out2 = c2, out3 = c3;
#endif
  memcpy(to, &out0, sizeof out0);
  memcpy(to + kValues, &out1, sizeof out1);
  memcpy(to + 2 * kValues, &out2, sizeof out2);
  memcpy(to + 3 * kValues, &out3, sizeof out3);
}
#endif

#if defined(SASAUG_VECTORS) && defined(__AVX2__)
// Values of [0, 255] to bytes, half to even.
inline __m256i rounded(Values v) { return _mm256_cvtps_epi32((__m256)v); }

inline void store_bytes(Values v, uint8_t* to) {
  const __m256i shorts = _mm256_packus_epi32(rounded(v), rounded(v));
  const __m256i bytes = _mm256_packus_epi16(shorts, shorts);  // 0..3 and 4..7 open the halves
  const __m256i order = _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0);
  const __m128i both_halves = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, order));
  _mm_storel_epi64((__m128i*)to, both_halves);
}

inline void store_bytes(Values a, Values b, Values c, Values d, uint8_t* to) {
  const __m256i shorts0 = _mm256_packus_epi32(rounded(a), rounded(b));
  const __m256i shorts1 = _mm256_packus_epi32(rounded(c), rounded(d));
  const __m256i bytes = _mm256_packus_epi16(shorts0, shorts1);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256((__m256i*)to, _mm256_permutevar8x32_epi32(bytes, order));
}
#endif

// N values in place.
template <int N>
inline void clip_lanes(float* values, float full) {
#ifdef SASAUG_VECTORS
  for (int i = 0; i < N; i += kValues) put_values(clip(load_values(values + i), full), values + i);
#else
  for (int i = 0; i < N; ++i) values[i] = clip(values[i], full);
#endif
}

// N pixels as floats.
template <class T, int N>
inline void load_lanes(const T* __restrict pixels, float* __restrict values) {
#ifdef SASAUG_VECTORS
  if constexpr (Pixel<T>::integer || std::is_same<T, float>::value) {
    for (int i = 0; i < N; i += kValues) put_values(load_values(pixels + i), values + i);
    return;
  }
#endif
  for (int i = 0; i < N; ++i) values[i] = Pixel<T>::load(pixels[i]);
}

// N values of [0, full] as pixels.
template <class T, int N>
inline void store_lanes(const float* __restrict values, T* __restrict pixels) {
#if defined(SASAUG_VECTORS) && defined(__AVX2__)
  if constexpr (sizeof(T) == 1) {
    for (int i = 0; i < N; i += 4 * kValues) {
      const float* v = values + i;
      store_bytes(load_values(v), load_values(v + 8), load_values(v + 16), load_values(v + 24),
                  pixels + i);
    }
    return;
  }
#endif
  if constexpr (std::is_same<T, float>::value) {
    memcpy(pixels, values, N * sizeof(float));
  } else {
    for (int i = 0; i < N; ++i) pixels[i] = Pixel<T>::store(values[i]);
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
