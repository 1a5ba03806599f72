// One job: rows of bytes resized in integers, as fixed_lerp of method/thumbnail.h says.
//
// Two ways: results picked out of the rows by byte shuffles, where the processor has them; columns
// of the band's four rows everywhere else.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cpu/shuffles.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

#ifdef SASAUG_VECTORS
// d * w * 2^-15, half up.
inline __m128i times_weight(__m128i d, __m128i w) {
#if defined(__SSSE3__)
  return _mm_mulhrs_epi16(d, w);
#else
  const __m128i one = _mm_set1_epi16(1), half = _mm_set1_epi16(1 << 14);
  const __m128i low = _mm_madd_epi16(_mm_unpacklo_epi16(d, one), _mm_unpacklo_epi16(w, half));
  const __m128i high = _mm_madd_epi16(_mm_unpackhi_epi16(d, one), _mm_unpackhi_epi16(w, half));
  return _mm_packs_epi32(_mm_srai_epi32(low, 15), _mm_srai_epi32(high, 15));
#endif
}

// The four bytes of a column above and the four below, in 64ths.
inline __m128i column_64ths(const Column<uint8_t>& above, const Column<uint8_t>& below) {
  int32_t words[2];
  memcpy(&words[0], above.row, 4);
  memcpy(&words[1], below.row, 4);
  const __m128i bytes =
      _mm_unpacklo_epi32(_mm_cvtsi32_si128(words[0]), _mm_cvtsi32_si128(words[1]));
  return _mm_srli_epi16(_mm_unpacklo_epi8(_mm_setzero_si128(), bytes), 2);
}

inline Column<uint8_t> lerp_column(const Column<uint8_t>* above, const Column<uint8_t>* below,
                                   int64_t step, int16_t across, const int16_t* down) {
  const __m128i a = column_64ths(above[0], below[0]), b = column_64ths(above[step], below[step]);
  const __m128i rows = _mm_add_epi16(a, times_weight(_mm_sub_epi16(b, a), _mm_set1_epi16(across)));
  const __m128i lower = _mm_unpackhi_epi64(rows, rows);
  const __m128i weights = _mm_loadl_epi64((const __m128i*)down);
  const __m128i sum = _mm_add_epi16(rows, times_weight(_mm_sub_epi16(lower, rows), weights));
  const __m128i rounded = _mm_srli_epi16(_mm_add_epi16(sum, _mm_set1_epi16(32)), 6);
  const int32_t word = _mm_cvtsi128_si32(_mm_packus_epi16(rounded, rounded));
  Column<uint8_t> to;
  memcpy(to.row, &word, 4);
  return to;
}
#else
inline Column<uint8_t> lerp_column(const Column<uint8_t>* above, const Column<uint8_t>* below,
                                   int64_t step, int16_t across, const int16_t* down) {
  auto between = [&](const Column<uint8_t>* from, int32_t r) {
    return fixed_lerp(to_64ths(from[0].row[r]), to_64ths(from[step].row[r]), across);
  };
  Column<uint8_t> to;
  for (int32_t r = 0; r < kBandRows; ++r) {
    to.row[r] = from_64ths(fixed_lerp(between(above, r), between(below, r), down[r]));
  }
  return to;
}
#endif

// to[x] = what lies between the columns first[x] and first[x] + step, and the rows above and below.
inline void lerp_byte_columns(const Column<uint8_t>* above, const Column<uint8_t>* below,
                              const int64_t* first, const int16_t* across, int64_t step,
                              const int16_t* down, int64_t width, Column<uint8_t>* to) {
  for (int64_t x = 0; x < width; ++x) {
    to[x] = lerp_column(above + first[x], below + first[x], step, across[x], down);
  }
}

#ifdef SASAUG_SHUFFLES

constexpr int kPickedBytes = 16;

// Sixteen results: where each half's eight find their pairs of bytes, in one or in two pieces of
// 16 bytes.
struct alignas(32) PickBytes {
  uint8_t pair[2][32];
  int16_t weight[kPickedBytes];
  int32_t piece[2][2];
};

// The sixteen results' values between the columns of one row, in 64ths.
template <int kPieces>
__attribute__((always_inline)) inline __m256i lerp_pairs(const uint8_t* row, const PickBytes& at) {
  __m256i pairs = _mm256_setzero_si256();
  for (int k = 0; k < kPieces; ++k) {
    const __m256i pieces = two_pieces(row + at.piece[k][0], row + at.piece[k][1]);
    const __m256i index = _mm256_load_si256((const __m256i*)at.pair[k]);
    pairs = _mm256_or_si256(pairs, _mm256_shuffle_epi8(pieces, index));
  }
  // (first, second) times (64, 0), and times (-64, 64)
  const __m256i first = _mm256_maddubs_epi16(pairs, _mm256_set1_epi16(0x0040));
  const __m256i apart = _mm256_maddubs_epi16(pairs, _mm256_set1_epi16(0x40C0));
  const __m256i weight = _mm256_load_si256((const __m256i*)at.weight);
  return _mm256_add_epi16(first, _mm256_mulhrs_epi16(apart, weight));
}

template <int kPieces>
__attribute__((always_inline)) inline __m256i lerp_bytes(const uint8_t* upper, const uint8_t* lower,
                                                         __m256i down, const PickBytes& at) {
  const __m256i a = lerp_pairs<kPieces>(upper, at), b = lerp_pairs<kPieces>(lower, at);
  const __m256i sum = _mm256_add_epi16(a, _mm256_mulhrs_epi16(_mm256_sub_epi16(b, a), down));
  return _mm256_mulhrs_epi16(sum, _mm256_set1_epi16(512));  // from_64ths
}

// One row of `width` results from two of the window.
template <int kPieces>
inline void lerp_byte_row(const uint8_t* upper, const uint8_t* lower, int16_t weight,
                          const PickBytes* at, int64_t width, uint8_t* to) {
  const __m256i down = _mm256_set1_epi16(weight);
  for (int64_t start = 0; start < width; start += kPickedBytes, ++at) {
    const __m256i v = lerp_bytes<kPieces>(upper, lower, down, *at);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128((__m128i*)(to + group_start(start, kPickedBytes, width)), bytes);
  }
}

// Fills the picks of a row of `width` results; false where the pieces do not hold what they read,
// as for thumbnails that are small beside the window. Weight 0: the second column may be any.
template <int kPieces>
inline bool plan_bytes(const int64_t* first, const int16_t* weight, int64_t step, int64_t width,
                       int64_t source_width, PickBytes* to) {
  constexpr int kResults = 8 / kPieces;  // of one piece
  if (width < kPickedBytes || source_width < 16) return false;
  for (int64_t start = 0; start < width; start += kPickedBytes, ++to) {
    const int64_t x0 = group_start(start, kPickedBytes, width);
    memset(to->pair, 0x80, sizeof to->pair);  // names no byte: the shuffle gives 0
    memcpy(to->weight, weight + x0, sizeof to->weight);
    for (int part = 0; part < 2 * kPieces; ++part) {
      const int64_t* at = first + x0 + part * kResults;
      int64_t low = at[0], high = at[0];
      for (int j = 0; j < kResults; ++j) {
        low = at[j] < low ? at[j] : low;
        high = at[j] > high ? at[j] : high;
      }
      const int64_t last = high + step < source_width ? high + step : source_width - 1;
      const int64_t piece = piece_around(low, last, 16, source_width);
      if (piece < 0) return false;
      to->piece[part % kPieces][part / kPieces] = static_cast<int32_t>(piece);
      uint8_t* pair = to->pair[part % kPieces] + 2 * kResults * part;
      for (int j = 0; j < kResults; ++j) {
        const int64_t next = at[j] + step < source_width ? at[j] + step : at[j];
        pair[2 * j] = static_cast<uint8_t>(at[j] - piece);
        pair[2 * j + 1] = static_cast<uint8_t>(next - piece);
      }
    }
  }
  return true;
}

// Returns how many pieces serve half a group; 0: columns must do.
inline int32_t plan_byte_row(const int64_t* first, const int16_t* weight, int64_t step,
                             int64_t width, int64_t source_width, PickBytes* to) {
  if (plan_bytes<1>(first, weight, step, width, source_width, to)) return 1;
  return plan_bytes<2>(first, weight, step, width, source_width, to) ? 2 : 0;
}

inline void lerp_byte_row(int32_t pieces, const uint8_t* upper, const uint8_t* lower,
                          int16_t weight, const PickBytes* at, int64_t width, uint8_t* to) {
  if (pieces == 1) return lerp_byte_row<1>(upper, lower, weight, at, width, to);
  lerp_byte_row<2>(upper, lower, weight, at, width, to);
}

#endif

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
