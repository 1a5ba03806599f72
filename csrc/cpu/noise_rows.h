// One job: noise on the four rows of a band, where they are in the ROI.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/scratch.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// A group, eight columns by four rows, is changed together, row after row: 32 values are enough for
// the compiler's vectors, and small beside the ROI. Some groups are drawn together: independent
// chains hide latency.
struct NoiseRows {
  const Batch& b;
  const Sample& p;
  uint32_t frame;       // of the sample
  int32_t band;         // which one; those of its rows that lie past the canvas have no ROI
  int32_t step;         // values per pixel of a row: its channels where they are interleaved
  uint8_t* const* roi;  // four rows of [canvas width] 0 or 1
  uint8_t* any;         // [canvas width + 32], filled here; zero beside the thumbnail
  const RoundKeys& keys;
  const PoissonBytes& poisson;

  // row[channel][r], or row[0][r] where a row holds all channels. Returns whether all values that
  // get noise are of the range's unit, if that is asked for.
  template <class Kind, class T>
  bool add(T* const (*row)[kBandRows]) const {
    return is_default<T>(b.out_range) ? add_in<Kind, T, true>(row) : add_in<Kind, T, false>(row);
  }

  template <class Kind, class T, bool kDefault>
  bool add_in(T* const (*row)[kBandRows]) const {
    const bool checked = b.check_values && !Pixel<T>::integer;
    bool fits = true;
    const int32_t left = p.thumbnail.x, right = left + p.thumbnail.width;
    unite(left, right);
    const Noise noise{p.strength, b.salt_vs_pepper};
    alignas(32) float n[kMostGroups * kLanes];
    alignas(32) uint32_t word[kMostGroups * kLanes];
    if (std::is_same<Kind, Poisson>::value) {  // beside the ROI some are read, but not drawn
      memset(n, 0, sizeof n);
      memset(word, 0, sizeof word);
    }
    for (int32_t x = next_roi(left), groups = 0; x < right; x = next_roi(x + groups * kColumns)) {
      groups = groups_from(x);
      int drawn = 0;
      for (int32_t channel = 0; channel < b.c; ++channel) {
        if (b.per_channel) drawn = 0;
        int used[kMostGroups];
        const int draws = draws_used<Kind>(row, channel, x, groups, noise, used) & ~drawn;
        draw<Kind>(draws, noise_block(band, x, b.w),
                   b.per_channel ? static_cast<uint32_t>(channel) : 0, groups, n, word);
        drawn |= draws;
        for (int32_t g = 0; g < groups; ++g) {
          alignas(32) T pixels[kLanes];
          alignas(32) uint8_t in_roi[kLanes];
          float values[kLanes];
          gather(row, channel, x + g * kColumns, pixels);
          load_lanes<T, kLanes>(pixels, values);
          gather_roi(x + g * kColumns, in_roi);
          if (checked) fits &= all_fit(values, in_roi);
          blend<Kind, T, kDefault>(pixels, values, in_roi, used[g],
                                   Random{n + g * kLanes, word + g * kLanes}, noise);
          scatter(pixels, channel, x + g * kColumns, row);
        }
      }
    }
    return fits;
  }

  // How many groups of columns from x on are drawn together: the last one has ROI.
  int32_t groups_from(int32_t x) const {
    int32_t groups = kMostGroups;
    for (; groups > 1; --groups) {
      uint64_t last;
      memcpy(&last, any + x + (groups - 1) * kColumns, sizeof last);
      if (last != 0) break;
    }
    return groups;
  }

  void gather_roi(int32_t x, uint8_t* to) const {
    four_eights(roi[0] + x, roi[1] + x, roi[2] + x, roi[3] + x, to);
  }

  // Whether the columns' pixels are neighbours in each row; all but these are slow.
  bool neighbours(int32_t x) const { return step == 1 && x + kColumns <= b.w; }

  // One channel's place in row r.
  template <class T>
  T* place(T* const (*row)[kBandRows], int32_t channel, int r, int32_t x) const {
    return (step == 1 ? row[channel][r] : row[0][r] + channel) + int64_t{x} * step;
  }

  // Columns past the canvas get black, which lies in any range.
  template <class T>
  void gather(T* const (*row)[kBandRows], int32_t channel, int32_t x, T* to) const {
    if (neighbours(x)) {
      T* const* rows = row[channel];
      return four_eights(rows[0] + x, rows[1] + x, rows[2] + x, rows[3] + x, to);
    }
    for (int r = 0; r < kBandRows; ++r) {
      const T* from = place(row, channel, r, x);
      for (int32_t i = 0; i < kColumns; ++i) {
        *to++ = x + i < b.w ? from[i * step] : Pixel<T>::store(b.out_range.low);
      }
    }
  }

  template <class T>
  void scatter(const T* from, int32_t channel, int32_t x, T* const (*row)[kBandRows]) const {
    const bool whole = neighbours(x);
    const int32_t count = static_cast<int32_t>(smaller(kColumns, b.w - x));
    for (int r = 0; r < kBandRows; ++r, from += kColumns) {
      if (whole) {
        memcpy(static_cast<void*>(row[channel][r] + x), from, kColumns * sizeof(T));
        continue;
      }
      T* to = place(row, channel, r, x);
      for (int32_t i = 0; i < count; ++i) to[i * step] = from[i];
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
    const uint8_t *r0 = roi[0], *r1 = roi[1], *r2 = roi[2], *r3 = roi[3];
    for (int32_t x = left; x < right; ++x) {
      to[x] = static_cast<uint8_t>(r0[x] | r1[x] | r2[x] | r3[x]);
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

  // Those of the kind's draws that values in the ROI use, of each group and of all.
  template <class Kind, class T>
  int draws_used(T* const (*row)[kBandRows], int32_t channel, int32_t x, int32_t groups,
                 Noise noise, int* used) const {
    int all = 0;
    for (int32_t g = 0; g < groups; ++g, x += kColumns) {
      used[g] = Kind::draws;
      if constexpr (std::is_same<Kind, Poisson>::value) {
        alignas(32) T pixels[kLanes];
        alignas(32) uint8_t in_roi[kLanes];
        gather(row, channel, x, pixels);
        gather_roi(x, in_roi);
        used[g] = poisson_draws(pixels, in_roi, noise);
      }
      all |= used[g];
    }
    return all;
  }

  template <class T>
  int poisson_draws(const T* pixels, const uint8_t* in_roi, Noise noise) const {
    if constexpr (sizeof(T) == 1) {
      if (poisson.levels > 0) return poisson.used(pixels, in_roi);
    }
    float heights[kLanes];
    load_lanes<T, kLanes>(pixels, heights);
    for (float& height : heights) height -= b.out_range.low;
    return Poisson::used<kLanes>(heights, in_roi, b.out_range.full, noise);
  }

  template <class Kind>
  void draw(int draws, uint32_t block, uint32_t channel, int32_t groups, float* n,
            uint32_t* word) const {
    if (Kind::draws & draws & kNormal) {
      alignas(32) uint32_t pairs[kMostGroups * kLanes];
      philox_lanes(counter(block, p.id, Purpose::normal, channel, frame), keys, groups, pairs);
      for (int32_t start = 0; start < groups * kLanes; start += 2 * kColumns) {
        for (int32_t i = start; i < start + kColumns; ++i) {
          normal_pair(pairs[i], pairs[i + kColumns], n[i], n[i + kColumns]);
        }
      }
    }
    if (Kind::draws & draws & kUniform) {
      philox_lanes(counter(block, p.id, Purpose::uniform, channel, frame), keys, groups, word);
    }
  }

  // Changes the pixels in the ROI; `values` too where the range is the default one.
  template <class Kind, class T, bool kDefault>
  void blend(T* __restrict pixels, float* __restrict values, const uint8_t* __restrict in_roi,
             [[maybe_unused]] int used, Random random, Noise noise) const {
    alignas(32) T after[kLanes];
    if constexpr (kDefault && std::is_same<Kind, Poisson>::value && sizeof(T) == 1) {
      if (poisson.levels > 0) {
        memcpy(after, pixels, sizeof after);
        poisson.apply(pixels, values, used, random, after);
        return put_in_roi(after, in_roi, pixels);
      }
    }
    if constexpr (kDefault) {  // noisy_values, in place
      Kind::template apply<kLanes>(values, random, Pixel<T>::full, noise);
      clip_lanes<kLanes>(values, Pixel<T>::full);
      if constexpr (std::is_same<T, float>::value) return put_in_roi(values, in_roi, pixels);
      store_lanes<T, kLanes>(values, after);
    } else {
      noisy_values<Kind, T, kLanes, false>(values, after, random, noise, b.out_range);
    }
    put_in_roi(after, in_roi, pixels);
  }

  template <class T>
  static void put_in_roi(const T* __restrict after, const uint8_t* __restrict in_roi,
                         T* __restrict pixels) {
    if constexpr (Pixel<T>::integer) {  // so that the compiler finds its vectors
      for (int i = 0; i < kLanes; ++i) {
        pixels[i] = static_cast<T>(pixels[i] ^ ((pixels[i] ^ after[i]) & -in_roi[i]));
      }
    } else {
      for (int i = 0; i < kLanes; ++i) pixels[i] = in_roi[i] ? after[i] : pixels[i];
    }
  }
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
