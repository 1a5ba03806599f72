// One job: what one instruction set's compilation of loops.cpp offers to schedule.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "method/value.h"

namespace sasaug {

struct CpuLoops {
  // Pixels of one source's mask, all its frames, that are in the ROI; counting stops once there are
  // more than enough.
  int64_t (*roi_area)(const Source&, int32_t mask_bytes, int32_t label_count,
                      const uint64_t* labels, int64_t enough);
  // Bytes of scratch memory that `rows` needs for any sample of the batch.
  size_t (*scratch_bytes)(const Batch&);
  // Writes canvas rows [4 * first_band, 4 * last_band) of one frame; nothing where batch.images is
  // null. With check_values returns whether all pixels that get noise are of the range's unit.
  bool (*rows)(const Batch&, FramePlace at, int32_t first_band, int32_t last_band, char* scratch);
};

namespace scalar {  // scalar.cpp
extern const CpuLoops kLoops;
}
namespace baseline {
extern const CpuLoops kLoops;
}
#ifdef SASAUG_X86
namespace avx2 {
extern const CpuLoops kLoops;
}
namespace avx512 {
extern const CpuLoops kLoops;
}
#endif

}  // namespace sasaug
