// One job: the noise of a tile's ROI, on the values in the stage.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/labels.h"
#include "cuda/resize.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// The random numbers of a column of four rows: those that a kind of noise draws.
struct Column {
  float n[kBandRows];
  uint32_t word[kBandRows];

  template <class Kind>
  __device__ void draw(uint64_t seed, uint64_t id, uint32_t frame, uint32_t block,
                       uint32_t channel) {
    if constexpr ((Kind::draws & kNormal) != 0) {
      const Words w = philox4x32(counter(block, id, Purpose::normal, channel, frame), seed);
#pragma unroll
      for (int32_t r = 0; r < kBandRows; r += 2) normal_pair(w.w[r], w.w[r + 1], n[r], n[r + 1]);
    }
    if constexpr ((Kind::draws & kUniform) != 0) {
      const Words w = philox4x32(counter(block, id, Purpose::uniform, channel, frame), seed);
#pragma unroll
      for (int32_t r = 0; r < kBandRows; ++r) word[r] = w.w[r];
    }
  }
};

// One channel of a column: its rows in the ROI are read, changed and written back. Row by row: with
// Poisson noise, rates take ways of their own.
template <class Kind>
__device__ void change_column(const Batch& b, int32_t place, int32_t down, uint32_t roi,
                              const Column& random, Noise noise, bool default_range,
                              Values& values) {
  float x[kBandRows];
  with_pixel(b.out_type, [&](auto tag) {
    const auto* from = reinterpret_cast<const decltype(tag)*>(values.bytes) + place;
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      x[r] = Pixel<decltype(tag)>::load(from[r * down]);
    }
  });
  const ValueRange range = b.out_range;
  float height[kBandRows];  // above black
#pragma unroll
  for (int32_t r = 0; r < kBandRows; ++r) {
    height[r] = x[r] - range.low;
    Kind::template apply<1>(height + r, Random{random.n + r, random.word + r}, range.full, noise);
  }
  if (default_range) {  // all that follows is one clip
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) x[r] = clip(height[r], range.full);
  } else {
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      x[r] = after_noise(x[r], x[r] - range.low, height[r], range);
    }
  }
  with_pixel(b.out_type, [&](auto tag) {
    auto* to = reinterpret_cast<decltype(tag)*>(values.bytes) + place;
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      const auto stored = Pixel<decltype(tag)>::store(x[r]);
      if ((roi & 1u << r) != 0) to[r * down] = stored;
    }
  });
}

template <class Kind>
__device__ void add_noise_of(const Batch& b, const Layout& l, const Tile& t,
                             const NoisyColumns& noisy, Values& values) {
  // read once: for all that the compiler knows, values that are written could change them
  const uint64_t id = t.p.id;
  const uint32_t frame = t.frame;
  const Noise noise{t.p.strength, b.salt_vs_pepper};
  const Stage stage = t.stage;
  const int32_t first_band = t.y0 / kBandRows, first_column = t.x0, count = noisy.count;
  SASAUG_ROLLED
  for (int32_t i = threadIdx.x; i < count; i += kTileThreads) {
    const uint32_t which = noisy.of[i], roi = which & 15;
    const int32_t band = static_cast<int32_t>(which >> 4 & 15);
    const int32_t column = static_cast<int32_t>(which >> 8);
    const uint32_t block = noise_block(first_band + band, first_column + column, b.w);
    int32_t place = band * kBandRows * stage.y + column * stage.x;
    Column random;
    SASAUG_ROLLED
    for (int32_t channel = 0; channel < b.c; ++channel) {
      if (channel == 0 || b.per_channel) {
        random.draw<Kind>(b.seed, id, frame, block, static_cast<uint32_t>(channel));
      }
      change_column<Kind>(b, place, stage.y, roi, random, noise, l.default_range, values);
      place += stage.c;
    }
  }
}

__device__ inline void add_noise(const Batch& b, const Layout& l, const Tile& t,
                                 const NoisyColumns& noisy, Values& values) {
  if (static_cast<int32_t>(threadIdx.x) >= noisy.count) return;
  Noises::visit(t.p.noise,
                [&](auto kind) { add_noise_of<decltype(kind)>(b, l, t, noisy, values); });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
