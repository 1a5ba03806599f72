// One job: the labels of a tile, a strip at a time, and which of its columns hold ROI.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/roi_count.h"
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

// Rows of a strip that are under way at once: registers are few for labels of 8 bytes.
template <class Label>
constexpr int32_t kRowsAtOnce = sizeof(Label) < 8 ? kStrip : 1;

template <class Label>
using LabelRows = LabelRow<Label>[kRowsAtOnce<Label>];

// Labels of a byte, picked from the aligned words that hold them: none beyond those, so that all
// lie in the mask's row.
template <int32_t kWords>
__device__ void pick_labels(const Tile& t, const Tables& tables, int32_t column, int32_t row,
                            LabelRows<uint8_t>& label) {
  const auto x = four_of(tables.x.mask, column);
  const char* first = t.source.mask + x.of[0];
  const uint32_t skipped = bits_of(first) % 4;
  uint32_t pick = 0, apart = 0;
#pragma unroll
  for (int32_t c = 1; c < kStrip; ++c) {
    apart = static_cast<uint32_t>(x.of[c]) - static_cast<uint32_t>(x.of[0]);
    pick |= apart << (4 * c);
  }
  if (kWords == 2) pick += 0x1111u * skipped;
  const uint32_t last = (skipped + apart) & ~3u, middle = last < 4 ? last : 4;
  first -= skipped;
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
    const char* at = opaque(first + tables.y.mask[row + r]);
    auto word = [&](uint32_t offset) { return *reinterpret_cast<const uint32_t*>(at + offset); };
    if constexpr (kWords == 2) {
      label[r].w[0] = __byte_perm(word(0), word(last), pick);
    } else {
      const uint32_t second = word(middle);
      label[r].w[0] = __byte_perm(__funnelshift_r(word(0), second, 8 * skipped),
                                  __funnelshift_r(second, word(last), 8 * skipped), pick);
    }
  }
}

// Into rows of zeros. `inside` begins with their first one.
template <class Label>
__device__ void read_labels(const Tile& t, const Tables& tables, int32_t column, int32_t row,
                            bool whole, uint32_t inside, LabelRows<Label>& label) {
  if (t.four_labels && whole) {
    const char* from = t.source.mask + tables.y.mask[row] + tables.x.mask[column];
#pragma unroll
    for (int32_t r = 0; r < kRowsAtOnce<Label>; ++r) {
      label[r] = *reinterpret_cast<const LabelRow<Label>*>(from);
      from += t.source.mask_y;
    }
    return;
  }
  if constexpr (sizeof(Label) == 1) {
    if (t.label_words != 0) {
      if (t.label_words == 2) {
        pick_labels<2>(t, tables, column, row, label);
      } else {
        pick_labels<3>(t, tables, column, row, label);
      }
      if (whole) return;
#pragma unroll
      for (int32_t r = 0; r < kStrip; ++r) label[r].w[0] &= bytes_inside(inside, r);
      return;
    }
  }
  const bool aligned = t.masks_aligned;
  const auto x = four_of(tables.x.mask, column);
#pragma unroll
  for (int32_t r = 0; r < kRowsAtOnce<Label>; ++r) {
    const char* from = opaque(t.source.mask + tables.y.mask[row + r]);
    Label four[kStrip];
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) four[c] = load<Label>(from + x.of[c], aligned);
    if (!whole) {
#pragma unroll
      for (int32_t c = 0; c < kStrip; ++c) four[c] = is_inside(inside, c, r) ? four[c] : Label{0};
    }
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) label[r].put(c, four[c]);
  }
}

template <class Label>
__device__ void write_labels(const Batch& b, const Tile& t, int32_t column, int32_t row,
                             const LabelRows<Label>& label) {
  char* to = t.masks + row * b.mask_y + column * b.mask_x;
  const int32_t rows = t.rows - row, columns = t.columns - column;
  if (t.four_labels_out && columns >= kStrip && rows >= kRowsAtOnce<Label>) {
#pragma unroll
    for (const LabelRow<Label>& one : label) {
      *reinterpret_cast<LabelRow<Label>*>(to) = one;
      to += b.mask_y;
    }
    return;
  }
  const bool aligned =
      (bits_of(t.masks) | bits_of(b.mask_y) | bits_of(b.mask_x)) % sizeof(Label) == 0;
#pragma unroll
  for (int32_t r = 0; r < kRowsAtOnce<Label>; ++r) {
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      if (r < rows && c < columns) {
        store<Label>(to + r * b.mask_y + c * b.mask_x, label[r].get(c), aligned);
      }
    }
  }
}

// Which pixels are ROI.
template <class Label>
__device__ uint32_t roi_of(const Batch& b, const LabelRows<Label>& label) {
  uint32_t roi = 0;
  if (b.label_count > 0) {
#pragma unroll
    for (int32_t i = 0; i < kStrip * kRowsAtOnce<Label>; ++i) {
      const int32_t c = i % kStrip, r = i / kStrip;
      if (in_roi(label[r].get(c), b.label_count, b.labels)) roi |= 1u << (8 * c + r);
    }
    return roi;
  }
  uint32_t any = 0;
#pragma unroll
  for (const LabelRow<Label>& one : label) {
    for (uint32_t word : one.w) any |= word;
  }
  if (any == 0) return 0;  // as most strips are
#pragma unroll
  for (int32_t r = 0; r < kRowsAtOnce<Label>; ++r) {
    if constexpr (sizeof(Label) == 1) {
      roi |= not_zero<Label>(label[r].w[0]) >> (7 - r);
    } else {
#pragma unroll
      for (int32_t c = 0; c < kStrip; ++c) {
        if (label[r].get(c) != 0) roi |= 1u << (8 * c + r);
      }
    }
  }
  return roi;
}

__device__ inline void note_columns(int32_t column, int32_t row, uint32_t roi,
                                    NoisyColumns& noisy) {
  int32_t columns = 0;
#pragma unroll
  for (int32_t c = 0; c < kStrip; ++c) columns += (roi >> (8 * c) & 15) != 0 ? 1 : 0;
  int32_t place = atomicAdd(&noisy.count, columns);
  const uint32_t band = static_cast<uint32_t>(row) / kBandRows;
#pragma unroll
  for (int32_t c = 0; c < kStrip; ++c) {
    const uint32_t rows = roi >> (8 * c) & 15;
    if (rows) noisy.of[place++] = static_cast<uint16_t>(rows | band << 4 | (column + c) << 8);
  }
}

// Copies the labels of a strip, and notes the columns that get noise.
__device__ inline void fill_labels(const Batch& b, const Tile& t, const Tables& tables,
                                   int32_t column, int32_t row, uint32_t inside,
                                   NoisyColumns& noisy) {
  const bool noise = t.p.noise >= 0;
  if (!t.masks && !noise) return;
  uint32_t roi = 0;
  with_label(b.mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    SASAUG_ROLLED
    for (int32_t r = 0; r < kStrip; r += kRowsAtOnce<Label>) {
      LabelRows<Label> label = {};
      if (inside) {
        read_labels<Label>(t, tables, column, row + r, inside == kWholeStrip, inside >> r, label);
      }
      if (t.masks) write_labels<Label>(b, t, column, row + r, label);
      if (noise) roi |= roi_of<Label>(b, label) << r;
    }
  });
  roi &= inside;  // background may be ROI, too
  if (roi) note_columns(column, row, roi, noisy);
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
