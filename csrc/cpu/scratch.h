// One job: the CPU's working memory for the rows of one sample, cut from one block.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu/axis.h"
#include "cpu/byte_rows.h"
#include "cpu/poisson_bytes.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// Hands out aligned pieces of one block of memory; without a block it only measures.
class Arena {
 public:
  explicit Arena(char* memory) : base(memory) {}

  template <class T>
  T* take(int64_t count) {
    char* piece = base ? base + used : nullptr;
    used += (static_cast<size_t>(count) * sizeof(T) + 63) & ~size_t{63};
    return reinterpret_cast<T*>(piece);
  }
  size_t bytes() const { return used; }

 private:
  char* base;
  size_t used = 0;
};

struct Scratch {
  char* source_row[2 * kBandRows];  // [window width * c] of the input's type, or of the mask's
  float* float_row[2 * kBandRows];  // [window width * c] shorter floats', or antialiased ones
  Four *columns, *resized;          // [window width * c + c], [thumbnail width * c] columns
  Column<uint8_t>*above, *below;  // [window width * c + c] columns of bytes: two rows for each of 4
  char* small;                    // [thumbnail width * c] columns of the output's type
  int64_t *first, *taps;          // [thumbnail width * c] place in `columns`; antialias: how many
  Four* weight4;                  // [thumbnail width * c] bilinear weights, four times each
  int16_t* fixed_weight;          // [thumbnail width * c] those of integers
  float* weight;                  // [thumbnail width, taps] antialias
#ifdef SASAUG_SHUFFLES
  Pick* picks;              // [thumbnail width * c / 8]
  PickBytes* byte_picks;    // [thumbnail width * c / 16]
  PickLabels* label_picks;  // [thumbnail width / 16]
#endif
  char *mask_columns, *mask_small;  // [window width], [thumbnail width] columns of labels
  char* spare_row[kBandRows];       // [thumbnail width * c] of either's type
  RowPlace* rows;                   // [canvas height] those of the thumbnail
  Bilinear* across;                 // [thumbnail width] the image's columns in the window
  int32_t* mask_x;                  // [thumbnail width] nearest-exact: column in the window
  // [canvas width] where `images` has other strides; the first [* c] where it holds all channels
  char* image_row[kMaxChannels][kBandRows];
  char* mask_row[kBandRows];  // [canvas width]
  uint8_t* roi[kBandRows];    // [canvas width] 0 or 1
  uint8_t* roi_any;           // [canvas width + 32] 1 where a row has ROI, then 0

  PoissonBytes poisson;  // of bytes in the default range; without tables at first

  // Enough for windows and thumbnails up to these widths.
  Scratch(const Batch& b, int64_t source_w, int64_t thumbnail_w, Arena& arena) {
    const int64_t in = pixel_bytes(b.in_type), out = pixel_bytes(b.out_type), label = b.mask_bytes;
    const int64_t row_bytes = source_w * (b.c * in > label ? b.c * in : label);
    for (char*& row : source_row) row = arena.take<char>(row_bytes);
    const bool floats_needed = b.antialias || in == 2;
    for (float*& row : float_row) row = arena.take<float>(floats_needed ? source_w * b.c : 0);
    columns = arena.take<Four>((source_w + 1) * b.c);
    resized = arena.take<Four>(thumbnail_w * b.c);
    above = arena.take<Column<uint8_t>>((source_w + 1) * b.c);
    below = arena.take<Column<uint8_t>>((source_w + 1) * b.c);
    small = arena.take<char>(thumbnail_w * b.c * out * kBandRows);
    first = arena.take<int64_t>(thumbnail_w * b.c);
    taps = arena.take<int64_t>(b.antialias ? thumbnail_w : 0);
    weight4 = arena.take<Four>(thumbnail_w * b.c);
    fixed_weight = arena.take<int16_t>(thumbnail_w * b.c);
    weight = arena.take<float>(b.antialias ? 2 * source_w + 3 * thumbnail_w : 0);
#ifdef SASAUG_SHUFFLES
    picks = arena.take<Pick>((thumbnail_w * b.c + kPicked - 1) / kPicked);
    byte_picks = arena.take<PickBytes>((thumbnail_w * b.c + kPickedBytes - 1) / kPickedBytes);
    label_picks = arena.take<PickLabels>((thumbnail_w + kPickedLabels - 1) / kPickedLabels);
#endif
    mask_columns = arena.take<char>(source_w * label * kBandRows);
    mask_small = arena.take<char>(thumbnail_w * label * kBandRows);
    const int64_t spare_bytes = thumbnail_w * (b.c * out > label ? b.c * out : label);
    for (char*& row : spare_row) row = arena.take<char>(spare_bytes);
    rows = arena.take<RowPlace>(b.h);
    across = arena.take<Bilinear>(thumbnail_w);
    mask_x = arena.take<int32_t>(thumbnail_w);
    for (int32_t r = 0; r < kBandRows; ++r) {
      char* all = arena.take<char>(int64_t{b.w} * b.c * out);
      for (int32_t k = 0; k < b.c; ++k)
        image_row[k][r] = all ? all + int64_t{k} * b.w * out : nullptr;
    }
    for (char*& row : mask_row) row = arena.take<char>(int64_t{b.w} * label);
    for (uint8_t*& row : roi) row = arena.take<uint8_t>(b.w);
    roi_any = arena.take<uint8_t>(b.w + kMostGroups * kColumns);
    poisson.sums = arena.take<int32_t[kMostCounts]>(out == 1 ? 256 : 0);
    poisson.starts = arena.take<uint8_t[kWordParts]>(out == 1 ? 258 : 0);
    poisson.stored = arena.take<uint8_t>(kMostCounts);
    poisson.levels = 0;
  }

  // The taps of one output pixel; n_dst times as many are at most 2 * n_src + 3 * n_dst.
  static int64_t most_taps(int64_t n_src, int64_t n_dst) { return 2 * n_src / n_dst + 3; }
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
