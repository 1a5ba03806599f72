// One job: whether a mask's ROI has more pixels than a plan asks for, by all threads of a block.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/memory.h"

namespace sasaug {

constexpr int32_t kPlanThreads = 512;  // for one sample's mask
constexpr int32_t kTogether = 4;       // loads of a thread under way at once

inline namespace SASAUG_VARIANT {

using RoiArea = unsigned long long;  // the type of CUDA's 64-bit atomics

// The top bit of each label that is not 0, among those in a word.
template <class Label, class Word>
__device__ Word not_zero(Word labels) {
  constexpr Word kOnes = ~Word{0} / static_cast<Label>(~Label{0});  // 1 in every label
  constexpr Word kTop = kOnes << (8 * sizeof(Label) - 1);
  return (((labels & ~kTop) + ~kTop) | labels) & kTop;
}

// Labels among those in eight bytes that are one of `wanted`, all compared at once.
template <class Label>
__device__ int32_t roi_labels(uint64_t labels, int32_t label_count, const uint64_t* wanted) {
  constexpr uint64_t kOnes = ~uint64_t{0} / static_cast<Label>(~Label{0});
  uint64_t others = ~uint64_t{0};
  SASAUG_ROLLED
  for (int32_t k = 0; k < label_count; ++k) {
    others &= not_zero<Label>(labels ^ static_cast<Label>(wanted[k]) * kOnes);
  }
  return static_cast<int32_t>(sizeof labels / sizeof(Label)) - __popcll(others);
}

struct alignas(16) LabelPiece {
  uint64_t w[2];
};

// Pieces of a mask without gaps, one in every kPlanThreads.
template <class Label, int32_t kCount, bool kAnyLabel>
__device__ int32_t roi_of_pieces(const LabelPiece* mask, const Batch& b) {
  LabelPiece v[kCount];
#pragma unroll
  for (int32_t k = 0; k < kCount; ++k) v[k] = mask[k * kPlanThreads];
  int32_t area = 0;
#pragma unroll
  for (int32_t k = 0; k < kCount; ++k) {
    for (uint64_t eight : v[k].w) {
      area += kAnyLabel ? __popcll(not_zero<Label>(eight))
                        : roi_labels<Label>(eight, b.label_count, b.labels);
    }
  }
  return area;
}

// One row of any mask, by one warp.
template <class Label>
__device__ int32_t roi_of_row(const Source& source, int64_t y, bool aligned, const Batch& b) {
  int32_t area = 0;
  SASAUG_ROLLED
  for (int64_t x = threadIdx.x % kWarp; x < source.w; x += kWarp) {
    const char* at = source.mask + y * source.mask_y + x * source.mask_x;
    area += in_roi(load<Label>(at, aligned), b.label_count, b.labels) ? 1 : 0;
  }
  return area;
}

// Rounds of a few loads a thread, until the mask ends or `enough` is passed. `total` is shared, and
// counts on from the frames before; every thread gets the same answer.
template <class Label>
__device__ bool roi_exceeds(const Source& source, const Batch& b, int64_t enough, RoiArea& total) {
  const int64_t size = sizeof(Label), bytes = int64_t{source.h} * source.w * size;
  const bool pieces = source.mask_x == size && source.mask_y == source.w * size &&
                      (bits_of(source.mask) | bits_of(bytes)) % 16 == 0;
  const bool aligned =
      (bits_of(source.mask) | bits_of(source.mask_y) | bits_of(source.mask_x)) % size == 0;
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const bool any_label = b.label_count == 0;
  const int64_t count = pieces ? bytes / 16 : source.h;
  const int64_t first = pieces ? thread : thread / kWarp;
  const int64_t round = pieces ? kTogether * kPlanThreads : kPlanThreads / kWarp;
  bool more = false;
  SASAUG_ROLLED
  for (int64_t start = 0; start < count && !more; start += round) {
    int32_t area = 0;
    if (pieces) {
      const LabelPiece* mask = reinterpret_cast<const LabelPiece*>(source.mask) + start + first;
      if (start + round <= count) {
        area = any_label ? roi_of_pieces<Label, kTogether, true>(mask, b)
                         : roi_of_pieces<Label, kTogether, false>(mask, b);
      } else {
        SASAUG_ROLLED
        for (int64_t i = start + first; i < count; i += kPlanThreads, mask += kPlanThreads) {
          area += any_label ? roi_of_pieces<Label, 1, true>(mask, b)
                            : roi_of_pieces<Label, 1, false>(mask, b);
        }
      }
    } else if (start + first < count) {
      area = roi_of_row<Label>(source, start + first, aligned, b);
    }
    for (int32_t lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      area += __shfl_down_sync(0xFFFFFFFFu, area, lanes);
    }
    if (thread % kWarp == 0 && area > 0) atomicAdd(&total, static_cast<RoiArea>(area));
    __syncthreads();
    more = static_cast<int64_t>(total) > enough;
    __syncthreads();  // before the next round adds to it
  }
  return more;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
