// One job: where the pixels of a tile lie in the window, along each axis; filled once per tile.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/tile.h"

namespace sasaug {

constexpr int32_t kTableTaps = 16;  // of a row's triangle weights; further ones are not kept

// Of the second of a bilinear pair: `fixed` where bytes are resized in integers. Antialiased: the
// triangle's sum.
union Weight {
  float real;
  int32_t fixed;
};

// Offsets in bytes, from the window's first pixel or from the k-th's first tap.
template <int32_t kSize>
struct alignas(16) Axis {
  int64_t mask[kSize];
  int64_t first[kSize], second[kSize];  // of the bilinear pair; equal where `weight` is 0
  Weight weight[kSize];
  int32_t taps[kSize], index[kSize];
};

struct Tables {
  Axis<kRowValues> x;
  Axis<kTileRows> y;
  float triangle_y[kTileRows][kTableTaps];
  // which pixels of a strip the thumbnail covers: the product of both
  uint32_t across[kRowValues / kStrip], down[kTileRows / kStrip];
};

inline namespace SASAUG_VARIANT {

// One entry of it.
struct Place {
  int64_t mask, first, second;
  Weight weight;
  int32_t taps, index;
};

// Of thumbnail pixel i.
__device__ inline Place place_in_window(int32_t i, const Scale& s) {
  if (s.n_src == s.n_dst) {
    return {i * s.mask_step, i * s.image_step, i * s.image_step, {0.0f}, 1, i};
  }
  const int64_t mask = nearest_exact(i, s.n_src, s.n_dst) * s.mask_step;
  if (s.antialias) {
    const Triangle at = triangle(i, s.n_src, s.n_dst);
    return {mask,
            at.first * s.image_step,
            0,
            {triangle_sum(i, at, s.n_src, s.n_dst)},
            static_cast<int32_t>(at.count),
            static_cast<int32_t>(at.first)};
  }
  const Bilinear at = bilinear(i, s.n_src, s.n_dst);
  Weight weight;
  if (s.integers) {
    weight.fixed = fixed_weight(at, s.n_dst);
  } else {
    weight.real = bilinear_weight(at, s.n_dst);
  }
  return {mask, at.first * s.image_step, at.second * s.image_step, weight, at.rest > 0 ? 2 : 1, 0};
}

template <int32_t kSize>
__device__ void put(Axis<kSize>& axis, int32_t k, const Place& p) {
  axis.mask[k] = p.mask;
  axis.first[k] = p.first;
  axis.second[k] = p.second;
  axis.weight[k] = p.weight;
  axis.taps[k] = p.taps;
  axis.index[k] = p.index;
}

// Of thumbnail pixel i, which is the k-th of the axis.
template <int32_t kSize>
__device__ float tap_weight(const Axis<kSize>& axis, int32_t k, int32_t tap, int32_t i,
                            int32_t n_src, int32_t n_dst) {
  const int64_t weight = triangle_weight(i, int64_t{axis.index[k]} + tap, n_src, n_dst);
  return static_cast<float>(weight) / axis.weight[k].real;
}

// Of the four from `at` on, those of low .. high - 1, a bit for each.
__device__ inline uint32_t bits_within(int32_t at, int32_t low, int32_t high) {
  auto ones = [](int32_t count) {
    return (1u << (count < 0 ? 0 : (count < kStrip ? count : kStrip))) - 1;
  };
  return ones(high - at) & ~ones(low - at);
}

// The pixels of a strip that the thumbnail covers.
__device__ inline uint32_t covered(const Tables& tables, int32_t column, int32_t row) {
  return tables.across[static_cast<uint32_t>(column) / kStrip] *
         tables.down[static_cast<uint32_t>(row) / kStrip];
}

__device__ inline bool is_inside(uint32_t covered, int32_t c, int32_t r) {
  return (covered >> (8 * c + r) & 1) != 0;
}

// The bytes of a word that are those of a row's pixels inside.
__device__ inline uint32_t bytes_inside(uint32_t covered, int32_t r) {
  return 255 * (covered >> r & 0x01010101u);
}

__device__ inline void fill_covered(const Tile& t, Tables& tables) {
  const int32_t k = static_cast<int32_t>(threadIdx.x);
  if (k < kRowValues / kStrip) {
    const uint32_t columns = bits_within(k * kStrip, t.left, t.right);
    // from a bit to every eighth one
    tables.across[k] =
        (columns & 1) | (columns & 2) << 7 | (columns & 4) << 14 | (columns & 8) << 21;
  } else if (k < (kRowValues + kTileRows) / kStrip) {
    const int32_t band = k - kRowValues / kStrip;
    tables.down[band] = bits_within(band * kStrip, t.top, t.bottom);
  }
}

// One of the first threads fills a column's entry, one of the next a row's.
__device__ inline void fill_tables(const Tile& t, Tables& tables) {
  fill_covered(t, tables);
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const bool down = thread >= kRowValues;
  const int32_t k = down ? thread - kRowValues : thread;
  const Scale& s = t.scale[down ? 1 : 0];
  if (k >= s.count) return;
  // entries beside the thumbnail repeat its edge: strips on the edge read them, and drop the values
  const int32_t i = s.start + (k < s.low ? s.low : (k < s.high ? k : s.high - 1));
  const Place place = place_in_window(i, s);
  if (!down) return put(tables.x, k, place);
  put(tables.y, k, place);
  for (int32_t tap = 0; s.antialias && tap < place.taps && tap < kTableTaps; ++tap) {
    tables.triangle_y[k][tap] = tap_weight(tables.y, k, tap, i, s.n_src, s.n_dst);
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
