// One job: write a tile to the canvas: from the stage, or where it is plain black or a plain copy.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/resize.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// What rows are written from: black, or memory that has rows of its own.
struct Black {
  uint32_t word;

  __device__ void move(int64_t, int32_t) {}
  template <class Unit>
  __device__ Unit get(int64_t, int32_t u) const {
    return piece_of<Unit>(word, u);
  }
};
struct From {
  const char* at;
  int64_t y;

  __device__ void move(int64_t rows, int32_t bytes) { at += rows * y + bytes; }
  template <class Unit>
  __device__ Unit get(int64_t rows, int32_t) const {
    return *reinterpret_cast<const Unit*>(at + rows * y);
  }
};

// A thread writes every so many rows of a column of units, two loads under way at once.
template <class Unit, class Origin>
__device__ void write_plane(const Rows& r, char* plane, const Origin& origin) {
  const int32_t thread = static_cast<int32_t>(threadIdx.x), lanes = 1 << r.lanes;
  const int32_t first = thread >> r.lanes, step = kTileThreads >> r.lanes;
  const int64_t down = step * r.y;
  SASAUG_ROLLED
  for (int32_t u = thread & (lanes - 1); u < r.units; u += lanes) {
    const int32_t offset = u * static_cast<int32_t>(sizeof(Unit));
    char* to = plane + first * r.y + offset;
    Origin from = origin;
    from.move(first, offset);
    SASAUG_ROLLED
    for (int32_t row = first; row < r.rows; row += 2 * step) {
      const bool second = row + step < r.rows;
      const Unit v = from.template get<Unit>(0, u);
      Unit w{};
      if (second) w = from.template get<Unit>(step, u);
      *reinterpret_cast<Unit*>(to) = v;
      if (second) *reinterpret_cast<Unit*>(to + down) = w;
      to += 2 * down;
      from.move(2 * step, 0);
    }
  }
}

// Calls origin(plane) for where each plane comes from.
template <class F>
__device__ void write_rows(const Rows& r, F origin) {
  with_unit(r.unit, [&](auto unit) {
    SASAUG_ROLLED
    for (int32_t plane = 0; plane < r.planes; ++plane) {
      write_plane<decltype(unit)>(r, r.to + plane * r.plane, origin(plane));
    }
  });
}

// A tile without gaps, wholly black or a copy from a window of the thumbnail's size.
__device__ inline void fill_plain(const Tile& t) {
  if (t.left == t.right) {
    write_rows(t.image_rows, [&](int32_t) { return Black{t.black}; });
    if (t.masks) write_rows(t.mask_rows, [&](int32_t) { return Black{0}; });
    return;
  }
  const Source& q = t.source;
  write_rows(t.image_rows,
             [&](int32_t plane) { return From{t.image_beneath + plane * q.image_c, q.image_y}; });
  if (t.masks) write_rows(t.mask_rows, [&](int32_t) { return From{t.mask_beneath, q.mask_y}; });
}

// A value at a time, to a canvas of any strides.
__device__ inline void scatter(const Batch& b, const Tile& t, const Values& values) {
  const int32_t size = pixel_bytes(b.out_type);
  const bool aligned =
      (bits_of(t.images) | bits_of(b.image_y) | bits_of(b.image_x) | bits_of(b.image_c)) % size ==
      0;
  with_label(size, [&](auto tag) {
    using Bits = decltype(tag);
    each_strip(t, b.c, [&](int32_t column, int32_t row, int32_t channel) {
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
  write_rows(t.image_rows, [&](int32_t plane) {
    return From{values.bytes + plane * t.stage.c * size, t.stage.y * size};
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
