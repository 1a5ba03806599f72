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
  uint16_t of[kMost];  // rows of the ROI, 4 bits; band, 3 bits; column, 7 bits
};

template <class Label>
__device__ void read_labels(const Tile& t, const Tables& tables, int32_t column, int32_t row,
                            uint32_t inside, Label (&label)[kStrip][kStrip]) {
  if (t.four_labels && inside == kWholeStrip) {
    const char* from = t.source.mask + tables.y.mask[row] + tables.x.mask[column];
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      const auto four = *reinterpret_cast<const Four<Label>*>(from + r * t.source.mask_y);
#pragma unroll
      for (int32_t c = 0; c < kStrip; ++c) label[r][c] = four.of[c];
    }
    return;
  }
  const bool aligned = t.masks_aligned;
  const auto x = four_of(tables.x.mask, column);
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
    const char* from = opaque(t.source.mask + tables.y.mask[row + r]);
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) label[r][c] = load<Label>(from + x.of[c], aligned);
  }
  if (inside == kWholeStrip) return;
#pragma unroll
  for (int32_t i = 0; i < kStrip * kStrip; ++i) {
    if ((inside >> i & 1) == 0) label[i / kStrip][i % kStrip] = 0;
  }
}

template <class Label>
__device__ void write_labels(const Batch& b, const Tile& t, int32_t column, int32_t row,
                             const Label (&label)[kStrip][kStrip]) {
  char* to = t.masks + row * b.mask_y + column * b.mask_x;
  if (t.four_labels_out && column + kStrip <= t.columns) {
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      if (row + r >= t.rows) return;
      Four<Label> four;
#pragma unroll
      for (int32_t c = 0; c < kStrip; ++c) four.of[c] = label[r][c];
      *reinterpret_cast<Four<Label>*>(to + r * b.mask_y) = four;
    }
    return;
  }
  const bool aligned =
      (bits_of(t.masks) | bits_of(b.mask_y) | bits_of(b.mask_x)) % sizeof(Label) == 0;
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      if (row + r < t.rows && column + c < t.columns) {
        store<Label>(to + r * b.mask_y + c * b.mask_x, label[r][c], aligned);
      }
    }
  }
}

template <class Label>
__device__ void note_roi(const Batch& b, int32_t column, int32_t row, uint32_t inside,
                         const Label (&label)[kStrip][kStrip], NoisyColumns& noisy) {
  Label any = 0;
#pragma unroll
  for (int32_t i = 0; i < kStrip * kStrip; ++i) any |= label[i / kStrip][i % kStrip];
  if (any == 0 && b.label_count == 0) return;  // as most strips are
  uint32_t rows[kStrip] = {};                  // of each column
  int32_t columns = 0;
#pragma unroll
  for (int32_t c = 0; c < kStrip; ++c) {
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      const bool noisy_one =
          b.label_count == 0 ? label[r][c] != 0 : in_roi(label[r][c], b.label_count, b.labels);
      if (noisy_one && (inside >> (4 * r + c) & 1)) rows[c] |= 1u << r;
    }
    columns += rows[c] ? 1 : 0;
  }
  if (columns == 0) return;
  int32_t place = atomicAdd(&noisy.count, columns);
  const uint32_t band = static_cast<uint32_t>(row / kBandRows);
#pragma unroll
  for (int32_t c = 0; c < kStrip; ++c) {
    if (rows[c]) {
      noisy.of[place++] = static_cast<uint16_t>(rows[c] | band << 4 | (column + c) << 7);
    }
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
      Label label[kStrip][kStrip] = {};
      if (inside) read_labels(t, tables, column, row, inside, label);
      if (t.masks) write_labels(b, t, column, row, label);
      if (inside && t.p.noise >= 0) note_roi(b, column, row, inside, label, noisy);
    });
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
