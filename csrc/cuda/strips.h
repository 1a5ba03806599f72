// One job: the strips that the thumbnail covers: their labels to the canvas, their values to the
// stage. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/labels.h"
#include "cuda/resize.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

__device__ inline void fill_strips(const Batch& b, const Tile& t, const Tables& tables,
                                   NoisyColumns& noisy, Values& values) {
  each_strip(t.strips, b.c, [&](int32_t column, int32_t row, int32_t channel) {
    const uint32_t inside = covered(tables, column, row);
    if (channel == 0) fill_labels(b, t, tables, column, row, inside, noisy);
    if (inside) stage_values(b, t, tables, column, row, channel, inside, values);
  });
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
