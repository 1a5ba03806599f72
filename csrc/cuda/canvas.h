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

constexpr int32_t kPieces = 2;  // of a thread under way at once

template <int32_t kCount, class Unit, class Origin>
__device__ void write_pieces(char* to, int64_t down, const Origin& from, int32_t step, int32_t u) {
  Unit v[kCount];
#pragma unroll
  for (int32_t k = 0; k < kCount; ++k) v[k] = from.template get<Unit>(k * step, u);
#pragma unroll
  for (int32_t k = 0; k < kCount; ++k) *reinterpret_cast<Unit*>(to + k * down) = v[k];
}

// A thread writes every so many rows of a column of units.
template <class Unit, class Origin>
__device__ void write_plane(const Rows& r, int32_t thread, char* plane, const Origin& origin) {
  const int32_t lanes = 1 << r.lanes, first = thread >> r.lanes, step = r.step;
  const int64_t down = step * r.y;
  SASAUG_ROLLED
  for (int32_t u = thread & (lanes - 1); u < r.units; u += lanes) {
    const int32_t offset = u * static_cast<int32_t>(sizeof(Unit));
    char* to = plane + first * r.y + offset;
    Origin from = origin;
    from.move(first, offset);
    int32_t left = r.rows - first;
    SASAUG_ROLLED
    for (; left > (kPieces - 1) * step; left -= kPieces * step) {
      write_pieces<kPieces, Unit>(to, down, from, step, u);
      to += kPieces * down;
      from.move(kPieces * step, 0);
    }
    SASAUG_ROLLED
    for (; left > 0; left -= step) {
      write_pieces<1, Unit>(to, down, from, step, u);
      to += down;
      from.move(step, 0);
    }
  }
}

// Calls origin(plane) for where each plane comes from. `thread` is one of those that the rows are
// shared out among.
template <class F>
__device__ void write_rows(const Rows& r, int32_t thread, F origin) {
  with_unit(r.unit, [&](auto unit) {
    SASAUG_ROLLED
    for (int32_t plane = 0; plane < r.planes; ++plane) {
      write_plane<decltype(unit)>(r, thread, r.to + plane * r.plane, origin(plane));
    }
  });
}

// A tile without gaps, wholly black or a copy from a window of the thumbnail's size. Half of the
// threads write the image and half the labels: each has enough to do to be worth its start.
__device__ inline void fill_plain(const Tile& t) {
  const int32_t thread = static_cast<int32_t>(threadIdx.x), label_thread = thread - kPlainThreads;
  const bool black = t.left == t.right;
  if (label_thread < 0) {
    if (black) return write_rows(t.image_rows, thread, [&](int32_t) { return Black{t.black}; });
    write_rows(t.image_rows, thread, [&](int32_t plane) {
      return From{t.image_beneath + plane * t.source.image_c, t.source.image_y};
    });
  } else if (t.masks) {
    if (black) return write_rows(t.mask_rows, label_thread, [&](int32_t) { return Black{0}; });
    write_rows(t.mask_rows, label_thread,
               [&](int32_t) { return From{t.mask_beneath, t.source.mask_y}; });
  }
}

// A value at a time, to a canvas of any strides.
__device__ inline void scatter(const Batch& b, const Tile& t, const Values& values) {
  const int32_t size = pixel_bytes(b.out_type);
  const bool aligned =
      (bits_of(t.images) | bits_of(b.image_y) | bits_of(b.image_x) | bits_of(b.image_c)) % size ==
      0;
  with_bits(b.out_type, [&](auto tag) {
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
  write_rows(t.image_rows, static_cast<int32_t>(threadIdx.x), [&](int32_t plane) {
    return From{values.bytes + plane * t.stage.c * size, t.stage.y * size};
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
