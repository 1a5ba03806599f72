// One job: write a tile to the canvas: from the stage, or where it is plain black or a plain copy.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/resize.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// How a tile's values leave: interleaved channels side by side, others a plane each.
struct Planes {
  int32_t count, row_bytes;
};

__device__ inline Planes planes_of(const Batch& b, const Tile& t) {
  const bool together = t.stage.c == 1 || b.c == 1;
  return {together ? 1 : b.c, t.columns * t.stage.x * pixel_bytes(b.out_type)};
}

// A tile without gaps, wholly black or a copy from a window of the thumbnail's size.
__device__ inline void fill_plain(const Batch& b, const Tile& t) {
  const bool black = t.left == t.right;
  const Source& q = t.source;
  const Planes planes = planes_of(b, t);
  with_unit(t.image_unit, [&](auto unit) {
    using Unit = decltype(unit);
    const int32_t units = planes.row_bytes / static_cast<int32_t>(sizeof(Unit));
    const char* image = copied_from(t, q.image, q.image_y, q.image_x);
    SASAUG_ROLLED
    for (int32_t channel = 0; channel < planes.count; ++channel) {
      char* to = t.images + channel * b.image_c;
      const char* from = image + channel * q.image_c;
      if (black) {
        write_rows<kTileThreads, Unit>(to, b.image_y, t.rows, units, [&](int32_t, int32_t u) {
          return piece_of<Unit>(t.black, u);
        });
      } else {
        write_rows<kTileThreads, Unit>(to, b.image_y, t.rows, units, [&](int32_t row, int32_t u) {
          return reinterpret_cast<const Unit*>(from + row * q.image_y)[u];
        });
      }
    }
  });
  if (!t.masks) return;
  with_unit(t.mask_unit, [&](auto unit) {
    using Unit = decltype(unit);
    const int32_t units = t.columns * b.mask_bytes / static_cast<int32_t>(sizeof(Unit));
    const char* mask = copied_from(t, q.mask, q.mask_y, q.mask_x);
    if (black) {
      write_rows<kTileThreads, Unit>(t.masks, b.mask_y, t.rows, units,
                                     [&](int32_t, int32_t) { return Unit{}; });
    } else {
      write_rows<kTileThreads, Unit>(t.masks, b.mask_y, t.rows, units, [&](int32_t row, int32_t u) {
        return reinterpret_cast<const Unit*>(mask + row * q.mask_y)[u];
      });
    }
  });
}

// A value at a time, to a canvas of any strides.
__device__ inline void scatter(const Batch& b, const Tile& t, const Values& values) {
  const int32_t size = pixel_bytes(b.out_type);
  const bool aligned = (bits_of(b.images) | bits_of(b.image_n) | bits_of(b.image_y) |
                        bits_of(b.image_x) | bits_of(b.image_c)) %
                           size ==
                       0;
  with_label(size, [&](auto tag) {
    using Bits = decltype(tag);
    each_strip(b, t, b.c, [&](int32_t column, int32_t row, int32_t channel) {
      SASAUG_ROLLED
      for (int32_t i = 0; i < kStrip * kStrip; ++i) {
        const int32_t x = column + i % kStrip, y = row + i / kStrip;
        if (x >= t.columns || y >= t.rows) continue;
        const Bits* from = reinterpret_cast<const Bits*>(values.bytes);
        store<Bits>(t.images + y * b.image_y + x * b.image_x + channel * b.image_c,
                    from[place_of(t, x, y, channel)], aligned);
      }
    });
  });
}

__device__ inline void write_canvas(const Batch& b, const Tile& t, const Values& values) {
  if (!t.gapless) return scatter(b, t, values);
  const int32_t size = pixel_bytes(b.out_type);
  const Planes planes = planes_of(b, t);
  with_unit(t.image_unit, [&](auto unit) {
    using Unit = decltype(unit);
    SASAUG_ROLLED
    for (int32_t channel = 0; channel < planes.count; ++channel) {
      const char* from = values.bytes + channel * t.stage.c * size;
      write_rows<kTileThreads, Unit>(
          t.images + channel * b.image_c, b.image_y, t.rows,
          planes.row_bytes / static_cast<int32_t>(sizeof(Unit)), [&](int32_t row, int32_t u) {
            return reinterpret_cast<const Unit*>(from + row * t.stage.y * size)[u];
          });
    }
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
