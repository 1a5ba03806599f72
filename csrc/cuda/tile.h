// One job: which tile of a canvas is whose, and what all of its threads know of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/memory.h"

namespace sasaug {

constexpr int32_t kTileThreads = 256;
constexpr int32_t kPlainThreads = kTileThreads / 2;  // for the image of a plain tile, or its labels
constexpr int32_t kTileRows = 64;
constexpr int32_t kRowValues = 128;  // of a tile's row, all channels together

// A thread's share of a tile: strips of 4 x 4 pixels. Four rows share their random words
// (kBandRows), and four neighbours make one access.
constexpr int32_t kStrip = 4;
constexpr uint32_t kWholeStrip = 0xFFFF;  // a bit for each of its pixels, column by column

inline namespace SASAUG_VARIANT {

SASAUG_HD int32_t tile_columns(const Batch& b) {
  return b.c == 1 ? kRowValues : (b.c == 2 ? kRowValues / 2 : kRowValues / 4);
}

SASAUG_HD int64_t tiles_across(const Batch& b) { return (int64_t{b.w} - 1) / tile_columns(b) + 1; }
SASAUG_HD int64_t tiles_down(const Batch& b) { return (int64_t{b.h} - 1) / kTileRows + 1; }
SASAUG_HD int64_t tile_count(const Batch& b) {
  return frame_count(b) * tiles_down(b) * tiles_across(b);
}

// How the values of a tile lie in shared memory, in units of a value: as they leave for the canvas.
struct Stage {
  int32_t y, x, c;
};

// A tile's rows without gaps, as they are written: in units of `unit` bytes.
struct Rows {
  char* to;
  int64_t y, plane;
  int32_t unit, units, rows, planes;
  int32_t lanes;  // log2: a power of two of threads share a row, so that short rows keep them busy
  int32_t step;   // from a thread's row to its next
};

// A tile: some columns and rows of a frame's canvas, or what is left of them at its edges. Kept
// once for all its threads, which have few registers.
struct Tile {
  Source source;  // its addresses those of the window's first pixel
  Sample p;
  char *images, *masks;                      // those of the tile's first pixel
  const char *image_beneath, *mask_beneath;  // the window's, where nothing is resized
  int32_t y0, x0, rows, columns;
  int32_t left, right, top, bottom;  // the thumbnail's part of the tile; empty: left == right
  Stage stage;
  uint32_t black;  // a black value's bits, repeated in all four bytes
  uint32_t frame;  // of the sample
  bool copied, antialias_x, antialias_y;
  bool integers;  // bytes are resized by fixed_lerp
  // The bilinear pair of every column is two neighbouring values: rows shrink, and lie gapless.
  bool pairs;
  bool source_aligned, masks_aligned;
  bool gapless;  // the canvas's rows are written in units
  bool plain;    // wholly black or wholly a copy, in rows without gaps
  bool more;     // this is not the block's last tile
  bool four_values, four_labels, four_labels_out;  // four neighbours in one access
  int32_t across;                                  // log2 of the strips in a row
  Rows image_rows, mask_rows;
};

struct TilePlace {
  FramePlace of;
  int32_t y0, x0;
};

__device__ inline TilePlace tile_place(const Batch& b, int64_t number) {
  const int64_t row = quotient(number, tiles_across(b)), of = quotient(row, tiles_down(b));
  return {frame_place(b, of), static_cast<int32_t>(row - of * tiles_down(b)) * kTileRows,
          static_cast<int32_t>(number - row * tiles_across(b)) * tile_columns(b)};
}

// Black as the output stores it, in all four bytes.
__device__ inline uint32_t repeated_black(const Batch& b) {
  const uint32_t bits = black_bits(b);
  const int32_t size = pixel_bytes(b.out_type);
  return size == 1 ? bits * 0x01010101u : (size == 2 ? bits * 0x00010001u : bits);
}

__device__ inline Rows make_rows(char* to, int64_t y, int64_t plane, int32_t planes, int32_t bytes,
                                 int32_t rows, int32_t threads, uint64_t alignment) {
  const int32_t unit = common_unit(alignment | static_cast<uint64_t>(bytes));
  const int32_t units = bytes / unit;
  const int32_t lanes = units > threads / 2 ? 31 - __clz(threads) : 32 - __clz(units - 1);
  return {to, y, plane, unit, units, rows, planes, lanes, threads >> lanes};
}

// What decides how memory is accessed.
__device__ inline void find_accesses(const Batch& b, Tile& t, bool same_size) {
  const Source& q = t.source;
  const int64_t in = pixel_bytes(b.in_type), out = pixel_bytes(b.out_type), label = b.mask_bytes;
  const bool interleaved = b.c > 1 && b.image_c == out && b.image_x == b.c * out;
  const int32_t columns = tile_columns(b);
  t.stage = interleaved ? Stage{columns * b.c, b.c, 1} : Stage{columns, 1, columns * kTileRows};
  t.gapless = interleaved || b.image_x == out;
  t.source_aligned = (bits_of(q.image) | bits_of(q.image_y) | bits_of(q.image_x) |
                      (b.c > 1 ? bits_of(q.image_c) : 0)) %
                         in ==
                     0;
  t.pairs = t.p.window.width > t.p.thumbnail.width && q.image_x == in;
  t.masks_aligned = (bits_of(q.mask) | bits_of(q.mask_y) | bits_of(q.mask_x)) % label == 0;

  const int32_t y = t.y0 - t.p.thumbnail.y, x = t.x0 - t.p.thumbnail.x;
  t.image_beneath = q.image + y * q.image_y + x * q.image_x;
  t.mask_beneath = q.mask + y * q.mask_y + x * q.mask_x;
  const bool gapless_source = interleaved ? q.image_c == in && q.image_x == b.c * in  //
                                          : q.image_x == in;
  const uint64_t image_bits = bits_of(t.image_beneath) | bits_of(q.image_y) |
                              (b.c > 1 && !interleaved ? bits_of(q.image_c) : 0);
  const uint64_t mask_bits = bits_of(t.mask_beneath) | bits_of(q.mask_y);
  auto width = [](int64_t size) { return bits_of(size < 4 ? 4 * size : 16); };
  t.four_values = !interleaved && q.image_x == in && image_bits % width(in) == 0;
  t.four_labels = same_size && q.mask_x == label && mask_bits % width(label) == 0;
  const uint64_t out_bits = bits_of(t.masks) | bits_of(b.mask_y);
  t.four_labels_out = b.mask_x == label && out_bits % width(label) == 0;

  const bool black = t.left == t.right;
  const bool whole = t.right - t.left == t.columns && t.bottom - t.top == t.rows;
  const bool copy = whole && t.copied && t.p.noise < 0 && gapless_source && q.mask_x == label;
  t.plain = (black || copy) && t.gapless && (!t.masks || b.mask_x == label);
  const bool together = interleaved || b.c == 1;
  const uint64_t image_to =
      bits_of(t.images) | bits_of(b.image_y) | (together ? 0 : bits_of(b.image_c));
  t.image_rows = make_rows(t.images, b.image_y, b.image_c, together ? 1 : b.c,
                           t.columns * t.stage.x * static_cast<int32_t>(out), t.rows,
                           t.plain ? kPlainThreads : kTileThreads,
                           image_to | (t.plain && copy ? image_bits : 0));
  t.mask_rows = make_rows(t.masks, b.mask_y, 0, 1, t.columns * b.mask_bytes, t.rows, kPlainThreads,
                          out_bits | (copy ? mask_bits : 0));
}

__device__ inline Tile make_tile(const Batch& b, TilePlace at, const Source& source,
                                 const Sample& p) {
  Tile t;
  t.source = frame_of(source, at.of.frame);
  t.frame = static_cast<uint32_t>(at.of.frame);
  t.p = p;
  t.y0 = at.y0;
  t.x0 = at.x0;
  t.rows = b.h - at.y0 < kTileRows ? b.h - at.y0 : kTileRows;
  t.columns = b.w - at.x0 < tile_columns(b) ? b.w - at.x0 : tile_columns(b);
  t.across = 31 - __clz(tile_columns(b) / kStrip);
  t.images = b.images + at.of.s * b.image_n + at.of.frame * b.image_t + at.y0 * b.image_y +
             at.x0 * b.image_x;
  t.masks = b.masks ? b.masks + at.of.s * b.mask_n + at.of.frame * b.mask_t + at.y0 * b.mask_y +
                          at.x0 * b.mask_x
                    : nullptr;
  const Rectangle &window = p.window, &thumbnail = p.thumbnail;
  t.source.image += window.y * source.image_y + window.x * source.image_x;
  t.source.mask += window.y * source.mask_y + window.x * source.mask_x;

  auto within = [](int32_t v, int32_t most) { return v < 0 ? 0 : (v < most ? v : most); };
  t.left = within(thumbnail.x - t.x0, t.columns);
  t.right = within(thumbnail.x + thumbnail.width - t.x0, t.columns);
  t.top = within(thumbnail.y - t.y0, t.rows);
  t.bottom = within(thumbnail.y + thumbnail.height - t.y0, t.rows);
  if (t.top >= t.bottom || t.left >= t.right) t.left = t.right = t.top = t.bottom = 0;

  const bool same_size = window.width == thumbnail.width && window.height == thumbnail.height;
  t.copied = b.in_type == b.out_type && same_size;
  t.antialias_x = shrinks_antialiased(b.antialias, window.width, thumbnail.width);
  t.antialias_y = shrinks_antialiased(b.antialias, window.height, thumbnail.height);
  t.integers = in_integers(b, window, thumbnail);
  t.black = repeated_black(b);
  find_accesses(b, t, same_size);
  return t;
}

// Calls work(column, row, k) for the thread's strips, `times` in all for each: k = 0, 1 ...
template <class F>
__device__ void each_strip(const Tile& t, int32_t times, F work) {
  constexpr int32_t kDown = 4;  // log2 of the strips in a column
  static_assert(kStrip << kDown == kTileRows, "whole strips");
  const int32_t across = t.across, all = kDown + across;
  SASAUG_ROLLED
  for (int32_t i = threadIdx.x; i < times << all; i += kTileThreads) {
    const int32_t column = (i & ((1 << across) - 1)) * kStrip, row = (i >> across & 15) * kStrip;
    if (column < t.columns && row < t.rows) work(column, row, i >> all);
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
