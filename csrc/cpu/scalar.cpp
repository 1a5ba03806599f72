// One job: CPU loops that call method/value.h pixel by pixel: slow, and plainly right.
//
// The tests compare every fast loop with these; SASAUG_ISA=scalar runs anything on them.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "cpu/loops.h"
#include "method/value.h"

namespace sasaug {
namespace scalar {
namespace {

int64_t roi_area(const Source& source, int32_t mask_bytes, int32_t label_count,
                 const uint64_t* labels, int64_t) {
  int64_t area = 0;
  with_label(mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    for (int32_t frame = 0; frame < source.frames; ++frame) {
      for (int64_t y = 0; y < source.h; ++y) {
        for (int64_t x = 0; x < source.w; ++x) {
          const char* at = frame_of(source, frame).mask + y * source.mask_y + x * source.mask_x;
          area += in_roi(load_any<Label>(at), label_count, labels) ? 1 : 0;
        }
      }
    }
  });
  return area;
}

size_t scratch_bytes(const Batch&) { return 0; }

template <class In, class Out, class Label>
bool fill_pixel(const Batch& b, const CanvasValues& values, FramePlace at, int32_t y, int32_t x) {
  bool fits = true;
  for (int32_t c = 0; c < b.c; ++c) {
    if (b.check_values && values.unfit<In, Out, Label>(y, x, c)) fits = false;
    if (!b.images) continue;
    const Out value = values.pixel<In, Out, Label>(y, x, c);
    char* to = b.images + at.s * b.image_n + at.frame * b.image_t;
    memcpy(to + y * b.image_y + x * b.image_x + c * b.image_c, &value, sizeof value);
  }
  if (!b.masks) return fits;
  const Label label = values.label<Label>(y, x);
  char* to = b.masks + at.s * b.mask_n + at.frame * b.mask_t;
  memcpy(to + y * b.mask_y + x * b.mask_x, &label, sizeof label);
  return fits;
}

bool rows(const Batch& b, FramePlace at, int32_t first_band, int32_t last_band, char*) {
  bool fits = true;
  const CanvasValues values(b, b.plan[at.s], source_of(b, at.s), at.frame);
  with_pixel(b.in_type, [&](auto in) {
    with_pixel(b.out_type, [&](auto out) {
      with_label(b.mask_bytes, [&](auto label) {
        for (int32_t y = first_band * kBandRows; y < last_band * kBandRows && y < b.h; ++y) {
          for (int32_t x = 0; x < b.w; ++x) {
            fits &= fill_pixel<decltype(in), decltype(out), decltype(label)>(b, values, at, y, x);
          }
        }
      });
    });
  });
  return fits;
}

}  // namespace

extern const CpuLoops kLoops = {roi_area, scratch_bytes, rows};

}  // namespace scalar
}  // namespace sasaug
