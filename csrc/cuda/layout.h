// One job: how canvases are cut into tiles, and what all tiles of a launch share. The host works it
// out, once.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/memory.h"

namespace sasaug {

constexpr int32_t kTileThreads = 256;
constexpr int32_t kTileRows = 64;
constexpr int32_t kRowValues = 128;  // of a tile's row, all channels together
constexpr int32_t kFewThreads = 64;  // eight pieces of 16 bytes each, where a value is a byte

// A thread's share of a tile: strips of 4 x 4 pixels. Four rows share their random words
// (kBandRows), and four neighbours make one access.
constexpr int32_t kStrip = 4;
// Sets of a strip's pixels: a byte for each column, in it a bit for each row.
constexpr uint32_t kWholeStrip = 0x0F0F0F0Fu;

// How the values of a tile lie in shared memory, in units of a value: as they leave for the canvas.
struct Stage {
  int32_t y, x, c;
};

struct Layout {
  int64_t tiles;                // of all canvases
  int32_t across, down;         // tiles in a row and in a column of a canvas
  int32_t columns;              // of a tile
  int32_t in_bytes, out_bytes;  // of a value
  int32_t planes;               // of the canvas: channels that do not lie side by side
  Stage stage;
  bool interleaved;              // a pixel's channels lie side by side on the canvas
  bool gapless, labels_gapless;  // the canvas's rows are written in units
  bool default_range;            // of the values
  uint32_t black;                // a black value's bits, repeated in all four bytes
};

inline namespace SASAUG_VARIANT {

SASAUG_HD Layout layout_of(const Batch& b) {
  Layout l{};
  l.columns = b.c == 1 ? kRowValues : (b.c == 2 ? kRowValues / 2 : kRowValues / 4);
  l.across = (b.w - 1) / l.columns + 1;
  l.down = (b.h - 1) / kTileRows + 1;
  l.tiles = frame_count(b) * l.down * l.across;
  l.in_bytes = pixel_bytes(b.in_type);
  l.out_bytes = pixel_bytes(b.out_type);
  l.interleaved = b.c > 1 && b.image_c == l.out_bytes && b.image_x == b.c * b.image_c;
  l.planes = l.interleaved ? 1 : b.c;
  l.stage = l.interleaved ? Stage{l.columns * b.c, b.c, 1}  //
                          : Stage{l.columns, 1, l.columns * kTileRows};
  l.gapless = l.interleaved || b.image_x == l.out_bytes;
  l.labels_gapless = !b.masks || b.mask_x == b.mask_bytes;
  const uint32_t repeat = l.out_bytes == 1 ? 0x01010101u : (l.out_bytes == 2 ? 0x00010001u : 1u);
  l.black = black_bits(b) * repeat;
  with_pixel(b.out_type,
             [&](auto tag) { l.default_range = is_default<decltype(tag)>(b.out_range); });
  return l;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
