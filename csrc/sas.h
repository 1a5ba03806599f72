// One job: the whole operation on one pixel, and what describes a batch of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "plan.h"

namespace sasaug {

constexpr int kMaxLabels = 16;
constexpr int kMaxChannels = 4;

// One sample's image and mask as they lie in memory; strides in bytes, of either sign.
struct Source {
  const char* image;
  const char* mask;
  int32_t h, w;
  int64_t image_y, image_x, image_c;
  int64_t mask_y, mask_x;
};

// A batch: the one thing that the CPU and GPU loops are handed. Addresses are the device's where
// the GPU runs, but for `plan` and `sources`.
struct Batch {
  int64_t n;
  int32_t h, w, c;  // of the canvas
  PixelType in, out;
  int32_t mask_bytes;  // 1, 2, 4 or 8: labels are compared as bits

  const Source* sources;  // [n]; or [1] with the strides below, for a stacked batch
  bool stacked;
  int64_t source_image_n, source_mask_n;

  char* images;  // [n, h, w, c] of `out`, any strides
  int64_t image_n, image_y, image_x, image_c;
  char* masks;  // [n, h, w]; or null: the masks are only read
  int64_t mask_n, mask_y, mask_x;

  Sample* plan;  // [n]
  bool plan_on_device;
  uint64_t seed;
  bool antialias, per_channel;
  float salt_vs_pepper;
  int32_t label_count;  // 0: any label but background is ROI
  uint64_t labels[kMaxLabels];
};

// What each sample brings along; on the GPU it may lie on either side.
template <class T>
struct PerSample {
  const T* values;  // [n], or null
  bool on_device;
};

// How a batch's plan is drawn.
struct Drawing {
  PerSample<uint64_t> ids;       // null: 0, 1, 2 ...
  PerSample<Rectangle> windows;  // null: whole images
  PerSample<int32_t> sides;      // null: drawn
  PerSample<float> strengths;    // null: drawn
  PlanSettings settings;
};

inline namespace SASAUG_VARIANT {

// `sources` as batch.sources, at whatever address they are at hand.
SASAUG_HD Source source_of(const Batch& b, const Source* sources, int64_t s) {
  if (!b.stacked) return sources[s];
  Source source = sources[0];
  source.image += s * b.source_image_n;
  source.mask += s * b.source_mask_n;
  return source;
}

SASAUG_HD Source source_of(const Batch& b, int64_t s) { return source_of(b, b.sources, s); }

// ROI pixels after which counting may stop: only whether there are more enters the plan, if that.
SASAUG_HD int64_t enough_area(const PlanSettings& settings, const Source& source) {
  if (settings.apply_to_all) return -1;
  return static_cast<int64_t>(small_area(settings, int64_t{source.h} * source.w));
}

// What one sample brings along; null: not given.
struct Given {
  const uint64_t* id;
  const Rectangle* window;
  const int32_t* side;
  const float* strength;
};

SASAUG_HD Sample draw_one(const Batch& b, const PlanSettings& settings, int64_t s,
                          const Source& source, Given given, int64_t roi_area) {
  const Rectangle whole{0, 0, source.w, source.h};
  const Rectangle window = given.window ? inside(*given.window, source.h, source.w) : whole;
  return draw_sample(settings, b.seed, given.id ? *given.id : static_cast<uint64_t>(s), window,
                     given.side, given.strength, roi_area, int64_t{source.h} * source.w);
}

SASAUG_HD Sample draw_one(const Batch& b, const Drawing& d, int64_t s, const Source& source,
                          int64_t roi_area) {
  const Given given{d.ids.values ? d.ids.values + s : nullptr,
                    d.windows.values ? d.windows.values + s : nullptr,
                    d.sides.values ? d.sides.values + s : nullptr,
                    d.strengths.values ? d.strengths.values + s : nullptr};
  return draw_one(b, d.settings, s, source, given, roi_area);
}

// Calls f with an unsigned integer of the labels' size.
template <class F>
SASAUG_HD void with_label(int32_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

template <class Label>
SASAUG_HD bool in_roi(Label label, int32_t label_count, const uint64_t* labels) {
  bool inside = label_count == 0 && label != 0;
  for (int32_t k = 0; k < label_count; ++k) inside |= label == static_cast<Label>(labels[k]);
  return inside;
}

// Four canvas rows that share a column share a block of random words: word r is row 4 * band + r.
// So neighbouring columns are neighbouring counters, for any vector width or thread layout.
constexpr int kBandRows = 4;

SASAUG_HD uint32_t noise_block(int32_t band, int32_t x, int32_t canvas_w) {
  return static_cast<uint32_t>(band) * static_cast<uint32_t>(canvas_w) + static_cast<uint32_t>(x);
}

// Noise, clip and round for N pixels that share kind and strength.
template <class Kind, class T, int N>
SASAUG_HD void noisy(const T* in, T* out, Random random, Noise noise) {
  float x[N];
  for (int i = 0; i < N; ++i) x[i] = Pixel<T>::load(in[i]);
  Kind::template apply<N>(x, random, Pixel<T>::full, noise);
  for (int i = 0; i < N; ++i) out[i] = Pixel<T>::store(clip(x[i], Pixel<T>::full));
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
