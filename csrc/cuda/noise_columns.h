// One job: the noise of a tile's ROI, on the values in the stage.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/labels.h"
#include "cuda/resize.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// The random numbers of a column of four rows.
__device__ inline void draw_column(const Batch& b, const Tile& t, uint32_t block, uint32_t channel,
                                   float (&n)[kBandRows], uint32_t (&word)[kBandRows]) {
  int draws = 0;
  Noises::visit(t.p.noise, [&](auto kind) { draws = decltype(kind)::draws; });
  if (draws & kNormal) {
    const Words w = philox4x32(counter(block, t.p.id, Purpose::normal, channel, t.frame), b.seed);
#pragma unroll
    for (int32_t r = 0; r < kBandRows; r += 2) normal_pair(w.w[r], w.w[r + 1], n[r], n[r + 1]);
  }
  if (draws & kUniform) {
    const Words w = philox4x32(counter(block, t.p.id, Purpose::uniform, channel, t.frame), b.seed);
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) word[r] = w.w[r];
  }
}

// One channel of a column: its rows in the ROI are read, changed and written back.
__device__ inline void change_column(const Batch& b, const Tile& t, int32_t place, uint32_t roi,
                                     const float (&n)[kBandRows], const uint32_t (&word)[kBandRows],
                                     Values& values) {
  float x[kBandRows] = {};
  with_pixel(b.out_type, [&](auto tag) {
    const auto* from = reinterpret_cast<const decltype(tag)*>(values.bytes) + place;
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      x[r] = Pixel<decltype(tag)>::load(from[r * t.stage.y]);
    }
  });
  float height[kBandRows];  // above black
#pragma unroll
  for (int32_t r = 0; r < kBandRows; ++r) height[r] = x[r] - b.out_range.low;
  Noises::visit(t.p.noise, [&](auto kind) {
    decltype(kind)::template apply<kBandRows>(height, Random{n, word}, b.out_range.full,
                                              Noise{t.p.strength, b.salt_vs_pepper});
  });
  with_pixel(b.out_type, [&](auto tag) {
    auto* to = reinterpret_cast<decltype(tag)*>(values.bytes) + place;
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      const float noisy = after_noise(x[r], x[r] - b.out_range.low, height[r], b.out_range);
      const auto stored = Pixel<decltype(tag)>::store(noisy);
      if (roi >> r & 1) to[r * t.stage.y] = stored;
    }
  });
}

__device__ inline void add_noise(const Batch& b, const Tile& t, const NoisyColumns& noisy,
                                 Values& values) {
  SASAUG_ROLLED
  for (int32_t i = threadIdx.x; i < noisy.count; i += kTileThreads) {
    const uint32_t which = noisy.of[i], roi = which & 15;
    const int32_t row = static_cast<int32_t>(which >> 4 & 15) * kBandRows;
    const int32_t column = static_cast<int32_t>(which >> 8);
    const uint32_t block = noise_block((t.y0 + row) / kBandRows, t.x0 + column, b.w);
    float n[kBandRows] = {};
    uint32_t word[kBandRows] = {};
    SASAUG_ROLLED
    for (int32_t channel = 0; channel < b.c; ++channel) {
      if (channel == 0 || b.per_channel) {
        draw_column(b, t, block, static_cast<uint32_t>(channel), n, word);
      }
      change_column(b, t, place_of(t, column, row, channel), roi, n, word, values);
    }
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
