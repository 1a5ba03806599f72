// One job: Poisson noise of bytes, where tables of their few rates pay: Poisson::apply, restated.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cpu/rows.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

constexpr int32_t kWordParts = 64;       // of the words' range, each of which starts at a count
constexpr int32_t kPixelsPerLevel = 16;  // with noise, from which on a level's table pays

struct PoissonBytes {
  // What poisson_low computes on its way for each level, and what the counts are stored as. A word
  // that is not below a sum is past that count.
  int32_t (*sums)[kMostCounts];   // [256] after each step
  uint8_t (*starts)[kWordParts];  // [258] how many sums all words of the part are past
  uint8_t* stored;                // [64] counts as pixels
  int32_t levels;                 // the bytes below it have a rate below kLowestRate; 0: no tables
  float photons, photon;          // of a grey level, and the reverse

  // `pixels`: about how many will get noise.
  void fill(float peak, int64_t pixels) {
    levels = 0;
    if (!(peak <= kHighestRate)) return;
    constexpr float full = Pixel<uint8_t>::full;
    photons = peak / full, photon = full / peak;
    int32_t low = 0;
    for (int v = 0; v < 256; ++v) low += static_cast<float>(v) * photons < kLowestRate ? 1 : 0;
    if (pixels < int64_t{kPixelsPerLevel} * low) return;
    float reciprocal[kMostCounts];
    for (int k = 0; k < kMostCounts; ++k) {
      reciprocal[k] = 1.0f / static_cast<float>(k + 1);
      stored[k] = Pixel<uint8_t>::store(clip(static_cast<float>(k) * photon, full));
    }
    for (; levels < low; ++levels) {
      fill_level(static_cast<float>(levels) * photons, reciprocal, sums[levels], starts[levels]);
    }
  }

  // Which draws the pixels in the ROI use, as Poisson::used.
  int used(const uint8_t* pixels, const uint8_t* in_roi) const {
    static_assert(kUniform == 2 * kNormal, "one test for both");
    const uint8_t last = static_cast<uint8_t>(levels - 1);
    uint8_t any = 0;
    for (int i = 0; i < kLanes; ++i) {
      any = static_cast<uint8_t>(any | (pixels[i] <= last ? 2 * in_roi[i] : in_roi[i]));
    }
    return any;
  }

  // Pixels with noise; those outside the ROI may be any.
  void apply(const uint8_t* __restrict pixels, const float* __restrict values, int draws,
             Random random, uint8_t* __restrict after) const {
    if (draws & kNormal) {
      float x[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float rate = values[i] * photons;
        const float high = rate > kLowestRate ? rate : kLowestRate;
        x[i] = static_cast<float>(poisson_high(high, random.n[i])) * photon;
      }
      clip_lanes<kLanes>(x, Pixel<uint8_t>::full);
      store_lanes<uint8_t, kLanes>(x, after);
      if (!(draws & kUniform)) return;
    }
    const uint8_t last = static_cast<uint8_t>(levels - 1);
    uint8_t low[kLanes];
    look_up(pixels, random.word, low);
    for (int i = 0; i < kLanes; ++i) after[i] = pixels[i] <= last ? low[i] : after[i];
  }

 private:
  void look_up(const uint8_t* pixels, const uint32_t* words, uint8_t* to) const {
    for (int i = 0; i < kLanes; ++i) {
      const int32_t level = pixels[i] < levels ? pixels[i] : 0;
      const int32_t word = static_cast<int32_t>(words[i] >> 2);
      int32_t k = starts[level][word >> 24];
      while (word >= sums[level][k]) ++k;
      to[i] = stored[k];
    }
  }

  static void fill_level(float rate, const float* reciprocal, int32_t* sums_of,
                         uint8_t* starts_of) {
    float probability = exp_negative(rate) * 0x1p30f;
    int32_t sum = 0, k = 0;
    memset(starts_of, 0, kWordParts);
    for (int32_t part; (part = static_cast<int32_t>(probability)) > 0; ++k) {
      sum += part;
      sums_of[k] = sum;
      const int32_t from = (sum + (1 << 24) - 1) >> 24;  // the first part all of which is past it
      memset(starts_of + from, k + 1, kWordParts);       // into the next level, which comes later
      probability *= rate * reciprocal[k];
    }
    sums_of[k] = INT32_MAX;
  }
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
