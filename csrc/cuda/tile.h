// One job: which tile of a canvas is whose, and what all of its GPU threads know of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/roi_count.h"

namespace sasaug {

constexpr int32_t kTileColumns = 128, kTileRows = 32;

inline namespace SASAUG_VARIANT {

SASAUG_HD int64_t tiles_across(const Batch& b) { return (int64_t{b.w} - 1) / kTileColumns + 1; }
SASAUG_HD int64_t tiles_down(const Batch& b) { return (int64_t{b.h} - 1) / kTileRows + 1; }

SASAUG_HD int64_t tile_count(const Batch& b) { return b.n * tiles_down(b) * tiles_across(b); }

// A tile: 128 columns and 32 rows of a sample's canvas, or what is left of them at its edges. Kept
// once for all its threads, which have few registers.
struct Tile {
  Source source;  // its addresses those of the window's first pixel
  Sample p;
  Rectangle t;  // the thumbnail
  int32_t y0, x0, rows, columns;
  char *images, *masks;  // of the sample
  bool touched;          // by the thumbnail
  bool copied, antialias_x, antialias_y;
};

struct TilePlace {
  int64_t s;
  int32_t y0, x0;
};

SASAUG_HD TilePlace tile_place(const Batch& b, int64_t number) {
  const int64_t row = quotient(number, tiles_across(b)), s = quotient(row, tiles_down(b));
  return {s, static_cast<int32_t>(row - s * tiles_down(b)) * kTileRows,
          static_cast<int32_t>(number - row * tiles_across(b)) * kTileColumns};
}

SASAUG_HD Tile make_tile(const Batch& b, TilePlace at, const Source& source, const Sample& p) {
  Tile f;
  f.source = source;
  f.p = p;
  f.t = p.thumbnail;
  f.y0 = at.y0;
  f.x0 = at.x0;
  f.rows = b.h - at.y0 < kTileRows ? b.h - at.y0 : kTileRows;
  f.columns = b.w - at.x0 < kTileColumns ? b.w - at.x0 : kTileColumns;
  f.images = b.images + at.s * b.image_n;
  f.masks = b.masks ? b.masks + at.s * b.mask_n : nullptr;
  const Rectangle &window = p.window, &t = p.thumbnail;
  f.source.image += window.y * source.image_y + window.x * source.image_x;
  f.source.mask += window.y * source.mask_y + window.x * source.mask_x;
  f.touched = t.width > 0 && t.height > 0 && t.x < f.x0 + f.columns && f.x0 < t.x + t.width &&
              t.y < f.y0 + f.rows && f.y0 < t.y + t.height;
  f.copied = b.in_type == b.out_type && window.width == t.width && window.height == t.height;
  f.antialias_x = shrinks_antialiased(b.antialias, window.width, t.width);
  f.antialias_y = shrinks_antialiased(b.antialias, window.height, t.height);
  return f;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
