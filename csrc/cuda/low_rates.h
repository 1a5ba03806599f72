// One job: Poisson noise of the pixels of low rate, whose counts are summed up term by term.
//
// A sum takes as many turns as the count is large. A column's thread would wait for the slowest
// lane of its warp at every row. So it only lists these pixels, and then few warps take many of
// them: a lane whose sum is done takes another pixel while the others still add.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/memory.h"
#include "cuda/tile.h"

namespace sasaug {

constexpr uint32_t kAllLanes = 0xFFFFFFFFu;
constexpr int32_t kSumsOfWarp = 4 * kWarp;  // a warp's share of the list
constexpr int32_t kFreeLanes = kWarp / 2;   // that wait for a pixel, before they are given one
constexpr int32_t kTermsAtOnce = 4;         // a test costs as much as a term

// Of one channel of as many columns of four rows as a block has threads.
struct LowRates {
  static constexpr int32_t kMost = kTileThreads * kBandRows;
  int32_t count;
  uint32_t word[kMost];
  uint16_t place[kMost];  // in the stage
};

inline namespace SASAUG_VARIANT {

// Of a value's height above black, as Poisson::apply takes it.
__device__ inline float poisson_rate(float height, float full, float peak) {
  return clip(height, full) * (peak / full);
}

// Lists the pixels of a column whose bits are set in `rows`.
__device__ inline void list_low_rates(int32_t place, int32_t down, uint32_t rows,
                                      const uint32_t (&word)[kBandRows], LowRates& low) {
  int32_t at = atomicAdd(&low.count, __popc(rows));
#pragma unroll
  for (int32_t r = 0; r < kBandRows; ++r) {
    if ((rows & 1u << r) == 0) continue;
    low.word[at] = word[r];
    low.place[at++] = static_cast<uint16_t>(place + r * down);
  }
}

// A count on its way, as poisson_low of method/draw.h sums it up.
struct CountInSum {
  float rate, probability;  // the latter in units of 2^-30
  float term;
  int32_t target, sum, count;

  __device__ void begin(float at_rate, uint32_t word) {
    rate = at_rate;
    probability = exp_negative(rate) * 0x1p30f;
    target = static_cast<int32_t>(word >> 2);
    term = 1.0f;
    sum = count = 0;
  }
  // Whether it is finished.
  __device__ bool add_terms() {
    bool more = false;
#pragma unroll
    for (int32_t k = 0; k < kTermsAtOnce; ++k) {
      const int32_t part = static_cast<int32_t>(probability);
      sum += part;
      more = target >= sum && part > 0;
      count += more ? 1 : 0;
      probability *= rate * (1.0f / term);
      term += 1.0f;
    }
    return !more || term > static_cast<float>(kMostCounts);
  }
};

// The pixels of the list from `next` to `end` - 1, by a warp.
template <class T>
__device__ void sum_low_rates_of(const LowRates& low, int32_t next, int32_t end, uint32_t lane,
                                 float peak, ValueRange range, bool default_range, T* values) {
  const uint32_t before = (1u << lane) - 1;
  CountInSum sum{};
  T* at = values;
  bool adding = false;
  SASAUG_ROLLED
  while (true) {
    const uint32_t free = __ballot_sync(kAllLanes, !adding);
    const int32_t lanes = __popc(free);
    if (lanes >= kFreeLanes) {
      const int32_t mine = next + __popc(free & before);
      if (!adding && mine < end) {
        adding = true;
        at = values + low.place[mine];
        sum.begin(poisson_rate(Pixel<T>::load(*at) - range.low, range.full, peak), low.word[mine]);
      } else if (lanes == kWarp && next >= end) {
        return;
      }
      next += lanes;
    }
    if (adding && sum.add_terms()) {
      adding = false;
      const float x = Pixel<T>::load(*at);
      const float height = static_cast<float>(sum.count) * (range.full / peak);
      *at = Pixel<T>::store(default_range ? clip(height, range.full)
                                          : after_noise(x, x - range.low, height, range));
    }
  }
}

// The pixels of the list, once all threads have filled it.
__device__ inline void sum_low_rates(const Batch& b, const LowRates& low, float peak,
                                     bool default_range, Values& values) {
  const uint32_t thread = here(threadIdx.x);
  const int32_t next = static_cast<int32_t>(thread / kWarp) * kSumsOfWarp;
  if (next >= low.count) return;
  const int32_t end = low.count < next + kSumsOfWarp ? low.count : next + kSumsOfWarp;
  with_pixel(b.out_type, [&](auto tag) {
    sum_low_rates_of(low, next, end, thread % kWarp, peak, b.out_range, default_range,
                     reinterpret_cast<decltype(tag)*>(values.bytes));
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
