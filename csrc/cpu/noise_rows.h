// One job: noise on the four rows of a band, where they are in the ROI.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cpu/scratch.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

struct NoiseRows {
  const Batch& b;
  const Sample& p;
  uint32_t frame;       // of the sample
  int32_t band, rows;   // which band, and how many of its rows there are
  int32_t step;         // values per pixel of a row: its channels where they are interleaved
  uint8_t* const* roi;  // four rows of [canvas width] 0 or 1
  uint8_t* any;         // [canvas width + kLanes], filled here; zero beside the thumbnail

  // row[channel][r], or row[0][r] where a row holds all channels. Returns whether all values that
  // get noise are of the range's unit, if that is asked for.
  template <class Kind, class T>
  bool add(T* (*row)[kBandRows]) const {
    return is_default<T>(b.out_range) ? add_in<Kind, T, true>(row) : add_in<Kind, T, false>(row);
  }

  template <class Kind, class T, bool kDefault>
  bool add_in(T* (*row)[kBandRows]) const {
    const bool checked = b.check_values && !Pixel<T>::integer;
    bool fits = true;
    const int32_t left = p.thumbnail.x, right = left + p.thumbnail.width;
    unite(left, right);
    const Noise noise{p.strength, b.salt_vs_pepper};
    const RoundKeys keys{b.seed};
    float n[kBandRows][kLanes];
    uint32_t word[kBandRows][kLanes];
    for (int32_t x = next_roi(left); x < right; x = next_roi(x + kLanes)) {
      const int32_t count = static_cast<int32_t>(smaller(kLanes, b.w - x));
      for (int32_t channel = 0; channel < b.c; ++channel) {
        if (channel == 0 || b.per_channel) {
          draw<Kind>(noise_block(band, x, b.w), static_cast<uint32_t>(channel), keys, n, word);
        }
        for (int32_t r = 0; r < rows; ++r) {
          T* pixels = (step == 1 ? row[channel][r] : row[0][r] + channel) + int64_t{x} * step;
          float values[kLanes];
          load(pixels, count, values);
          if (checked) fits &= all_fit(values, roi[r] + x);
          blend<Kind, T, kDefault>(pixels, values, roi[r] + x, count, Random{n[r], word[r]}, noise);
        }
      }
    }
    return fits;
  }

  // Columns past the canvas get black, which lies in any range.
  template <class T>
  void load(const T* pixels, int32_t count, float* values) const {
    if (step == 1 && count == kLanes) return load_lanes<T, kLanes>(pixels, values);
    for (int i = 0; i < kLanes; ++i) {
      values[i] = i < count ? Pixel<T>::load(pixels[i * step]) : b.out_range.low;
    }
  }

  // The first test includes pixels beside the ROI: it is quicker, and nearly always enough.
  bool all_fit(const float* values, const uint8_t* in_roi) const {
    const float room = kTolerated * b.out_range.full;  // far_outside, for the compiler's vectors
    const float least = b.out_range.low - room, most = b.out_range.high + room;
    int32_t outside = 0;
    for (int i = 0; i < kLanes; ++i) {
      outside |= (values[i] < least ? 1 : 0) | (values[i] > most ? 1 : 0);
    }
    if (outside == 0) return true;
    bool fit = true;
    for (int i = 0; i < kLanes; ++i) fit &= in_roi[i] == 0 || !far_outside(values[i], b.out_range);
    return fit;
  }

  void unite(int32_t left, int32_t right) const {
    uint8_t* __restrict to = any;
    memcpy(to + left, roi[0] + left, static_cast<size_t>(right - left));
    for (int32_t r = 1; r < rows; ++r) {
      const uint8_t* __restrict from = roi[r];
      for (int32_t x = left; x < right; ++x) to[x] |= from[x];
    }
  }

  // The first column from x on that is in the ROI in any row of the band; past the thumbnail: none.
  int32_t next_roi(int32_t x) const {
    const int32_t right = p.thumbnail.x + p.thumbnail.width;
    for (; x < right; x += 8) {
      uint64_t eight;
      memcpy(&eight, any + x, sizeof eight);  // `any` is longer than the row
      if (eight != 0) break;
    }
    while (x < right && any[x] == 0) ++x;
    return x;
  }

  template <class Kind>
  void draw(uint32_t block, uint32_t channel, const RoundKeys& keys, float (*n)[kLanes],
            uint32_t (*word)[kLanes]) const {
    if (Kind::draws & kNormal) {
      philox_lanes<kLanes>(counter(block, p.id, Purpose::normal, channel, frame), keys, word);
      for (int pair = 0; pair < kBandRows; pair += 2) {
        for (int i = 0; i < kLanes; ++i) {
          normal_pair(word[pair][i], word[pair + 1][i], n[pair][i], n[pair + 1][i]);
        }
      }
    }
    if (Kind::draws & kUniform) {
      philox_lanes<kLanes>(counter(block, p.id, Purpose::uniform, channel, frame), keys, word);
    }
  }

  // Changes `values` where the range is the default one.
  template <class Kind, class T, bool kDefault>
  void blend(T* __restrict pixels, float* __restrict values, const uint8_t* __restrict in_roi,
             int32_t count, Random random, Noise noise) const {
    T after[kLanes];
    if constexpr (kDefault) {  // noisy_values, in place
      Kind::template apply<kLanes>(values, random, Pixel<T>::full, noise);
      clip_lanes<kLanes>(values, Pixel<T>::full);
      store_lanes<T, kLanes>(values, after);
    } else {
      noisy_values<Kind, T, kLanes, false>(values, after, random, noise, b.out_range);
    }
    if (step == 1 && count == kLanes) {
      for (int i = 0; i < kLanes; ++i) pixels[i] = in_roi[i] ? after[i] : pixels[i];
      return;
    }
    for (int i = 0; i < count; ++i) {
      if (in_roi[i]) pixels[i * step] = after[i];
    }
  }
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
