// One job: the values of a thumbnail's strip of 4 x 4 pixels, copied or resized, into the stage.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cuda/tables.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// A value's place in the stage, in units of a value.
__device__ inline int32_t place_of(const Tile& t, int32_t column, int32_t row, int32_t channel) {
  return row * t.stage.y + column * t.stage.x + channel * t.stage.c;
}

template <class T>
__device__ T black_of(const Tile& t) {
  T black;
  memcpy(&black, t.black, sizeof black);
  return black;
}

// Rows of a strip into the stage.
template <class T, int32_t kRows>
__device__ void put_strip(const Tile& t, int32_t place, const T (&v)[kRows][kStrip],
                          Values& values) {
  T* to = reinterpret_cast<T*>(values.bytes) + place;
  if (t.stage.x == 1) {
#pragma unroll
    for (int32_t r = 0; r < kRows; ++r) {
      Four<T> four;
#pragma unroll
      for (int32_t c = 0; c < kStrip; ++c) four.of[c] = v[r][c];
      *reinterpret_cast<Four<T>*>(to + r * t.stage.y) = four;
    }
    return;
  }
#pragma unroll
  for (int32_t i = 0; i < kRows * kStrip; ++i) {
    to[i / kStrip * t.stage.y + i % kStrip * t.stage.x] = v[i / kStrip][i % kStrip];
  }
}

// The same, black where they are not `inside`, which begins with the first of them.
template <class T, int32_t kRows>
__device__ void put_edge(const Tile& t, int32_t place, bool whole, uint32_t inside,
                         T (&v)[kRows][kStrip], Values& values) {
  if (!whole) {
    const T black = black_of<T>(t);
#pragma unroll
    for (int32_t i = 0; i < kRows * kStrip; ++i) {
      T& one = v[i / kStrip][i % kStrip];
      one = is_inside(inside, i % kStrip, i / kStrip) ? one : black;
    }
  }
  put_strip(t, place, v, values);
}

// ---- one strip ---------------------------------------------------------------------------------

// As they are, to the last bit of a NaN.
template <class Bits>
__device__ void copy_strip(const Tile& t, const Tables& tables, const char* from, int32_t column,
                           int32_t row, int32_t place, uint32_t inside, Values& values) {
  if (t.four_values && inside == kWholeStrip) {  // not interleaved
    from += tables.y.first[row] + tables.x.first[column];
    Bits* to = reinterpret_cast<Bits*>(values.bytes) + place;
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      *reinterpret_cast<Four<Bits>*>(to) = *reinterpret_cast<const Four<Bits>*>(from);
      from += t.source.image_y;
      to += t.stage.y;
    }
    return;
  }
  Bits v[kStrip][kStrip];
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      const char* at = from + tables.y.first[row + r] + tables.x.first[column + c];
      v[r][c] = load<Bits>(at, t.source_aligned);
    }
  }
  put_edge(t, place, inside == kWholeStrip, inside, v, values);
}

// As method/thumbnail.h says. Integers need no question: a + (a - a) * 0 is a.
template <class In>
__device__ float between(float a, float b, float weight) {
  return Pixel<In>::integer || weight > 0.0f ? lerp(a, b, weight) : a;
}

// What most samples ask for, its loads free of branches: all can be under way at once.
template <class In, bool kPairs, int32_t kRows>
__device__ void bilinear_strip(const Tables& tables, const char* from, int32_t column, int32_t row,
                               float (&v)[kRows][kStrip]) {
  auto value = [](const char* at) { return Pixel<In>::load(*reinterpret_cast<const In*>(at)); };
  const auto first = four_of(tables.x.first, column), second = four_of(tables.x.second, column);
  const auto across = four_of(tables.x.weight, column);
#pragma unroll
  for (int32_t r = 0; r < kRows; ++r) {
    const char* upper = opaque(from + tables.y.first[row + r]);
    const char* lower = opaque(from + tables.y.second[row + r]);
    const float down = tables.y.weight[row + r].real;
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      const char *a = upper + first.of[c], *b = lower + first.of[c];
      const char* a_right = kPairs ? a + sizeof(In) : upper + second.of[c];
      const char* b_right = kPairs ? b + sizeof(In) : lower + second.of[c];
      v[r][c] = between<In>(between<In>(value(a), value(b), down),
                            between<In>(value(a_right), value(b_right), down), across.of[c].real);
    }
  }
}

// fixed_lerp without its shift; `half` is what rounds.
__device__ inline uint32_t weighted(uint32_t a, uint32_t b, uint32_t weight, uint32_t half) {
  return a * (32768 - weight) + (b * weight + half);
}

// The same for bytes in integers, each row in a word: along the rows first. Bytes count as 64ths
// once they are mixed, and the last shift rounds twice in one, to a 64th and to a byte.
template <bool kPairs>
__device__ void byte_strip(const Tables& tables, const char* from, int32_t column, int32_t row,
                           uint32_t (&packed)[kStrip]) {
  auto value = [](const char* at) { return uint32_t{*reinterpret_cast<const uint8_t*>(at)}; };
  const auto first = four_of(tables.x.first, column), second = four_of(tables.x.second, column);
  const auto across = four_of(tables.x.weight, column);
  const uint32_t half = opaque(uint32_t{1 << 8}), halves = uint32_t{(1 << 14) + (1 << 20)};
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
    const char* upper = opaque(from + tables.y.first[row + r]);
    const char* lower = opaque(from + tables.y.second[row + r]);
    const uint32_t down = static_cast<uint32_t>(tables.y.weight[row + r].fixed);
    uint32_t word = 0;
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      const char *a = upper + first.of[c], *b = lower + first.of[c];
      const char* a_right = kPairs ? a + 1 : upper + second.of[c];
      const char* b_right = kPairs ? b + 1 : lower + second.of[c];
      const uint32_t weight = static_cast<uint32_t>(across.of[c].fixed);
      const uint32_t above = weighted(value(a), value(a_right), weight, half) >> 9;
      const uint32_t below = weighted(value(b), value(b_right), weight, half) >> 9;
      word |= weighted(above, below, down, halves) >> 21 << 8 * c;
    }
    packed[r] = opaque(word);  // now, or 16 values would take registers until the end
  }
}

// Everything: antialiased or not along each axis, aligned or not. Vertically, then horizontally.
class Filter {
 public:
  __device__ Filter(const Batch& batch, const Tile& tile, const Tables& tables_of)
      : b(batch), t(tile), tables(tables_of) {}

  __device__ float pixel(const char* from, int32_t column, int32_t row) const {
    float sum = 0.0f;
    SASAUG_ROLLED
    for (int32_t tap = 0; tap < tables.x.taps[column]; ++tap) {
      const char* at = from + tables.x.first[column] + tap * t.source.image_x;
      const float value = down(at, row);
      if (t.scale[0].antialias) {
        const int32_t i = t.x0 + column - t.p.thumbnail.x;
        sum = sum +
              value * tap_weight(tables.x, column, tap, i, t.p.window.width, t.p.thumbnail.width);
      } else {
        sum = tap == 0 ? value : lerp(sum, value, tables.x.weight[column].real);
      }
    }
    return sum;
  }

 private:
  __device__ float down(const char* from, int32_t row) const {
    float sum = 0.0f;
    SASAUG_ROLLED
    for (int32_t tap = 0; tap < tables.y.taps[row]; ++tap) {
      const char* at = from + tables.y.first[row] + tap * t.source.image_y;
      float value = 0.0f;
      with_pixel(b.in_type, [&](auto type) {
        value = Pixel<decltype(type)>::load(load<decltype(type)>(at, t.source_aligned));
      });
      if (t.scale[1].antialias) {
        sum = sum + value * triangle_y(row, tap);
      } else {
        sum = tap == 0 ? value : lerp(sum, value, tables.y.weight[row].real);
      }
    }
    return sum;
  }

  __device__ float triangle_y(int32_t row, int32_t tap) const {
    if (tap < kTableTaps) return tables.triangle_y[row][tap];
    const int32_t i = t.y0 + row - t.p.thumbnail.y;
    return tap_weight(tables.y, row, tap, i, t.p.window.height, t.p.thumbnail.height);
  }

  const Batch& b;
  const Tile& t;
  const Tables& tables;
};

// Some rows of a strip. `inside` begins with their first one.
template <bool kPairs, int32_t kRows>
__device__ void bilinear_rows(const Batch& b, const Tile& t, const Tables& tables, const char* from,
                              int32_t column, int32_t row, int32_t place, bool whole,
                              uint32_t inside, Values& values) {
  float x[kRows][kStrip];
  with_pixel(b.in_type,
             [&](auto in) { bilinear_strip<decltype(in), kPairs>(tables, from, column, row, x); });
  if (b.in_type != b.out_type) {  // or both ranges are one
#pragma unroll
    for (int32_t i = 0; i < kRows * kStrip; ++i) {
      float& one = x[i / kStrip][i % kStrip];
      one = rescale(one, b.in_range, b.out_range);
    }
  }
  with_pixel(b.out_type, [&](auto out) {
    using Out = decltype(out);
    Out v[kRows][kStrip];
#pragma unroll
    for (int32_t i = 0; i < kRows * kStrip; ++i) {
      v[i / kStrip][i % kStrip] = Pixel<Out>::store(x[i / kStrip][i % kStrip]);
    }
    put_edge(t, place, whole, inside, v, values);
  });
}

// What most samples ask for, two rows at a time: as many as the registers hold.
__device__ inline void bilinear_values(const Batch& b, const Tile& t, const Tables& tables,
                                       const char* from, int32_t column, int32_t row, int32_t place,
                                       uint32_t inside, Values& values) {
  constexpr int32_t kRows = kStrip / 2;
  const bool whole = inside == kWholeStrip;
  SASAUG_ROLLED
  for (int32_t r = 0; r < kStrip; r += kRows) {
    const int32_t at = place + r * t.stage.y;
    if (t.pairs) {
      bilinear_rows<true, kRows>(b, t, tables, from, column, row + r, at, whole, inside >> r,
                                 values);
    } else {
      bilinear_rows<false, kRows>(b, t, tables, from, column, row + r, at, whole, inside >> r,
                                  values);
    }
  }
}

__device__ inline void byte_values(const Tile& t, const Tables& tables, const char* from,
                                   int32_t column, int32_t row, int32_t place, uint32_t inside,
                                   Values& values) {
  uint32_t rows[kStrip];
  if (t.pairs) {
    byte_strip<true>(tables, from, column, row, rows);
  } else {
    byte_strip<false>(tables, from, column, row, rows);
  }
  if (inside != kWholeStrip) {
#pragma unroll
    for (int32_t r = 0; r < kStrip; ++r) {
      const uint32_t mask = bytes_inside(inside, r);
      rows[r] = (rows[r] & mask) | (t.black[0] & ~mask);
    }
  }
  uint8_t* to = reinterpret_cast<uint8_t*>(values.bytes) + place;
#pragma unroll
  for (int32_t r = 0; r < kStrip; ++r) {
    if (t.stage.x == 1) {
      *reinterpret_cast<uint32_t*>(to + r * t.stage.y) = rows[r];
      continue;
    }
#pragma unroll
    for (int32_t c = 0; c < kStrip; ++c) {
      to[r * t.stage.y + c * t.stage.x] = static_cast<uint8_t>(rows[r] >> 8 * c);
    }
  }
}

// Everything else, a value at a time.
__device__ inline void filtered_values(const Batch& b, const Tile& t, const Tables& tables,
                                       const char* from, int32_t column, int32_t row, int32_t place,
                                       uint32_t inside, Values& values) {
  const Filter filter(b, t, tables);
  with_pixel(b.out_type, [&](auto out) {
    using Out = decltype(out);
    Out* to = reinterpret_cast<Out*>(values.bytes) + place;
    SASAUG_ROLLED
    for (int32_t i = 0; i < kStrip * kStrip; ++i) {
      const int32_t r = i / kStrip, c = i % kStrip;
      Out one = black_of<Out>(t);
      if (is_inside(inside, c, r)) {
        const float x = filter.pixel(from, column + c, row + r);
        one = Pixel<Out>::store(rescale(x, b.in_range, b.out_range));
      }
      to[r * t.stage.y + c * t.stage.x] = one;
    }
  });
}

// The values of one channel of a strip that the thumbnail covers, wholly or in part.
__device__ inline void stage_values(const Batch& b, const Tile& t, const Tables& tables,
                                    int32_t column, int32_t row, int32_t channel, uint32_t inside,
                                    Values& values) {
  const int32_t place = place_of(t, column, row, channel);
  const char* from = t.source.image + channel * t.source.image_c;
  if (t.resize == Resize::none) {
    with_bits(b.out_type, [&](auto tag) {
      copy_strip<decltype(tag)>(t, tables, from, column, row, place, inside, values);
    });
  } else if (t.resize == Resize::integers) {
    byte_values(t, tables, from, column, row, place, inside, values);
  } else if (t.resize == Resize::bilinear) {
    bilinear_values(b, t, tables, from, column, row, place, inside, values);
  } else {
    filtered_values(b, t, tables, from, column, row, place, inside, values);
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
