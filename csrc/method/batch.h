// One job: describe a batch, its sources, and what the caller gives for each sample.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/plan.h"

namespace sasaug {

constexpr int kMaxLabels = 16;
constexpr int kMaxChannels = 4;
constexpr int kMaxFrames = 1 << 16;  // the upper half of a counter's word

// One sample's image and mask as they lie in memory; strides in bytes, of either sign. A clip has
// further frames, image_t and mask_t bytes on.
struct Source {
  const char* image;
  const char* mask;
  int32_t h, w;
  int32_t frames;  // 1 for an image
  int64_t image_t, image_y, image_x, image_c;
  int64_t mask_t, mask_y, mask_x;

  template <class F>
  static void fields(F&& field) {
    field("image", &Source::image);
    field("mask", &Source::mask);
    field("h", &Source::h);
    field("w", &Source::w);
    field("frames", &Source::frames);
    field("image_t", &Source::image_t);
    field("image_y", &Source::image_y);
    field("image_x", &Source::image_x);
    field("image_c", &Source::image_c);
    field("mask_t", &Source::mask_t);
    field("mask_y", &Source::mask_y);
    field("mask_x", &Source::mask_x);
  }
};

// A batch: the one thing that the CPU and GPU loops are handed. Addresses are the device's where
// the GPU runs, but for `plan` and `sources`.
struct Batch {
  int64_t n;
  int32_t h, w, c;  // of the canvas
  int32_t frames;   // of each sample, where there are `images`
  PixelType in_type, out_type;
  int32_t mask_bytes;  // 1, 2, 4 or 8: labels are compared as bits

  const Source* sources;  // [n]; or [1] with the strides below, for a stacked batch
  bool stacked;
  int64_t source_image_n, source_mask_n;

  char* images;  // [n, frames, h, w, c] of `out_type`, any strides; or null: only the plan is drawn
  int64_t image_n, image_t, image_y, image_x, image_c;
  char* masks;  // [n, frames, h, w]; or null: the masks are only read
  int64_t mask_n, mask_t, mask_y, mask_x;

  Sample* plan;  // [n]
  bool plan_on_device;
  uint64_t seed;
  bool antialias, per_channel;
  float salt_vs_pepper;
  ValueRange in_range, out_range;  // the second is the first where the unit is the same
  bool check_values;    // report floats of another unit than the range's where they get noise ...
  bool check_first;     // ... before anything is written
  int32_t label_count;  // 0: any label but background is ROI
  uint64_t labels[kMaxLabels];

  template <class F>
  static void fields(F&& field) {
    field("n", &Batch::n);
    field("h", &Batch::h);
    field("w", &Batch::w);
    field("c", &Batch::c);
    field("frames", &Batch::frames);
    field("in_type", &Batch::in_type);
    field("out_type", &Batch::out_type);
    field("mask_bytes", &Batch::mask_bytes);
    field("sources", &Batch::sources);
    field("stacked", &Batch::stacked);
    field("source_image_n", &Batch::source_image_n);
    field("source_mask_n", &Batch::source_mask_n);
    field("images", &Batch::images);
    field("image_n", &Batch::image_n);
    field("image_t", &Batch::image_t);
    field("image_y", &Batch::image_y);
    field("image_x", &Batch::image_x);
    field("image_c", &Batch::image_c);
    field("masks", &Batch::masks);
    field("mask_n", &Batch::mask_n);
    field("mask_t", &Batch::mask_t);
    field("mask_y", &Batch::mask_y);
    field("mask_x", &Batch::mask_x);
    field("plan", &Batch::plan);
    field("plan_on_device", &Batch::plan_on_device);
    field("seed", &Batch::seed);
    field("antialias", &Batch::antialias);
    field("per_channel", &Batch::per_channel);
    field("salt_vs_pepper", &Batch::salt_vs_pepper);
    field("in_range", &Batch::in_range);
    field("out_range", &Batch::out_range);
    field("check_values", &Batch::check_values);
    field("check_first", &Batch::check_first);
    field("label_count", &Batch::label_count);
    field("labels", &Batch::labels);
  }
};

// One value for each sample; on the GPU it may lie on either side.
template <class T>
struct PerSample {
  const T* values;  // [n], or null
  bool on_device;

  template <class F>
  static void fields(F&& field) {
    field("values", &PerSample::values);
    field("on_device", &PerSample::on_device);
  }
};

// The inputs of a batch's plan, beside its masks.
struct PlanInputs {
  PerSample<uint64_t> ids;       // null: 0, 1, 2 ...
  PerSample<Rectangle> windows;  // null: whole images
  PerSample<int32_t> sides;      // null: drawn
  PerSample<float> strengths;    // null: drawn
  PlanSettings settings;

  template <class F>
  static void fields(F&& field) {
    field("ids", &PlanInputs::ids);
    field("windows", &PlanInputs::windows);
    field("sides", &PlanInputs::sides);
    field("strengths", &PlanInputs::strengths);
    field("settings", &PlanInputs::settings);
  }
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

// One frame of the batch's canvases, frame by frame and sample by sample.
struct FramePlace {
  int64_t s;
  int32_t frame;
};

SASAUG_HD int64_t frame_count(const Batch& b) { return b.n * b.frames; }

SASAUG_HD FramePlace frame_place(const Batch& b, int64_t number) {
  if (b.frames == 1) return {number, 0};
  const int64_t s = quotient(number, b.frames);
  return {s, static_cast<int32_t>(number - s * b.frames)};
}

// The sample's source, its addresses those of one of its frames.
SASAUG_HD Source frame_of(Source source, int32_t frame) {
  source.image += frame * source.image_t;
  source.mask += frame * source.mask_t;
  return source;
}

SASAUG_HD int64_t image_area(const Source& source) {
  return int64_t{source.h} * source.w * source.frames;
}

// Counting the ROI may stop above this: the plan only needs "more than this many?", and with
// apply_to="all" not even that, but for least_roi.
SASAUG_HD int64_t enough_area(const PlanSettings& settings, const Source& source) {
  if (settings.least_roi > 0) return image_area(source);
  if (settings.apply_to_all) return -1;
  return static_cast<int64_t>(small_area(settings, image_area(source)));
}

// The inputs of one sample; null: not given.
struct SampleInputs {
  const uint64_t* id;
  const Rectangle* window;
  const int32_t* side;
  const float* strength;
};

SASAUG_HD Sample draw_one(const Batch& b, const PlanSettings& settings, int64_t s,
                          const Source& source, SampleInputs given, int64_t roi_area) {
  const Rectangle whole{0, 0, source.w, source.h};
  const Rectangle window = given.window ? inside(*given.window, source.h, source.w) : whole;
  return draw_sample(settings, b.h, b.w, b.seed, given.id ? *given.id : static_cast<uint64_t>(s),
                     window, given.side, given.strength, roi_area, image_area(source),
                     source.frames);
}

SASAUG_HD Sample draw_one(const Batch& b, const PlanInputs& inputs, int64_t s, const Source& source,
                          int64_t roi_area) {
  const SampleInputs given{inputs.ids.values ? inputs.ids.values + s : nullptr,
                           inputs.windows.values ? inputs.windows.values + s : nullptr,
                           inputs.sides.values ? inputs.sides.values + s : nullptr,
                           inputs.strengths.values ? inputs.strengths.values + s : nullptr};
  return draw_one(b, inputs.settings, s, source, given, roi_area);
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

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
