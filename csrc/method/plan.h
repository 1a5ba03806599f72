// One job: mask area + seed -> what to do to one sample.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/thumbnail.h"

namespace sasaug {

constexpr int kMaxNoises = 16;

enum class Position : int32_t { center = 0, random = 1, top_left = 2, top_center = 3 };
constexpr const char* kPositions[] = {"center", "random", "top_left", "top_center"};  // by number

// What is done to one sample. A plan is an array of these; Python sees it as a structured array.
struct Sample {
  uint64_t id;
  Rectangle window;     // of the source image
  Rectangle thumbnail;  // on the canvas
  int32_t noise;        // a place in Noises; -1: none
  float strength;
  bool transformed;

  template <class F>
  static void fields(F&& field) {
    field("id", &Sample::id);
    field("transformed", &Sample::transformed);
    field("window", &Sample::window);
    field("thumbnail", &Sample::thumbnail);
    field("noise", &Sample::noise);
    field("strength", &Sample::strength);
  }
};

// The settings of SAS that the draws depend on.
struct PlanSettings {
  double small_fraction;  // a sample is small when its ROI covers no more of its image
  float p;                // probability that a sample that is not small is transformed
  bool apply_to_all;      // small samples too
  bool resize;            // step 1 is on
  bool fractions;         // side_low and side_high are fractions of S, not pixels
  double side_low, side_high;
  int32_t least_roi;  // canvas pixels that the ROI keeps where the side is drawn; 0: any
  Position position;
  int32_t noise_count;  // step 2 draws one of these, in the list's order
  int32_t noises[kMaxNoises];
  float strength_low[kMaxNoises], strength_high[kMaxNoises];

  template <class F>
  static void fields(F&& field) {
    field("small_fraction", &PlanSettings::small_fraction);
    field("p", &PlanSettings::p);
    field("apply_to_all", &PlanSettings::apply_to_all);
    field("resize", &PlanSettings::resize);
    field("fractions", &PlanSettings::fractions);
    field("side_low", &PlanSettings::side_low);
    field("side_high", &PlanSettings::side_high);
    field("least_roi", &PlanSettings::least_roi);
    field("position", &PlanSettings::position);
    field("noise_count", &PlanSettings::noise_count);
    field("noises", &PlanSettings::noises);
    field("strength_low", &PlanSettings::strength_low);
    field("strength_high", &PlanSettings::strength_high);
  }
};

inline namespace SASAUG_VARIANT {

// Clip to the image. Only windows that live on the GPU, which the host cannot check, ever need it.
SASAUG_HD Rectangle inside(Rectangle window, int32_t h, int32_t w) {
  auto limited = [](int32_t v, int32_t most) { return v < 0 ? 0 : (v < most ? v : most); };
  const int32_t x = limited(window.x, w), y = limited(window.y, h);
  return {x, y, limited(window.width, w - x), limited(window.height, h - y)};
}

// A sample is large when its ROI has more pixels than this.
SASAUG_HD double small_area(const PlanSettings& settings, int64_t image_area) {
  return settings.small_fraction * static_cast<double>(image_area);
}

SASAUG_HD int32_t side_limit(const PlanSettings& settings, double limit, int32_t largest) {
  if (settings.fractions) limit = static_cast<double>(static_cast<int64_t>(limit * largest + 0.5));
  const double most = static_cast<double>(largest);
  limit = limit < most ? limit : most;
  return limit > 1.0 ? static_cast<int32_t>(limit) : (largest > 0 ? 1 : 0);
}

// ceil(a * b / d), for 0 <= a, 0 < d, both below 2^60; or kMany if that is more.
constexpr int64_t kMany = int64_t{1} << 60;

SASAUG_HD int64_t scaled_up(int64_t a, int32_t b, int64_t d) {
  int64_t whole = 0, rest = 0;  // of a * (the bits of b so far) / d: the product may pass 2^64
  for (int bit = 30; bit >= 0; --bit) {
    const int64_t one = (b >> bit) & 1;
    rest = 2 * rest + one * (a % d);
    whole = 2 * whole + one * (a / d) + rest / d;
    rest %= d;
    if (whole >= kMany) return kMany;
  }
  return whole + (rest > 0 ? 1 : 0);
}

// The least side of a thumbnail whose area is to the window's as at least `least_roi` pixels are to
// the ROI's in a frame, of which `roi_area` counts all; more than `largest` where there is none.
SASAUG_HD int32_t least_side(Rectangle window, int32_t frames, int64_t roi_area, int32_t least_roi,
                             int32_t largest) {
  if (least_roi == 0) return 1;
  if (roi_area == 0) return largest + 1;
  const int64_t area =
      scaled_up(int64_t{window.width} * window.height * frames, least_roi, roi_area);
  int32_t low = 1, high = largest + 1;
  while (low < high) {
    const int32_t side = low + (high - low) / 2;
    const Rectangle size = thumbnail_size(window, side);
    if (int64_t{size.width} * size.height >= area) {
      high = side;
    } else {
      low = side + 1;
    }
  }
  return low;
}

SASAUG_HD float usable_strength(int32_t noise, float strength) {
  Noises::visit(noise, [&](auto kind) {
    using Kind = decltype(kind);
    if (strength == static_cast<float>(Kind::identity)) return;
    const float low = static_cast<float>(Kind::lowest), high = static_cast<float>(Kind::highest);
    strength = strength >= low ? (strength < high ? strength : high) : low;
  });
  return strength;
}

// `side` is the thumbnail's longer side in pixels, `strength` that of the noise; where null they
// are drawn. Two blocks of words name everything that is drawn for a sample:
//   block 0: transformed?  noise kind  side  strength      block 1: x  y  -  -
SASAUG_HD Sample draw_sample(const PlanSettings& settings, int32_t canvas_h, int32_t canvas_w,
                             uint64_t seed, uint64_t id, Rectangle window,
                             const int32_t* given_side, const float* given_strength,
                             int64_t roi_area, int64_t image_area, int32_t frames) {
  const Words what = philox4x32(counter(0, id, Purpose::plan, 0), seed);
  const Words where = philox4x32(counter(1, id, Purpose::plan, 0), seed);

  const bool large = static_cast<double>(roi_area) > small_area(settings, image_area);
  Sample sample{};
  sample.id = id;
  sample.window = window;
  sample.transformed = (large || settings.apply_to_all) && uniform(what.w[0]) < settings.p;

  int32_t side = largest_side(window, canvas_h, canvas_w);
  if (given_side) {
    const int32_t wanted = *given_side > 1 ? *given_side : 1;
    side = wanted < side ? wanted : side;
  } else if (sample.transformed && settings.resize) {
    const int32_t kept = least_side(window, frames, roi_area, settings.least_roi, side);
    const int32_t from = side_limit(settings, settings.side_low, side);
    const int32_t low = kept > from ? kept : from;
    const int32_t high = side_limit(settings, settings.side_high, side);
    if (low <= high) side = low + uniform_integer(what.w[2], high - low + 1);
  }
  sample.thumbnail = thumbnail_size(window, side);
  const int32_t free_x = canvas_w - sample.thumbnail.width;
  const int32_t free_y = canvas_h - sample.thumbnail.height;
  if (settings.position == Position::center) {
    sample.thumbnail.x = free_x / 2;
    sample.thumbnail.y = free_y / 2;
  } else if (settings.position == Position::top_center) {
    sample.thumbnail.x = free_x / 2;
  } else if (settings.position == Position::random) {
    sample.thumbnail.x = uniform_integer(where.w[0], free_x + 1);
    sample.thumbnail.y = uniform_integer(where.w[1], free_y + 1);
  }

  sample.noise = -1;
  if (sample.transformed && settings.noise_count > 0) {
    const int32_t drawn = uniform_integer(what.w[1], settings.noise_count);
    const float low = settings.strength_low[drawn], high = settings.strength_high[drawn];
    sample.noise = settings.noises[drawn];
    sample.strength = given_strength ? usable_strength(sample.noise, *given_strength)
                                     : low + (high - low) * uniform(what.w[3]);
  }
  return sample;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
