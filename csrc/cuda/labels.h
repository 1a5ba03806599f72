// One job: the labels of a tile, a strip at a time, and which of its columns hold ROI.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/tables.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// The columns of four rows that hold ROI, in any order: the threads share the noise out evenly.
struct NoisyColumns {
  static constexpr int32_t kMost = kRowValues * kTileRows / kBandRows;
  int32_t count;
  uint16_t of[kMost];  // rows of the ROI, 4 bits; band, 4 bits; column, 7 bits
};

// Four neighbours of a row, in words: most labels are moved without being looked at.
template <class Label>
struct alignas(sizeof(Four<Label>) < 16 ? sizeof(Four<Label>) : 16) LabelRow {
  static constexpr int32_t kBits = 8 * sizeof(Label), kWord = 32;
  uint32_t w[sizeof(Label)];

  __device__ Label get(int32_t c) const {
    if constexpr (kBits > kWord) {
      return w[2 * c] | Label{w[2 * c + 1]} << kWord;
    } else {
      return static_cast<Label>(w[c * kBits / kWord] >> (c * kBits % kWord));
    }
  }
  // where there is a 0
  __device__ void put(int32_t c, Label label) {
    if constexpr (kBits > kWord) {
      w[2 * c] = static_cast<uint32_t>(label);
      w[2 * c + 1] = static_cast<uint32_t>(label >> kWord);
    } else {
      w[c * kBits / kWord] |= uint32_t{label} << (c * kBits % kWord);
    }
  }
};

template <class Label>
using LabelStrip = LabelRow<Label>[kStrip];

// Into a strip of zeros.
template <class Label>
__device__ void read_labels(const Tile& t, const Tables& tables, int32_t column, int32_t row,
                            uint32_t inside, LabelStrip<Label>& label) {
  if (t.four_labels && inside == kWholeStrip) {
    const char* from = t.source.mask + tables.y.mask[row] + tables.x.mask[column];
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      label[r] = *reinterpret_cast<const LabelRow<Label>*>(from);
      from += t.source.mask_y;
    }
    return;
  }
  const bool aligned = t.masks_aligned;
  const auto x = four_of(tables.x.mask, column);
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
    const char* from = opaque(t.source.mask + tables.y.mask[row + r]);
    Label four[kStrip];
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) four[c] = load<Label>(from + x.of[c], aligned);
    if (inside != kWholeStrip) {
#pragma unroll
      for (int32_t c = 0; c < kStrip; ++c) four[c] = is_inside(inside, c, r) ? four[c] : Label{0};
    }
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) label[r].put(c, four[c]);
  }
}

template <class Label>
__device__ void write_labels(const Batch& b, const Tile& t, int32_t column, int32_t row,
                             const LabelStrip<Label>& label) {
  char* to = t.masks + row * b.mask_y + column * b.mask_x;
  const int32_t rows = t.rows - row, columns = t.columns - column;
  if (t.four_labels_out && columns >= kStrip) {
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      if (r < rows) *reinterpret_cast<LabelRow<Label>*>(to) = label[r];
      to += b.mask_y;
    }
    return;
  }
  const bool aligned =
      (bits_of(t.masks) | bits_of(b.mask_y) | bits_of(b.mask_x)) % sizeof(Label) == 0;
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      if (r < rows && c < columns) {
        store<Label>(to + r * b.mask_y + c * b.mask_x, label[r].get(c), aligned);
      }
    }
  }
}

template <class Label>
__device__ void note_roi(const Batch& b, int32_t column, int32_t row, uint32_t inside,
                         const LabelStrip<Label>& label, NoisyColumns& noisy) {
  uint32_t any = 0;
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
    for (uint32_t word : label[r].w) any |= word;
  }
  if (any == 0 && b.label_count == 0) return;  // as most strips are
  uint32_t roi = 0;                            // a bit for each pixel, as in `inside`
#pragma unroll
  for (int32_t i = 0; i < kStrip * kStrip; ++i) {
    const Label one = label[i % kStrip].get(i / kStrip);
    const bool noisy_one = b.label_count == 0 ? one != 0 : in_roi(one, b.label_count, b.labels);
    roi |= noisy_one ? 1u << i : 0;
  }
  roi &= inside;
  if (roi == 0) return;
  const int32_t columns = __popc((roi | roi >> 1 | roi >> 2 | roi >> 3) & 0x1111u);
  int32_t place = atomicAdd(&noisy.count, columns);
  const uint32_t band = static_cast<uint32_t>(row / kBandRows);
#pragma unroll
  for (int32_t c = 0; c < kStrip; ++c) {
    const uint32_t rows = roi >> (kStrip * c) & 15;
    if (rows) noisy.of[place++] = static_cast<uint16_t>(rows | band << 4 | (column + c) << 8);
  }
}

// Copies the tile's labels, and notes the columns that get noise.
__device__ inline void fill_labels(const Batch& b, const Tile& t, const Tables& tables,
                                   NoisyColumns& noisy) {
  if (!t.masks && t.p.noise < 0) return;
  with_label(b.mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    each_strip(t, 1, [&](int32_t column, int32_t row, int32_t) {
      const uint32_t inside = covered(tables, column, row);
      LabelStrip<Label> label = {};
      if (inside) read_labels(t, tables, column, row, inside, label);
      if (t.masks) write_labels(b, t, column, row, label);
      if (inside && t.p.noise >= 0) note_roi(b, column, row, inside, label, noisy);
    });
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
