// One job: the whole operation for rows of a sample, on the CPU.
//
// Compiled once per instruction set (SASAUG_VARIANT names it). Loops only: the arithmetic is in the
// headers. No standard containers here: their functions would be shared between the copies.
// SPDX-License-Identifier: Apache-2.0
#include "cpu/loops.h"

#include <cstring>
#include <type_traits>

#include "cpu/noise_rows.h"
#include "cpu/resize_rows.h"

namespace sasaug {
namespace SASAUG_VARIANT {
namespace {

int32_t values_per_pixel(const Batch& b, const Source& source) {
  const int64_t in = pixel_bytes(b.in_type), out = pixel_bytes(b.out_type);
  const bool interleaved = source.image_c == in && source.image_x == b.c * in && b.image_c == out &&
                           b.image_x == b.c * out;
  return interleaved ? b.c : 1;
}

constexpr int64_t kWideRow = 512;  // bytes of a row that is worth fetching early

// One frame of a sample, row by row. Where image and canvas both interleave their channels a row
// holds all of them (`step` values per pixel, one plane), elsewhere each channel is a plane of its
// own.
class SampleRows {
 public:
  SampleRows(const Batch& batch, FramePlace at, char* memory)
      : b(batch),
        p(batch.plan[at.s]),
        source(frame_of(source_of(batch, at.s), at.frame)),
        frame(static_cast<uint32_t>(at.frame)),
        arena(memory),
        scratch(batch, p.window.width, p.thumbnail.width, arena),
        step(values_per_pixel(batch, source)),
        window(batch, p, source, step, scratch),
        keys(batch.seed) {
    planes = b.c / step;
    images = b.images ? b.images + at.s * b.image_n + at.frame * b.image_t : nullptr;
    black = black_bits(b);
    masks = b.masks ? b.masks + at.s * b.mask_n + at.frame * b.mask_t : nullptr;
    covered = p.thumbnail.width == b.w && p.thumbnail.height == b.h;
  }

  // Whether all values that get noise are of the range's unit, where that is checked.
  bool bands(int32_t first, int32_t last) {
    if (images || p.noise >= 0) fill_bands(first, last);
    return fits;
  }

 private:
  bool tables_for_poisson() const {
    bool poisson = false;
    Noises::visit(p.noise,
                  [&](auto kind) { poisson = std::is_same<decltype(kind), Poisson>::value; });
    return poisson && b.out_type == PixelType::uint8 && is_default<uint8_t>(b.out_range);
  }

  void fill_bands(int32_t first, int32_t last) {
    if (window.unchanged() && covered && p.noise < 0 && copy_bands(first, last)) return;
    fill_scratch(first, last);
    const int32_t top = p.thumbnail.y / kBandRows;
    const int32_t bottom = (p.thumbnail.y + p.thumbnail.height + kBandRows - 1) / kBandRows;
    int32_t number = first;
    if (clear_bands(first, smaller(top, last))) number = top > first ? top : first;
    const int32_t end = bottom > number ? bottom : number;
    for (; number < end && number < last; ++number) fill_band(number);
    if (clear_bands(number, last)) return;
    for (; number < last; ++number) fill_band(number);
  }

  void fill_scratch(int32_t first, int32_t last) {
    // the thumbnail's rows in these bands, and in the one whose memory is fetched ahead
    auto row = [&](int32_t number) {
      const int64_t y = smaller(int64_t{number} * kBandRows - p.thumbnail.y, p.thumbnail.height);
      return static_cast<int32_t>(y > 0 ? y : 0);
    };
    window.fill_tables(row(first), row(last + 1));
    if (tables_for_poisson()) {
      const int64_t pixels = (row(last) - row(first)) * int64_t{p.thumbnail.width} * b.c;
      scratch.poisson.fill(p.strength, pixels / 8);  // of which get noise, as work_of supposes
    }
    // columns beside the thumbnail are never in the ROI, nor those past the canvas
    for (uint8_t* roi : scratch.roi) memset(roi, 0, static_cast<size_t>(b.w));
    memset(scratch.roi_any, 0, static_cast<size_t>(b.w) + kMostGroups * kColumns);
    // the column past the last one is read, with weight 0
    const int64_t end = p.window.width * int64_t{step};
    for (int32_t k = 0; k < step; ++k) {
      scratch.columns[end + k] = four(0);
      scratch.above[end + k] = scratch.below[end + k] = Column<uint8_t>{};
    }
  }

  // Copies a sample that passes through; returns false where its rows are not contiguous.
  bool copy_bands(int64_t first, int64_t last) {
    const int64_t pixel = pixel_bytes(b.out_type), row = b.w * step * pixel, y0 = first * kBandRows;
    const int64_t count = smaller(last * kBandRows, b.h) - y0;
    const bool images_dense = b.image_x == step * pixel && source.image_x == step * pixel &&
                              (step == 1 || b.image_c == pixel);
    const bool masks_dense = !masks || (b.mask_x == b.mask_bytes && source.mask_x == b.mask_bytes);
    if (!images || !images_dense || !masks_dense) return false;
    for (int32_t k = 0; k < planes; ++k) {
      copy_rows(images + k * b.image_c + y0 * b.image_y, b.image_y, window.image_row(k, y0),
                source.image_y, row, count);
    }
    if (masks) {
      copy_rows(masks + y0 * b.mask_y, b.mask_y, window.mask_row(y0), source.mask_y,
                b.w * b.mask_bytes, count);
    }
    return true;
  }

  static void copy_rows(char* to, int64_t to_stride, const char* from, int64_t from_stride,
                        int64_t bytes, int64_t count) {
    const bool neighbours = to_stride == bytes && from_stride == bytes;
    const int64_t pieces = neighbours ? 1 : count, size = neighbours ? bytes * count : bytes;
    if (size <= 0) return;
    for (int64_t y = 0; y < pieces; ++y) {
      memcpy(to + y * to_stride, from + y * from_stride, static_cast<size_t>(size));
    }
  }

  // Blackens bands; returns false where pixels or labels of a row are not neighbours in memory.
  bool clear_bands(int64_t first, int64_t last) {
    const int64_t pixel = pixel_bytes(b.out_type), end = smaller(last * kBandRows, b.h);
    const bool images_dense = b.image_x == step * pixel && (step == 1 || b.image_c == pixel);
    const bool masks_dense = !masks || b.mask_x == b.mask_bytes;
    if (!images) return true;
    if (!images_dense || !masks_dense) return false;
    for (int64_t y = first * kBandRows; y < end; ++y) {
      for (int32_t k = 0; k < planes; ++k) {
        blacken(images + y * b.image_y + k * b.image_c, b.w * b.image_x);
      }
      if (masks) memset(masks + y * b.mask_y, 0, static_cast<size_t>(b.w * b.mask_x));
    }
    return true;
  }

  void fill_band(int32_t number) {
    if (images) fetch_ahead(number + 1);
    band = band_of(b, p.thumbnail, number);
    with_label(b.mask_bytes, [&](auto tag) { mask_band<decltype(tag)>(); });
    with_pixel(b.out_type, [&](auto tag) { image_band<decltype(tag)>(); });
  }

  // Fetches the memory of a band while the one before it is computed: the rows to write and, if
  // they are wide, the rows to read. The processor's own prefetching ends at each page.
  void fetch_ahead(int32_t number) const {
    const int64_t top = int64_t{number} * kBandRows, last = smaller(top + kBandRows, b.h);
    const int64_t row_bytes = b.w * step * pixel_bytes(b.out_type);
    const int64_t source_bytes = p.window.width * step * pixel_bytes(b.in_type);
    for (int64_t y = top; y < last; ++y) {
      for (int64_t k = 0; k < planes; ++k) {
        fetch<1>(images + y * b.image_y + k * b.image_c, row_bytes);
      }
      if (masks) fetch<1>(masks + y * b.mask_y, b.w * b.mask_bytes);
      const int64_t at = y - p.thumbnail.y;
      if (source_bytes < kWideRow || at < 0 || at >= p.thumbnail.height) continue;
      const Bilinear from = scratch.rows[at].image;
      for (int64_t k = 0; k < planes; ++k) {
        fetch<0>(window.image_row(k, from.first), source_bytes);
        fetch<0>(window.image_row(k, from.second), source_bytes);
      }
    }
  }

  // Rows with other strides are fetched in part only, which does no harm.
  template <int kWrite>
  static void fetch(const char* row, int64_t bytes) {
#if defined(__GNUC__)
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at, kWrite);
#else
    (void)row, (void)bytes;
#endif
  }

  // ---- mask -------------------------------------------------------------------------------

  template <class Label>
  void mask_band() {
    Label* row[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) row[r] = mask_row<Label>(r);
    clear(row, 1, false);
    noisy_band = band.inside && window.pick_labels(band, row) && p.noise >= 0;
    for (int32_t r = 0; noisy_band && r < kBandRows; ++r) fill_roi_row(row[r], r);
    for (int32_t r = 0; r < band.rows; ++r) {
      if (masks && reinterpret_cast<char*>(row[r]) == scratch.mask_row[r]) {
        char* to = masks + (band.first_row + r) * b.mask_y;
        for (int64_t x = 0; x < b.w; ++x) memcpy(to + x * b.mask_x, row[r] + x, sizeof(Label));
      }
    }
  }

  template <class Label>
  void fill_roi_row(const Label* row, int32_t r) {
    const int32_t x = p.thumbnail.x, width = p.thumbnail.width;
    if (band.used[r]) {
      roi_row<Label>(row + x, width, b.label_count, b.labels, scratch.roi[r] + x);
    } else {
      memset(scratch.roi[r] + x, 0, static_cast<size_t>(width));
    }
  }

  // Where the band's mask row r is made: in place where that is an aligned, contiguous row.
  template <class Label>
  Label* mask_row(int32_t r) {
    char* place = masks ? masks + (band.first_row + r) * b.mask_y : nullptr;
    const bool direct =
        place && r < band.rows && b.mask_x == sizeof(Label) && aligned(place, sizeof(Label));
    return reinterpret_cast<Label*>(direct ? place : scratch.mask_row[r]);
  }

  // ---- image ------------------------------------------------------------------------------

  template <class Out>
  void image_band() {
    Out* row[kMaxChannels][kBandRows];
    for (int32_t k = 0; k < planes; ++k) {
      for (int32_t r = 0; r < kBandRows; ++r) row[k][r] = image_row<Out>(k, r);
      clear(row[k], step, true);
      if (band.inside) {
        with_pixel(b.in_type, [&](auto tag) { window.resize<decltype(tag)>(band, k, row[k]); });
      }
    }
    if (noisy_band) fits &= add_noise(row);
    if (!images) return;
    for (int32_t k = 0; k < planes; ++k) {
      for (int32_t r = 0; r < band.rows; ++r) {
        if (reinterpret_cast<char*>(row[k][r]) != scratch.image_row[k][r]) continue;
        char* to = images + (band.first_row + r) * b.image_y + k * b.image_c;
        for (int64_t x = 0; x < b.w; ++x) {
          for (int32_t c = 0; c < step; ++c) {
            memcpy(to + x * b.image_x + c * b.image_c, row[k][r] + x * step + c, sizeof(Out));
          }
        }
      }
    }
  }

  template <class Out>
  bool add_noise(Out* (*row)[kBandRows]) const {
    bool all_fit = true;
    const NoiseRows noise{
        b, p, frame, band.number, step, scratch.roi, scratch.roi_any, keys, scratch.poisson};
    Noises::visit(p.noise, [&](auto kind) { all_fit = noise.add<decltype(kind)>(row); });
    return all_fit;
  }

  template <class Out>
  Out* image_row(int32_t plane, int32_t r) {
    constexpr int64_t bytes = sizeof(Out);
    char* place = images ? images + (band.first_row + r) * b.image_y + plane * b.image_c : nullptr;
    const bool direct = place && r < band.rows && b.image_x == step * bytes &&
                        (step == 1 || b.image_c == bytes) && aligned(place, bytes);
    return reinterpret_cast<Out*>(direct ? place : scratch.image_row[plane][r]);
  }

  // Blackens the band's rows where the thumbnail will not cover all of them.
  template <class T>
  void clear(T** row, int64_t per_pixel, bool to_black) const {
    if (covered && band.inside) return;
    const int64_t bytes = b.w * per_pixel * static_cast<int64_t>(sizeof(T));
    for (int32_t r = 0; r < band.rows; ++r) {
      if (to_black) {
        blacken(reinterpret_cast<char*>(row[r]), bytes);
      } else {
        memset(static_cast<void*>(row[r]), 0, static_cast<size_t>(bytes));
      }
    }
  }

  // Pixels of the output's type set to the range's low end.
  void blacken(char* to, int64_t bytes) const {
    if (black == 0) {
      memset(to, 0, static_cast<size_t>(bytes));
      return;
    }
    with_pixel(b.out_type, [&](auto tag) {  // of a size that the compiler knows
      for (int64_t at = 0; at < bytes; at += sizeof tag) memcpy(to + at, &black, sizeof tag);
    });
  }

  const Batch& b;
  const Sample& p;
  Source source;   // its addresses those of the frame
  uint32_t frame;  // its number
  Arena arena;
  Scratch scratch;
  int32_t step, planes;
  ResizeRows window;
  RoundKeys keys;
  char *images, *masks;  // of the frame; null: nothing is written
  uint32_t black;        // as it is stored, in the lower bytes
  bool covered, fits = true;

  Band band{};
  bool noisy_band = false;  // whether the band gets noise: scratch.roi says where
};

int64_t roi_area(const Source& source, int32_t mask_bytes, int32_t label_count,
                 const uint64_t* labels, int64_t enough) {
  int64_t area = 0;
  const int64_t width = source.w;
  with_label(mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    for (int32_t frame = 0; frame < source.frames; ++frame) {
      const char* mask = source.mask + frame * source.mask_t;
      for (int64_t y = 0; y < source.h && area <= enough; ++y) {
        const char* row = mask + y * source.mask_y;
        if (source.mask_x == sizeof(Label) && aligned(row, sizeof(Label))) {
          area += roi_count(reinterpret_cast<const Label*>(row), width, label_count, labels);
          continue;
        }
        for (int64_t x = 0; x < width; ++x) {
          const Label label = load_unaligned<Label>(row + x * source.mask_x);
          area += in_roi<Label>(label, label_count, labels) ? 1 : 0;
        }
      }
    }
  });
  return area;
}

size_t scratch_bytes(const Batch& b) {
  int64_t widest = 0;
  for (int64_t s = 0; s < (b.stacked ? 1 : b.n); ++s) {
    widest = b.sources[s].w > widest ? b.sources[s].w : widest;
  }
  Arena arena(nullptr);
  const Scratch measured(b, widest, b.w, arena);
  return arena.bytes();
}

bool rows(const Batch& b, FramePlace at, int32_t first_band, int32_t last_band, char* scratch) {
  return SampleRows(b, at, scratch).bands(first_band, last_band);
}

}  // namespace

extern const CpuLoops kLoops = {roi_area, scratch_bytes, rows};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
