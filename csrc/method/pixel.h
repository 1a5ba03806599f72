// One job: one stored pixel value <-> the float32 that the arithmetic sees.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/draw.h"

namespace sasaug {

enum class PixelType : int32_t { uint8 = 0, uint16 = 1, float16 = 2, float32 = 3, bfloat16 = 4 };
constexpr const char* kPixelTypes[] = {"uint8", "uint16", "float16", "float32", "bfloat16"};

inline namespace SASAUG_VARIANT {

struct Half {
  uint16_t bits;
};

// value * 2^112 moves the exponent, subnormal numbers included
SASAUG_HD_INLINED float half_to_float(Half h) {
  const uint32_t magnitude = h.bits & 0x7FFFu;
  const uint32_t sign = (h.bits & 0x8000u) << 16;
  const uint32_t finite = float_to_bits(bits_to_float(magnitude << 13) * 0x1p112f);
  const uint32_t special = 0x7F800000u | (magnitude << 13);
  return bits_to_float(sign | (magnitude < 0x7C00u ? finite : special));
}

// Rounds half to even; NaN becomes the positive quiet NaN.
SASAUG_HD_INLINED Half float_to_half(float x) {
  const uint32_t bits = float_to_bits(x), magnitude = bits & 0x7FFFFFFFu;
  const uint32_t normal = (magnitude + 0xFFFu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  // adding 0.5 puts the last bit of a half's subnormal at the last bit of the float
  const uint32_t subnormal = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3F000000u;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t signed_bits =
      ((bits >> 16) & 0x8000u) | (magnitude < 0x47800000u ? finite : 0x7C00u);
  return Half{static_cast<uint16_t>(magnitude > 0x7F800000u ? 0x7E00u : signed_bits)};
}

struct BFloat {
  uint16_t bits;
};

SASAUG_HD_INLINED float bfloat_to_float(BFloat b) { return bits_to_float(uint32_t{b.bits} << 16); }

// Rounds half to even; NaN becomes the positive quiet NaN.
SASAUG_HD_INLINED BFloat float_to_bfloat(float x) {
  const uint32_t bits = float_to_bits(x);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return BFloat{static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded)};
}

// x in [0, 2^22]: at 1.5 * 2^23 a float's last bit is 1, so the sum rounds half to even
SASAUG_HD int32_t round_half_even(float x) {
  return static_cast<int32_t>(float_to_bits(x + 12582912.0f) - 0x4B400000u);
}

// Black and full scale in the stored unit, and their distance: by default 0, M and M, where M is
// the type's maximum for integers and 1 for floats.
struct ValueRange {
  float low, high, full;

  template <class F>
  static void fields(F&& field) {
    field("low", &ValueRange::low);
    field("high", &ValueRange::high);
    field("full", &ValueRange::full);
  }
};

// `full` is M, the default range's upper end. `store` takes values of [0, full] for
// integers, any value for floats; every NaN becomes the one positive quiet NaN.
template <class T>
struct Pixel;

template <>
struct Pixel<uint8_t> {
  static constexpr bool integer = true;
  static constexpr float full = 255.0f;
  SASAUG_HD_INLINED static float load(uint8_t v) { return static_cast<float>(v); }
  SASAUG_HD_INLINED static uint8_t store(float x) {
    return static_cast<uint8_t>(round_half_even(x));
  }
};

template <>
struct Pixel<uint16_t> {
  static constexpr bool integer = true;
  static constexpr float full = 65535.0f;
  SASAUG_HD_INLINED static float load(uint16_t v) { return static_cast<float>(v); }
  SASAUG_HD_INLINED static uint16_t store(float x) {
    return static_cast<uint16_t>(round_half_even(x));
  }
};

template <>
struct Pixel<Half> {
  static constexpr bool integer = false;
  static constexpr float full = 1.0f;
  SASAUG_HD_INLINED static float load(Half v) { return half_to_float(v); }
  SASAUG_HD_INLINED static Half store(float x) { return float_to_half(x); }
};

template <>
struct Pixel<BFloat> {
  static constexpr bool integer = false;
  static constexpr float full = 1.0f;
  SASAUG_HD_INLINED static float load(BFloat v) { return bfloat_to_float(v); }
  SASAUG_HD_INLINED static BFloat store(float x) { return float_to_bfloat(x); }
};

template <>
struct Pixel<float> {
  static constexpr bool integer = false;
  static constexpr float full = 1.0f;
  SASAUG_HD_INLINED static float load(float v) { return v; }
  SASAUG_HD_INLINED static float store(float x) { return x == x ? x : bits_to_float(0x7FC00000u); }
};

SASAUG_HD int32_t pixel_bytes(PixelType type) {
  return type == PixelType::uint8 ? 1 : (type == PixelType::float32 ? 4 : 2);
}

// Calls f with a value of the pixel type's C++ type.
template <class F>
SASAUG_HD void with_pixel(PixelType type, F&& f) {
  switch (type) {
    case PixelType::uint8:
      return f(uint8_t{});
    case PixelType::uint16:
      return f(uint16_t{});
    case PixelType::float16:
      return f(Half{});
    case PixelType::float32:
      return f(float{});
    case PixelType::bfloat16:
      return f(BFloat{});
  }
}

// NaN becomes 0: every comparison with it is false.
SASAUG_HD float clip(float x, float full) {
  x = x > 0.0f ? x : 0.0f;
  return x < full ? x : full;
}

SASAUG_HD float clip(float x, ValueRange range) {
  x = x > range.low ? x : range.low;
  return x < range.high ? x : range.high;
}

// Scales a value of [0, `from`] to [0, `to`].
SASAUG_HD float rescale(float x, float from, float to) {
  if (from == to) return x;
  return to == 1.0f ? x / from : clip(x * to / from, to);
}

// Between types of one range values stay; other types are filled to their default range.
SASAUG_HD float rescale(float x, ValueRange from, ValueRange to) {
  if (from.low == to.low && from.high == to.high) return x;
  return rescale(x - from.low, from.full, to.full);
}

template <class T>
SASAUG_HD bool is_default(ValueRange range) {
  return range.low == 0.0f && range.high == Pixel<T>::full;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
