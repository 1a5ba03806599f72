// One job: where the pixels of a tile lie in the window, along each axis; filled once per tile.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/tile.h"

namespace sasaug {

constexpr int32_t kTableTaps = 16;  // of a row's triangle weights; further ones are not kept

// Offsets in bytes, from the window's first pixel or from the k-th's first tap.
template <int32_t kSize>
struct alignas(16) Axis {
  int64_t mask[kSize];
  int64_t first[kSize], second[kSize];  // of the bilinear pair; equal where `weight` is 0
  union {
    float weight[kSize];
    int32_t fixed_weight[kSize];  // of a tile that is resized in integers
  };
  int32_t taps[kSize], index[kSize];  // antialiased: `weight` is the triangle's sum
};

struct Tables {
  Axis<kRowValues> x;
  Axis<kTileRows> y;
  float triangle_y[kTileRows][kTableTaps];
  // which pixels of a strip the thumbnail covers, a bit for each: the product of both
  uint32_t across[kRowValues / kStrip], down[kTileRows / kStrip];
};

inline namespace SASAUG_VARIANT {

struct Scale {
  int32_t n_src, n_dst;
  bool antialias, integers;
  int64_t image_step, mask_step;
};

// Thumbnail pixel i is the k-th of the axis.
template <int32_t kSize>
__device__ void fill_axis(Axis<kSize>& axis, int32_t k, int32_t i, const Scale& s) {
  if (s.n_src == s.n_dst) {
    axis.mask[k] = i * s.mask_step;
    axis.first[k] = axis.second[k] = i * s.image_step;
    axis.weight[k] = 0.0f;
    axis.index[k] = i;
    axis.taps[k] = 1;
    return;
  }
  axis.mask[k] = nearest_exact(i, s.n_src, s.n_dst) * s.mask_step;
  if (s.antialias) {
    const Triangle at = triangle(i, s.n_src, s.n_dst);
    axis.first[k] = at.first * s.image_step;
    axis.index[k] = static_cast<int32_t>(at.first);
    axis.taps[k] = static_cast<int32_t>(at.count);
    axis.weight[k] = triangle_sum(i, at, s.n_src, s.n_dst);
  } else {
    const Bilinear at = bilinear(i, s.n_src, s.n_dst);
    axis.first[k] = at.first * s.image_step;
    axis.second[k] = at.second * s.image_step;
    axis.taps[k] = at.rest > 0 ? 2 : 1;
    if (s.integers) {
      axis.fixed_weight[k] = fixed_weight(at, s.n_dst);
    } else {
      axis.weight[k] = bilinear_weight(at, s.n_dst);
    }
  }
}

// Of thumbnail pixel i, which is the k-th of the axis.
template <int32_t kSize>
__device__ float tap_weight(const Axis<kSize>& axis, int32_t k, int32_t tap, int32_t i,
                            int32_t n_src, int32_t n_dst) {
  const int64_t weight = triangle_weight(i, int64_t{axis.index[k]} + tap, n_src, n_dst);
  return static_cast<float>(weight) / axis.weight[k];
}

// Of the four from `at` on, those of low .. high - 1, a bit for each.
__device__ inline uint32_t bits_within(int32_t at, int32_t low, int32_t high) {
  auto ones = [](int32_t count) {
    return (1u << (count < 0 ? 0 : (count < kStrip ? count : kStrip))) - 1;
  };
  return ones(high - at) & ~ones(low - at);
}

// A bit for each pixel of a strip that the thumbnail covers, column by column.
__device__ inline uint32_t covered(const Tables& tables, int32_t column, int32_t row) {
  return tables.across[column / kStrip] * tables.down[row / kStrip];
}

__device__ inline bool is_inside(uint32_t covered, int32_t c, int32_t r) {
  return (covered >> (kStrip * c + r) & 1) != 0;
}

__device__ inline void fill_covered(const Tile& t, Tables& tables) {
  const int32_t k = static_cast<int32_t>(threadIdx.x);
  if (k < kRowValues / kStrip) {
    const uint32_t columns = bits_within(k * kStrip, t.left, t.right);
    // from a bit to every fourth one
    tables.across[k] = (columns & 1) | (columns & 2) << 3 | (columns & 4) << 6 | (columns & 8) << 9;
  } else if (k < (kRowValues + kTileRows) / kStrip) {
    const int32_t band = k - kRowValues / kStrip;
    tables.down[band] = bits_within(band * kStrip, t.top, t.bottom);
  }
}

__device__ inline void fill_tables(const Tile& t, Tables& tables) {
  fill_covered(t, tables);
  if (t.left == t.right) return;
  const Rectangle &from = t.p.window, &to = t.p.thumbnail;
  const Scale across{from.width, to.width,         t.antialias_x,
                     t.integers, t.source.image_x, t.source.mask_x};
  const Scale down{from.height, to.height,        t.antialias_y,
                   t.integers,  t.source.image_y, t.source.mask_y};
  // entries beside the thumbnail repeat its edge: strips on the edge read them, and drop the values
  auto nearest = [](int32_t k, int32_t low, int32_t high) {
    return k < low ? low : (k < high ? k : high - 1);
  };
  SASAUG_ROLLED
  for (int32_t k = threadIdx.x; k < t.columns + kStrip - 1; k += kTileThreads) {
    if (k >= kRowValues) break;
    fill_axis(tables.x, k, nearest(k, t.left, t.right) + t.x0 - to.x, across);
  }
  const int32_t k = kTileThreads - 1 - static_cast<int32_t>(threadIdx.x);  // the last threads
  if (k >= kTileRows) return;
  const int32_t v = nearest(k, t.top, t.bottom) + t.y0 - to.y;
  fill_axis(tables.y, k, v, down);
  for (int32_t tap = 0; t.antialias_y && tap < tables.y.taps[k] && tap < kTableTaps; ++tap) {
    tables.triangle_y[k][tap] = tap_weight(tables.y, k, tap, v, down.n_src, down.n_dst);
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
