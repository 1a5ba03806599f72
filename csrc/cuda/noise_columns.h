// One job: the noise of a tile's ROI, on the values in the stage.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <type_traits>

#include "cuda/labels.h"
#include "cuda/low_rates.h"
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

// Whether some values of a kind take longer than others, by a loop of their own.
template <class Kind>
constexpr bool kSummed = std::is_same<Kind, Poisson>::value;

// A column's rows after noise, as heights above black. Returns those that are still to be changed:
// theirs is listed in `low`.
template <class Kind>
__device__ uint32_t apply_to_column(float (&height)[kBandRows], int32_t place, int32_t down,
                                    uint32_t roi, const Column& random, Noise noise, float full,
                                    LowRates& low) {
  if constexpr (kSummed<Kind>) {
    if (!(noise.strength <= kHighestRate)) return 0;  // it stays as it is
    uint32_t listed = 0;
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      const float rate = poisson_rate(height[r], full, noise.strength);
      if (rate < kLowestRate) {
        listed |= 1u << r;
      } else {
        height[r] = static_cast<float>(poisson_high(rate, random.n[r])) * (full / noise.strength);
      }
    }
    listed &= roi;
    if (listed) list_low_rates(place, down, listed, random.word, low);
    return listed;
  } else {
#pragma unroll
    for (int32_t r = 0; r < kBandRows; ++r) {
      Kind::template apply<1>(height + r, Random{random.n + r, random.word + r}, full, noise);
    }
    return 0;
  }
}

// One channel of a column: its rows in the ROI are read, changed and written back.
template <class Kind>
__device__ void change_column(const Batch& b, int32_t place, int32_t down, uint32_t roi,
                              const Column& random, Noise noise, bool default_range, Values& values,
                              LowRates& low) {
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
  for (int32_t r = 0; r < kBandRows; ++r) height[r] = x[r] - range.low;
  roi &= ~apply_to_column<Kind>(height, place, down, roi, random, noise, range.full, low);
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
                             const NoisyColumns& noisy, Values& values, LowRates& low) {
  // read once: for all that the compiler knows, values that are written could change them
  const uint64_t id = t.p.id;
  const uint32_t frame = t.frame;
  const Noise noise{t.p.strength, b.salt_vs_pepper};
  const Stage stage = t.stage;
  const int32_t first_band = t.y0 / kBandRows, first_column = t.x0, count = noisy.count;
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  // where the block sums up, all of its threads have to stay
  SASAUG_ROLLED
  for (int32_t i = thread; kSummed<Kind> ? i - thread < count : i < count; i += kTileThreads) {
    const bool mine = !kSummed<Kind> || i < count;
    const uint32_t which = mine ? noisy.of[i] : 0, roi = which & 15;
    const int32_t band = static_cast<int32_t>(which >> 4 & 15);
    const int32_t column = static_cast<int32_t>(which >> 8);
    const uint32_t block = noise_block(first_band + band, first_column + column, b.w);
    int32_t place = band * kBandRows * stage.y + column * stage.x;
    Column random;
    SASAUG_ROLLED
    for (int32_t channel = 0; channel < b.c; ++channel) {
      if (kSummed<Kind>) {
        if (threadIdx.x == 0) low.count = 0;
        __syncthreads();
      }
      if (mine) {
        if (channel == 0 || b.per_channel) {
          random.draw<Kind>(b.seed, id, frame, block, static_cast<uint32_t>(channel));
        }
        change_column<Kind>(b, place, stage.y, roi, random, noise, l.default_range, values, low);
      }
      if (kSummed<Kind>) {
        __syncthreads();
        sum_low_rates(b, low, noise.strength, l.default_range, values);
        __syncthreads();
      }
      place += stage.c;
    }
  }
}

__device__ inline void add_noise(const Batch& b, const Layout& l, const Tile& t,
                                 const NoisyColumns& noisy, Values& values, LowRates& low) {
  Noises::visit(t.p.noise,
                [&](auto kind) { add_noise_of<decltype(kind)>(b, l, t, noisy, values, low); });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
