// One job: output pixel -> source pixels and their weights, along one axis.
//
// Positions are integers throughout: pixel i of n_dst covers the source from i * n_src / n_dst on,
// its centre is (2i + 1) * n_src / (2 * n_dst). No float decides which source pixel is read.
// Sizes are below 2^31, so that every product here fits 64 bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/noise.h"

namespace sasaug {

// x, y, width, height in pixels
struct Rectangle {
  int32_t x, y, width, height;
};

inline namespace SASAUG_VARIANT {

// a / b for a >= 0, b > 0: half the time where both are short, as they are for all but huge images.
SASAUG_HD int64_t quotient(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

// The mask's source pixel: nearest-exact, the pixel that holds the centre; a centre on a border
// belongs to the pixel after it.
SASAUG_HD int64_t nearest_exact(int64_t i, int64_t n_src, int64_t n_dst) {
  return quotient((2 * i + 1) * n_src, 2 * n_dst);
}

// The image's two source pixels: value = a + (b - a) * weight, and weight = rest / (2 * n_dst).
// Beyond the first and last centres the edge pixel alone counts: second == first and rest 0.
struct Bilinear {
  int64_t first, second, rest;
};

SASAUG_HD Bilinear bilinear(int64_t i, int64_t n_src, int64_t n_dst) {
  const int64_t position = (2 * i + 1) * n_src - n_dst;  // in units of 1 / (2 * n_dst)
  if (position <= 0) return {0, 0, 0};
  const int64_t first = quotient(position, 2 * n_dst), rest = position - first * (2 * n_dst);
  if (rest == 0 || first + 1 >= n_src) return {first, first, 0};
  return {first, first + 1, rest};
}

SASAUG_HD float bilinear_weight(Bilinear at, int64_t n_dst) {
  return static_cast<float>(at.rest) / static_cast<float>(2 * n_dst);
}

// Only where weight > 0; elsewhere the value is a alone, whatever b: 0 * infinity would be NaN.
// `Value` is one float, or several side by side.
template <class Value>
SASAUG_HD Value lerp(Value a, Value b, float weight) {
  return a + (b - a) * weight;
}

// ---- Bytes that stay bytes are resized in integers: twice as many fit a vector.

// The weight in units of 2^-15, half up; below 1, so that 16 bits hold it with a sign.
SASAUG_HD int32_t fixed_weight(Bilinear at, int64_t n_dst) {
  const int64_t nearest = quotient((at.rest << 15) + n_dst, 2 * n_dst);
  return static_cast<int32_t>(nearest < 32767 ? nearest : 32767);
}

// The lerp of 64ths of grey levels, rounded half up to a 64th.
SASAUG_HD int32_t fixed_lerp(int32_t a, int32_t b, int32_t weight) {
  return (a * (32768 - weight) + b * weight + 16384) >> 15;
}

SASAUG_HD int32_t to_64ths(uint8_t byte) { return 64 * byte; }

// Half up.
SASAUG_HD uint8_t from_64ths(int32_t value) { return static_cast<uint8_t>((value + 32) >> 6); }

// With antialiasing, an axis that shrinks takes the triangle filter widened by the scale: source
// pixels first .. first + count - 1 with weight triangle_weight / triangle_sum. As Pillow's
// BILINEAR and torch's interpolate(antialias=True).
struct Triangle {
  int64_t first, count;
};

SASAUG_HD int64_t floor_div(int64_t a, int64_t b) {
  return a / b - ((a % b != 0 && a < 0) ? 1 : 0);  // b > 0
}

SASAUG_HD Triangle triangle(int64_t i, int64_t n_src, int64_t n_dst) {
  const int64_t centre = (2 * i + 1) * n_src;  // in units of 1 / (2 * n_dst), as all here
  int64_t first = floor_div(centre - 2 * n_src - n_dst, 2 * n_dst) + 1;
  int64_t last = floor_div(centre + 2 * n_src - n_dst - 1, 2 * n_dst);
  first = first > 0 ? first : 0;
  last = last < n_src - 1 ? last : n_src - 1;
  return {first, last - first + 1};
}

SASAUG_HD int64_t triangle_weight(int64_t i, int64_t j, int64_t n_src, int64_t n_dst) {
  const int64_t distance = (2 * j + 1) * n_dst - (2 * i + 1) * n_src;
  return 2 * n_src - (distance < 0 ? -distance : distance);
}

SASAUG_HD float triangle_sum(int64_t i, Triangle t, int64_t n_src, int64_t n_dst) {
  int64_t sum = 0;
  for (int64_t k = 0; k < t.count; ++k) sum += triangle_weight(i, t.first + k, n_src, n_dst);
  return static_cast<float>(sum);
}

SASAUG_HD bool shrinks_antialiased(bool antialias, int32_t n_src, int32_t n_dst) {
  return antialias && n_src > n_dst && n_dst > 0;
}

// S, the longer side in pixels of the largest thumbnail with the window's aspect on the canvas.
SASAUG_HD int32_t largest_side(Rectangle window, int32_t canvas_h, int32_t canvas_w) {
  const bool wide = window.width >= window.height;
  const int64_t longer = wide ? window.width : window.height;
  const int64_t shorter = wide ? window.height : window.width;
  const int64_t along = wide ? canvas_w : canvas_h, across = wide ? canvas_h : canvas_w;
  if (shorter == 0 || along == 0 || across == 0) return 0;
  // the largest s with round(s * shorter / longer) <= across, half rounding up
  const int64_t fits = (longer * (2 * across + 1) - 1) / (2 * shorter);
  return static_cast<int32_t>(fits < along ? fits : along);
}

// Width and height of the thumbnail whose longer side is `side`; the other keeps the aspect,
// rounded to nearest (half up), at least 1.
SASAUG_HD Rectangle thumbnail_size(Rectangle window, int32_t side) {
  if (side == 0) return {0, 0, 0, 0};
  const bool wide = window.width >= window.height;
  const int64_t longer = wide ? window.width : window.height;
  const int64_t shorter = wide ? window.height : window.width;
  // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): where the window is empty the side is 0
  const int64_t rounded = (2 * side * shorter + longer) / (2 * longer);
  const int32_t other = static_cast<int32_t>(rounded > 1 ? rounded : 1);
  return {0, 0, wide ? side : other, wide ? other : side};
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
