// One job: write a tile to the canvas: from the stage, or where it is plain black or a plain copy.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/resize.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

constexpr int32_t kPieces = 4;  // of a thread under way at once

template <int32_t kCount, class Unit>
__device__ void write_pieces(char*& to, int64_t down, const char*& from, int64_t from_down) {
  Unit v[kCount];
#pragma unroll
  for (int32_t k = 0; k < kCount; ++k) {
    v[k] = *reinterpret_cast<const Unit*>(from);
    from += from_down;
  }
#pragma unroll
  for (int32_t k = 0; k < kCount; ++k) {
    *reinterpret_cast<Unit*>(to) = v[k];
    to += down;
  }
}

// A thread writes every so many rows of a column of units.
template <class Unit>
__device__ void write_units(const Rows& shared, int32_t thread) {
  const Rows r = shared;  // the compiler would read it again after every store
  const int32_t lanes = 1 << r.lanes, first = thread >> r.lanes;
  SASAUG_ROLLED
  for (int32_t u = thread & (lanes - 1); u < r.units; u += lanes) {
    const int32_t offset = u * static_cast<int32_t>(sizeof(Unit));
    const char* from = r.from.at + first * r.from.y + (offset & r.from.within);
    char* to = r.to + first * r.y + offset;
    SASAUG_ROLLED
    for (int32_t plane = 0; plane < r.planes; ++plane) {
      const char* plane_from = from + plane * r.from.plane;
      char* plane_to = to + plane * r.plane;
      int32_t left = r.rows - first;
      SASAUG_ROLLED
      for (; left > (kPieces - 1) * r.step; left -= kPieces * r.step) {
        write_pieces<kPieces, Unit>(plane_to, r.down, plane_from, r.from_down);
      }
      SASAUG_ROLLED
      for (; left > 0; left -= r.step) {
        write_pieces<1, Unit>(plane_to, r.down, plane_from, r.from_down);
      }
    }
  }
}

// The threads from `first` on write the rows. Each has eight pieces or more, to be worth its start.
__device__ inline void write_rows(const Rows& r, int32_t first = 0) {
  const uint32_t thread = threadIdx.x - static_cast<uint32_t>(first);  // huge before the first
  if (thread >= r.threads) return;
  with_unit(r.unit,
            [&](auto unit) { write_units<decltype(unit)>(r, static_cast<int32_t>(thread)); });
}

// A tile without gaps, wholly black or a copy from a window of the thumbnail's size.
__device__ inline void fill_plain(const Tile& t) {
  write_rows(t.image_rows);
  write_rows(t.mask_rows, kTileThreads - t.mask_rows.threads);
}

// Black below what the strips write: the stage, and the labels on the canvas.
__device__ inline void fill_black(const Layout& l, const Tile& t, Values& values) {
  if (t.whole) return;
  write_rows(t.mask_rows, kTileThreads - t.mask_rows.threads);
  constexpr int32_t kEach = 8;  // pieces
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const int32_t threads = kRowValues * kTileRows / (16 * kEach) * l.out_bytes;
  if (thread >= threads) return;
  Bytes16* to = reinterpret_cast<Bytes16*>(values.bytes) + thread;
  const Bytes16 black{{l.black, l.black, l.black, l.black}};
#pragma unroll
  for (int32_t k = 0; k < kEach; ++k) to[k * threads] = black;
}

// A value at a time, to a canvas of any strides.
__device__ inline void scatter(const Batch& b, const Tile& t, const Values& values) {
  const int32_t size = pixel_bytes(b.out_type);
  const bool aligned =
      (bits_of(t.images) | bits_of(b.image_y) | bits_of(b.image_x) | bits_of(b.image_c)) % size ==
      0;
  with_bits(b.out_type, [&](auto tag) {
    using Bits = decltype(tag);
    const Strips all = make_strips(0, t.columns, 0, t.rows);
    each_strip(all, b.c, [&](int32_t column, int32_t row, int32_t channel) {
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

__device__ inline void write_canvas(const Batch& b, const Layout& l, const Tile& t,
                                    const Values& values) {
  if (!l.gapless) return scatter(b, t, values);
  write_rows(t.image_rows);
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
