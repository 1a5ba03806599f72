// One job: pick a row of results out of rows of the window by byte shuffles, where the processor
// has them and the thumbnail is not very small beside the window; rows.h does all the rest.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/rows.h"

#if defined(SASAUG_VECTORS) && defined(__AVX2__)
#define SASAUG_SHUFFLES 1

namespace sasaug {
inline namespace SASAUG_VARIANT {

constexpr int kPicked = 8, kPickedLabels = 16;

// Where neighbouring results read a row: two pieces of 16 bytes, one for each half of the results,
// out of which a byte shuffle takes what they need.
inline __m256i two_pieces(const void* first, const void* second) {
  return _mm256_loadu2_m128i((const __m128i*)second, (const __m128i*)first);
}

// Eight results: the columns that they lie between. Integers are bytes of two pieces, widened to
// 32 bits; floats are places among the sixteen values of one longer piece.
struct alignas(32) Pick {
  uint8_t first[32], second[32];
  float weight[kPicked];
  int32_t piece[2];
};

inline Values picked_values(__m256i pieces, const uint8_t* index) {
  const __m256i picked = _mm256_shuffle_epi8(pieces, _mm256_load_si256((const __m256i*)index));
  return (Values)_mm256_cvtepi32_ps(picked);
}

// The lerp of two rows, then of the two columns that `at` names.
template <class In>
__attribute__((always_inline)) inline Values lerp_picked(const In* upper, const In* lower,
                                                         Values weight, const Pick& at) {
  const __m256i a = two_pieces(upper + at.piece[0], upper + at.piece[1]);
  const __m256i b = two_pieces(lower + at.piece[0], lower + at.piece[1]);
  const Values a0 = picked_values(a, at.first), a1 = picked_values(a, at.second);
  const Values b0 = picked_values(b, at.first), b1 = picked_values(b, at.second);
  const Values left = a0 + (b0 - a0) * weight, right = a1 + (b1 - a1) * weight;
  return left + (right - left) * load_values(at.weight);
}

inline Values picked_values(const float* from, const uint8_t* index) {
  const __m256 low = _mm256_loadu_ps(from), high = _mm256_loadu_ps(from + 8);
  const __m256i place = _mm256_load_si256((const __m256i*)index);
#if defined(__AVX512VL__)
  return (Values)_mm256_permutex2var_ps(low, place, high);
#else
  const __m256 past = _mm256_castsi256_ps(_mm256_slli_epi32(place, 28));  // 8 and above: negative
  return (Values)_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, place),
                                  _mm256_permutevar8x32_ps(high, place), past);
#endif
}

// Weight 0 takes the first value alone: infinity and NaN may stand beside it.
__attribute__((always_inline)) inline Values lerp_picked(const float* upper, const float* lower,
                                                         Values weight, const Pick& at) {
  const float *above = upper + at.piece[0], *below = lower + at.piece[0];
  const Values a0 = picked_values(above, at.first), a1 = picked_values(above, at.second);
  const Values b0 = picked_values(below, at.first), b1 = picked_values(below, at.second);
  const Values left = where_positive(weight, a0 + (b0 - a0) * weight, a0);
  const Values right = where_positive(weight, a1 + (b1 - a1) * weight, a1);
  const Values across = load_values(at.weight);
  return where_positive(across, left + (right - left) * across, left);
}

// Sixteen labels of one byte: each half's eight come where they belong among the sixteen.
struct alignas(32) PickLabels {
  uint8_t index[32];
  int32_t piece[2];
};

inline void pick_labels(const uint8_t* from, const PickLabels& at, uint8_t* to) {
  const __m256i pieces = two_pieces(from + at.piece[0], from + at.piece[1]);
  const __m256i picked = _mm256_shuffle_epi8(pieces, _mm256_load_si256((const __m256i*)at.index));
  const __m128i halves =
      _mm_or_si128(_mm256_castsi256_si128(picked), _mm256_extracti128_si256(picked, 1));
  _mm_storeu_si128((__m128i*)to, halves);
}

// The first of `count` neighbouring values of a row of `width` that hold all of [low, high];
// negative where they do not.
inline int64_t piece_around(int64_t low, int64_t high, int64_t count, int64_t width) {
  const int64_t at = low < width - count ? low : width - count;
  return high - at < count ? at : -1;
}

// Where group i of `size` results starts: the last ones overlap.
inline int64_t group_start(int64_t start, int64_t size, int64_t width) {
  return start + size < width ? start : width - size;
}

// Fills the picks of a row of `width` results; false where 16 bytes do not hold what four of them
// read, as for thumbnails that are small beside the window. Weight 0: the second column may be any.
template <class In>
bool plan_picks(const int64_t* first, const Four* weight, int64_t step, int64_t width,
                int64_t source_width, Pick* to) {
  constexpr int64_t size = sizeof(In), count = 16 / size;
  if (width < kPicked || source_width < count) return false;
  for (int64_t start = 0; start < width; start += kPicked, ++to) {
    const int64_t x0 = group_start(start, kPicked, width);
    memset(to->first, 0x80, sizeof to->first);  // names no byte: the shuffle gives 0
    memset(to->second, 0x80, sizeof to->second);
    for (int half = 0; half < 2; ++half) {
      int64_t low = source_width, high = 0, next[4];
      for (int j = 0; j < 4; ++j) {
        const int64_t at = first[x0 + 4 * half + j];
        next[j] = at + step < source_width ? at + step : at;
        low = at < low ? at : low;
        high = next[j] > high ? next[j] : high;
      }
      const int64_t piece = piece_around(low, high, count, source_width);
      if (piece < 0) return false;
      to->piece[half] = static_cast<int32_t>(piece);
      for (int j = 0; j < 4; ++j) {
        const int64_t at = first[x0 + 4 * half + j], place = 16 * half + 4 * j;
        for (int64_t byte = 0; byte < size; ++byte) {
          to->first[place + byte] = static_cast<uint8_t>((at - piece) * size + byte);
          to->second[place + byte] = static_cast<uint8_t>((next[j] - piece) * size + byte);
        }
      }
    }
    for (int j = 0; j < kPicked; ++j) to->weight[j] = weight[x0 + j][0];
  }
  return true;
}

// The same for floats, where sixteen neighbouring values hold what eight results read.
template <>
inline bool plan_picks<float>(const int64_t* first, const Four* weight, int64_t step, int64_t width,
                              int64_t source_width, Pick* to) {
  constexpr int64_t count = 16;
  if (width < kPicked || source_width < count) return false;
  for (int64_t start = 0; start < width; start += kPicked, ++to) {
    const int64_t x0 = group_start(start, kPicked, width);
    int64_t low = source_width, high = 0;
    for (int64_t x = x0; x < x0 + kPicked; ++x) {
      const int64_t next = first[x] + step < source_width ? first[x] + step : first[x];
      low = first[x] < low ? first[x] : low;
      high = next > high ? next : high;
    }
    const int64_t piece = piece_around(low, high, count, source_width);
    if (piece < 0) return false;
    to->piece[0] = static_cast<int32_t>(piece);
    for (int j = 0; j < kPicked; ++j) {
      const int64_t at = first[x0 + j], next = at + step < source_width ? at + step : at;
      const int32_t places[2] = {static_cast<int32_t>(at - piece),
                                 static_cast<int32_t>(next - piece)};
      memcpy(to->first + 4 * j, &places[0], 4);
      memcpy(to->second + 4 * j, &places[1], 4);
      to->weight[j] = weight[x0 + j][0];
    }
  }
  return true;
}

// One row of results from two of the window; `values` [width] is for types other than bytes.
template <class In, class Out, class Value>
void lerp_picked_row(const Value* upper, const Value* lower, float weight, const Pick* at,
                     int64_t width, const Batch& b, float* values, Out* to) {
  const Values weights = Values{} + weight;
  int64_t start = 0;
  if constexpr (sizeof(Value) == 1 && sizeof(Out) == 1) {
    for (; start + 4 * kPicked <= width; start += 4 * kPicked, at += 4) {
      store_bytes(lerp_picked(upper, lower, weights, at[0]),
                  lerp_picked(upper, lower, weights, at[1]),
                  lerp_picked(upper, lower, weights, at[2]),
                  lerp_picked(upper, lower, weights, at[3]), to + start);
    }
    for (; start < width; start += kPicked, ++at) {
      store_bytes(lerp_picked(upper, lower, weights, *at), to + group_start(start, kPicked, width));
    }
  } else if constexpr (std::is_same<In, float>::value && std::is_same<Out, float>::value) {
    const Values nan = Values{} + bits_to_float(0x7FC00000u);
    for (; start < width; start += kPicked, ++at) {
      Values v = lerp_picked(upper, lower, weights, *at);
      v = v == v ? v : nan;  // as Pixel<float>::store
      memcpy(to + group_start(start, kPicked, width), &v, sizeof v);
    }
  } else {
    for (; start < width; start += kPicked, ++at) {
      const Values v = lerp_picked(upper, lower, weights, *at);
      memcpy(values + group_start(start, kPicked, width), &v, sizeof v);
    }
    store_values<In>(values, width, b, to);
  }
}

// As plan_picks, for a row of `width` labels of one byte, of which eight read within 16.
inline bool plan_labels(const int32_t* column, int64_t width, int64_t source_width,
                        PickLabels* to) {
  if (width < kPickedLabels || source_width < 16) return false;
  for (int64_t start = 0; start < width; start += kPickedLabels, ++to) {
    memset(to->index, 0x80, sizeof to->index);
    for (int half = 0; half < 2; ++half) {
      const int32_t* at = column + group_start(start, kPickedLabels, width) + 8 * half;
      const int64_t piece = piece_around(at[0], at[7], 16, source_width);
      if (piece < 0) return false;
      to->piece[half] = static_cast<int32_t>(piece);
      for (int j = 0; j < 8; ++j) to->index[24 * half + j] = static_cast<uint8_t>(at[j] - piece);
    }
  }
  return true;
}

inline void pick_labels_row(const uint8_t* from, const PickLabels* at, int64_t width, uint8_t* to) {
  for (int64_t start = 0; start < width; start += kPickedLabels, ++at) {
    pick_labels(from, *at, to + group_start(start, kPickedLabels, width));
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
#endif
