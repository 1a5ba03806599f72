// One job: what one GPU thread counts of a mask's ROI.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cuda/launch_parameters.h"

namespace sasaug {

constexpr int32_t kWarp = 32;
constexpr int32_t kPlanThreads = 1024;  // for one sample's mask

inline namespace SASAUG_VARIANT {

struct alignas(16) Bytes16 {
  uint32_t w[4];
};

SASAUG_HD uint64_t bits_of(const void* address) { return reinterpret_cast<uint64_t>(address); }
SASAUG_HD uint64_t bits_of(int64_t stride) { return static_cast<uint64_t>(stride); }

// Arrays whose addresses are no multiples of their type's size are rare, but none may fault.
template <class T>
SASAUG_HD T load(const char* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const T*>(from);
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

// Labels of the ROI among those in eight bytes, all compared at once.
template <class Label>
SASAUG_HD int64_t roi_labels(uint64_t labels, int32_t label_count, const uint64_t* wanted) {
  constexpr int kBits = 8 * sizeof(Label);
  constexpr uint64_t kOnes = ~uint64_t{0} / static_cast<Label>(~Label{0});  // 1 in every label
  constexpr uint64_t kTop = kOnes << (kBits - 1);
  auto not_zero = [](uint64_t v) { return (((v & ~kTop) + ~kTop) | v) & kTop; };
  uint64_t roi = label_count == 0 ? not_zero(labels) : 0;
  for (int32_t k = 0; k < label_count; ++k) {
    roi |= not_zero(labels ^ static_cast<Label>(wanted[k]) * kOnes) ^ kTop;
  }
  return static_cast<int64_t>((roi >> (kBits - 1)) * kOnes >> (64 - kBits));
}

template <class Label>
SASAUG_HD int64_t roi_part_dense(const char* mask, int64_t bytes, int32_t label_count,
                                 const uint64_t* labels, int32_t thread, int32_t threads) {
  constexpr int32_t kTogether = 4;  // loads under way while one waits for the first
  const auto* from = reinterpret_cast<const Bytes16*>(mask);
  const int64_t count = bytes / 16;
  int64_t area = 0;
  for (int64_t i = thread; i < count; i += kTogether * threads) {
    Bytes16 v[kTogether];
    for (int32_t k = 0; k < kTogether; ++k) {
      v[k] = i + k * threads < count ? from[i + k * threads] : Bytes16{};  // 0 is never ROI
    }
    for (int32_t k = 0; k < kTogether; ++k) {
      for (int32_t half = 0; half < 4; half += 2) {
        const uint64_t eight = v[k].w[half] | uint64_t{v[k].w[half + 1]} << 32;
        area += roi_labels<Label>(eight, label_count, labels);
      }
    }
  }
  const int64_t rest = count * 16 + int64_t{thread} * static_cast<int64_t>(sizeof(Label));
  if (rest < bytes) area += in_roi(load<Label>(mask + rest, true), label_count, labels) ? 1 : 0;
  return area;
}

// As small or as large as can be: all that a plan asks of the area is which of the two it is.
SASAUG_HD int64_t roi_of(const Source& source, bool large) {
  return large ? int64_t{source.h} * source.w : 0;
}

// One thread's parameters of a mask's ROI pixels: they add up to its area.
SASAUG_HD int64_t roi_part(const Source& source, const Batch& b, int32_t thread, int32_t threads) {
  const int64_t size = b.mask_bytes, pixels = int64_t{source.h} * source.w;
  const bool dense = source.mask_x == size && source.mask_y == source.w * size;
  int64_t area = 0;
  with_label(b.mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    if (dense && bits_of(source.mask) % 16 == 0) {
      area = roi_part_dense<Label>(source.mask, pixels * size, b.label_count, b.labels, thread,
                                   threads);
      return;
    }
    const bool aligned =
        (bits_of(source.mask) | bits_of(source.mask_y) | bits_of(source.mask_x)) % sizeof(Label) ==
        0;
    for (int64_t y = thread / kWarp; y < source.h; y += threads / kWarp) {
      for (int64_t x = thread % kWarp; x < source.w; x += kWarp) {
        const char* at = source.mask + y * source.mask_y + x * source.mask_x;
        area += in_roi(load<Label>(at, aligned), b.label_count, b.labels) ? 1 : 0;
      }
    }
  });
  return area;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
