// One job: the whole operation for rows of a sample, on the CPU.
//
// Compiled once per instruction set (SASAUG_VARIANT names it). Loops only: what a pixel becomes is
// in the headers. No standard containers here: their functions would be shared between the copies.
// SPDX-License-Identifier: Apache-2.0
#include "sas_cpu.h"

#include <cstring>

#include "scratch.h"

namespace sasaug {
namespace SASAUG_VARIANT {
namespace {

template <class T>
inline T load_unaligned(const char* address) {
  T value;
  memcpy(&value, address, sizeof value);
  return value;
}

inline bool aligned(const char* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

constexpr int64_t kWideRow = 512;  // bytes of a row from which on it is worth asking for early

// One sample, row by row. Where image and canvas both interleave their channels a row holds all of
// them (`step` values per pixel, one plane), elsewhere each channel is a plane of its own.
class SampleRows {
 public:
  SampleRows(const Batch& batch, int64_t s, char* memory)
      : b(batch),
        p(batch.plan[s]),
        source(source_of(batch, s)),
        arena(memory),
        scratch(batch, p.window.width, p.thumbnail.width, arena) {
    const int64_t in = pixel_bytes(b.in), out = pixel_bytes(b.out);
    const bool interleaved = b.c > 1 && source.image_c == in && source.image_x == b.c * in &&
                             b.image_c == out && b.image_x == b.c * out;
    step = interleaved || b.c == 1 ? b.c : 1;
    planes = b.c / step;
    images = b.images + s * b.image_n;
    masks = b.masks ? b.masks + s * b.mask_n : nullptr;
    window_image = source.image + p.window.y * source.image_y + p.window.x * source.image_x;
    window_mask = source.mask + p.window.y * source.mask_y + p.window.x * source.mask_x;
    copied = b.in == b.out && p.window.width == p.thumbnail.width &&
             p.window.height == p.thumbnail.height;
    covered = p.thumbnail.width == b.w && p.thumbnail.height == b.h;
    antialias_x = shrinks_antialiased(b.antialias, p.window.width, p.thumbnail.width);
    antialias_y = shrinks_antialiased(b.antialias, p.window.height, p.thumbnail.height);
    fill_tables();
    // columns beside the thumbnail are never in the ROI, nor those past the canvas
    for (uint8_t* roi : scratch.roi) memset(roi, 0, static_cast<size_t>(b.w));
    memset(scratch.roi_any, 0, static_cast<size_t>(b.w) + kLanes);
    // the column past the last one is read, with weight 0
    for (int32_t k = 0; k < step; ++k)
      scratch.columns[p.window.width * int64_t{step} + k] = four(0);
  }

  void bands(int32_t first, int32_t last) {
    const int32_t top = p.thumbnail.y / kBandRows;
    const int32_t bottom = (p.thumbnail.y + p.thumbnail.height + kBandRows - 1) / kBandRows;
    int32_t number = first;
    if (clear_bands(first, smaller(top, last))) number = top > first ? top : first;
    const int32_t end = bottom > number ? bottom : number;
    for (; number < end && number < last; ++number) band(number);
    if (clear_bands(number, last)) return;
    for (; number < last; ++number) band(number);
  }

 private:
  // Black from band to band, at once; false where the rows are not neighbours in memory.
  bool clear_bands(int64_t first, int64_t last) {
    const int64_t pixel = pixel_bytes(b.out), y0 = first * kBandRows;
    const int64_t count = smaller(last * kBandRows, b.h) - y0;
    const bool images_dense = b.image_x == step * pixel && b.image_y == b.w * b.image_x &&
                              (step == 1 || b.image_c == pixel);
    const bool masks_dense = !masks || (b.mask_x == b.mask_bytes && b.mask_y == b.w * b.mask_x);
    if (!images_dense || !masks_dense) return false;
    if (count <= 0) return true;
    for (int32_t k = 0; k < planes; ++k) {
      memset(images + y0 * b.image_y + k * b.image_c, 0, static_cast<size_t>(count * b.image_y));
    }
    if (masks) memset(masks + y0 * b.mask_y, 0, static_cast<size_t>(count * b.mask_y));
    return true;
  }

  void band(int32_t number) {
    fetch_ahead(number + 1);
    first_row = number * kBandRows;
    rows = static_cast<int32_t>(smaller(kBandRows, b.h - first_row));
    const int32_t above = p.thumbnail.y, below = above + p.thumbnail.height;
    inside = false;
    for (int32_t r = 0; r < kBandRows; ++r) {
      // rows that are not the thumbnail's repeat one that is: resized with it, then not used
      int32_t y = first_row + r - above;
      y = y < p.thumbnail.height ? y : p.thumbnail.height - 1;
      thumbnail_row[r] = y > 0 ? y : 0;
      used[r] =
          r < rows && p.thumbnail.width > 0 && first_row + r >= above && first_row + r < below;
      inside |= used[r];
    }
    with_label(b.mask_bytes, [&](auto tag) { mask_band<decltype(tag)>(); });
    with_pixel(b.out, [&](auto tag) { image_band<decltype(tag)>(number); });
  }

  // Asks for the memory of a band while the one before it is computed: what will be written, and of
  // wide rows what will be read. The processor's own foresight ends at each page, often every row.
  void fetch_ahead(int32_t number) const {
    const int64_t top = int64_t{number} * kBandRows, last = smaller(top + kBandRows, b.h);
    const int64_t row_bytes = b.w * step * pixel_bytes(b.out);
    const int64_t source_bytes = p.window.width * step * pixel_bytes(b.in);
    for (int64_t y = top; y < last; ++y) {
      for (int64_t k = 0; k < planes; ++k) {
        fetch<1>(images + y * b.image_y + k * b.image_c, row_bytes);
      }
      if (masks) fetch<1>(masks + y * b.mask_y, b.w * b.mask_bytes);
      const int64_t at = y - p.thumbnail.y;
      if (source_bytes < kWideRow || at < 0 || at >= p.thumbnail.height) continue;
      const Bilinear from = bilinear(at, p.window.height, p.thumbnail.height);
      for (int64_t k = 0; k < planes; ++k) {
        const char* plane = window_image + k * source.image_c;
        fetch<0>(plane + from.first * source.image_y, source_bytes);
        fetch<0>(plane + from.second * source.image_y, source_bytes);
      }
    }
  }

  // Of rows with other strides this asks for too little, which costs nothing.
  template <int kWrite>
  static void fetch(const char* row, int64_t bytes) {
#if defined(__GNUC__)
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at, kWrite);
#else
    (void)row, (void)bytes;
#endif
  }

  void fill_tables() {
    const Rectangle &t = p.thumbnail, &w = p.window;
    for (int32_t x = 0; x < t.width; ++x) {
      scratch.mask_x[x] = static_cast<int32_t>(nearest_exact(x, w.width, t.width));
    }
#ifdef SASAUG_PICKS
    labels_picked = b.mask_bytes == 1 && w.width != t.width &&
                    plan_labels(scratch.mask_x, t.width, w.width, scratch.label_picks);
#endif
    if (copied) return;
    if (antialias_x) {
      most_taps = Scratch::most_taps(w.width, t.width);
      for (int32_t x = 0; x < t.width; ++x) {
        const Triangle at = triangle(x, w.width, t.width);
        const float sum = triangle_sum(x, at, w.width, t.width);
        scratch.first[x] = at.first;
        scratch.taps[x] = at.count;
        for (int64_t k = 0; k < at.count; ++k) {
          const int64_t weight = triangle_weight(x, at.first + k, w.width, t.width);
          scratch.weight[x * most_taps + k] = static_cast<float>(weight) / sum;
        }
      }
      return;
    }
    for (int32_t x = 0; x < t.width; ++x) {
      const Bilinear at = bilinear(x, w.width, t.width);
      for (int32_t k = 0; k < step; ++k) {
        scratch.first[x * step + k] = at.first * step + k;
        scratch.weight4[x * step + k] = four(at.weight);
      }
    }
#ifdef SASAUG_PICKS
    with_pixel(b.in, [&](auto tag) {
      if constexpr (Pixel<decltype(tag)>::integer) {
        picked = !antialias_y && plan_picks<decltype(tag)>(scratch.first, scratch.weight4, step,
                                                           int64_t{t.width} * step,
                                                           int64_t{w.width} * step, scratch.picks);
      }
    });
#endif
  }

  // ---- mask -------------------------------------------------------------------------------

  template <class Label>
  void mask_band() {
    Label* row[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) row[r] = mask_row<Label>(r);
    clear(row, 1);
    noisy_band = inside && fill_mask_rows(row) && p.noise >= 0;
    for (int32_t r = 0; r < rows; ++r) {
      if (noisy_band) fill_roi_row(row[r], r);
      if (masks && reinterpret_cast<char*>(row[r]) == scratch.mask_row[r]) {
        char* to = masks + (first_row + r) * b.mask_y;
        for (int64_t x = 0; x < b.w; ++x) memcpy(to + x * b.mask_x, row[r] + x, sizeof(Label));
      }
    }
  }

  // The thumbnail's labels; returns whether there are any but background.
  template <class Label>
  bool fill_mask_rows(Label** row) {
    const Rectangle& t = p.thumbnail;
    const Label* from[kBandRows];
    bool empty = true;
    for (int32_t r = 0; r < kBandRows; ++r) {
      const int64_t y = nearest_exact(thumbnail_row[r], p.window.height, t.height);
      from[r] = contiguous<Label>(window_mask + y * source.mask_y, source.mask_x, 0, 1, r);
      empty = empty && blank(from[r], p.window.width);
    }
    if (empty || t.width == p.window.width) {
      for (int32_t r = 0; r < rows; ++r) {
        const size_t bytes = static_cast<size_t>(t.width) * sizeof(Label);
        if (used[r] && empty && covered) memset(row[r] + t.x, 0, bytes);
        if (used[r] && !empty) memcpy(row[r] + t.x, from[r], bytes);
      }
      return !empty;
    }
#ifdef SASAUG_PICKS
    if constexpr (sizeof(Label) == 1) {
      if (labels_picked) {
        for (int32_t r = 0; r < rows; ++r) {
          if (used[r]) pick_labels_row(from[r], scratch.label_picks, t.width, row[r] + t.x);
        }
        return true;
      }
    }
#endif
    auto* columns = reinterpret_cast<Column<Label>*>(scratch.mask_columns);
    auto* small = reinterpret_cast<Column<Label>*>(scratch.mask_small);
    interleave(from[0], from[1], from[2], from[3], p.window.width, columns);
    pick_columns(columns, scratch.mask_x, t.width, small);
    separate_used(small, t.width, t.x, row);
    return true;
  }

  template <class Label>
  void fill_roi_row(const Label* row, int32_t r) {
    const int32_t x = p.thumbnail.x, width = p.thumbnail.width;
    if (used[r]) {
      roi_row<Label>(row + x, width, b.label_count, b.labels, scratch.roi[r] + x);
    } else {
      memset(scratch.roi[r] + x, 0, static_cast<size_t>(width));
    }
  }

  // Where the band's mask row r is made: in place where that is an aligned, contiguous row.
  template <class Label>
  Label* mask_row(int32_t r) {
    char* place = masks ? masks + (first_row + r) * b.mask_y : nullptr;
    const bool direct =
        place && r < rows && b.mask_x == sizeof(Label) && aligned(place, sizeof(Label));
    return reinterpret_cast<Label*>(direct ? place : scratch.mask_row[r]);
  }

  // ---- image ------------------------------------------------------------------------------

  template <class Out>
  void image_band(int32_t number) {
    Out* row[kMaxChannels][kBandRows];
    for (int32_t k = 0; k < planes; ++k) {
      for (int32_t r = 0; r < kBandRows; ++r) row[k][r] = image_row<Out>(k, r);
      clear(row[k], step);
      if (inside) {
        with_pixel(b.in, [&](auto tag) { resize<decltype(tag), Out>(k, row[k]); });
      }
    }
    if (noisy_band) add_noise(number, row);
    for (int32_t k = 0; k < planes; ++k) {
      for (int32_t r = 0; r < rows; ++r) {
        if (reinterpret_cast<char*>(row[k][r]) != scratch.image_row[k][r]) continue;
        char* to = images + (first_row + r) * b.image_y + k * b.image_c;
        for (int64_t x = 0; x < b.w; ++x) {
          for (int32_t c = 0; c < step; ++c) {
            memcpy(to + x * b.image_x + c * b.image_c, row[k][r] + x * step + c, sizeof(Out));
          }
        }
      }
    }
  }

  template <class Out>
  void add_noise(int32_t number, Out* (*row)[kBandRows]) const {
    const NoiseRows noise{b, p, number, rows, step, scratch.roi, scratch.roi_any};
    Noises::visit(p.noise, [&](auto kind) { noise.add<decltype(kind)>(row); });
  }

  template <class Out>
  Out* image_row(int32_t plane, int32_t r) {
    constexpr int64_t bytes = sizeof(Out);
    char* place = images + (first_row + r) * b.image_y + plane * b.image_c;
    const bool direct = r < rows && b.image_x == step * bytes &&
                        (step == 1 || b.image_c == bytes) && aligned(place, bytes);
    return reinterpret_cast<Out*>(direct ? place : scratch.image_row[plane][r]);
  }

  // The window's four rows, resized into the thumbnail's place in `row`.
  template <class In, class Out>
  void resize(int32_t plane, Out** row) {
    const Rectangle& t = p.thumbnail;
    const int64_t width = static_cast<int64_t>(t.width) * step;
    if (copied) {
      for (int32_t r = 0; r < rows; ++r) {
        if (!used[r]) continue;
        memcpy(static_cast<void*>(row[r] + t.x * step), source_row<In>(plane, thumbnail_row[r], r),
               static_cast<size_t>(width) * sizeof(Out));
      }
      return;
    }
#ifdef SASAUG_PICKS
    if constexpr (Pixel<In>::integer) {
      if (picked) return resize_picked<In>(plane, row);
    }
#endif
    vertical<In>(plane);
    if (antialias_x) {
      horizontal_triangle();
    } else {
      lerp_columns<In>(scratch.columns, scratch.first, scratch.weight4, step, width,
                       scratch.resized);
    }
    store_values<In>(reinterpret_cast<const float*>(scratch.resized), width * kBandRows,
                     reinterpret_cast<Out*>(scratch.small));
    separate_used(reinterpret_cast<const Column<Out>*>(scratch.small), width, t.x * step, row);
  }

#ifdef SASAUG_PICKS
  template <class In, class Out>
  void resize_picked(int32_t plane, Out** row) {
    const Rectangle& t = p.thumbnail;
    const int64_t width = static_cast<int64_t>(t.width) * step;
    for (int32_t r = 0; r < rows; ++r) {
      if (!used[r]) continue;
      const Bilinear at = bilinear(thumbnail_row[r], p.window.height, t.height);
      const In* upper = source_row<In>(plane, at.first, 0);
      const In* lower = source_row<In>(plane, at.second, 1);
      lerp_picked_row(upper, lower, at.weight, scratch.picks, width,
                      reinterpret_cast<float*>(scratch.resized), row[r] + t.x * step);
    }
  }
#endif

  // The window's rows, resized to the band's four, as columns.
  template <class In>
  void vertical(int32_t plane) {
    const int64_t width = static_cast<int64_t>(p.window.width) * step;
    auto* columns = reinterpret_cast<Column<float>*>(scratch.columns);
    if (antialias_y) {
      float* const* to = scratch.float_row;
      for (int32_t r = 0; r < kBandRows; ++r) vertical_triangle<In>(plane, r);
      interleave(to[0], to[1], to[2], to[3], width, columns);
      return;
    }
    const In *upper[kBandRows], *lower[kBandRows];
    float weight[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) {
      const Bilinear at = bilinear(thumbnail_row[r], p.window.height, p.thumbnail.height);
      upper[r] = source_row<In>(plane, at.first, 2 * r);
      lower[r] = source_row<In>(plane, at.second, 2 * r + 1);
      weight[r] = at.weight;
    }
    if constexpr (Pixel<In>::integer || sizeof(In) == sizeof(float)) {
      lerp_rows(upper, lower, weight, width, columns);
    } else {
      const float *above[kBandRows], *below[kBandRows];
      for (int32_t r = 0; r < kBandRows; ++r) {
        above[r] = float_row(upper[r], 2 * r);
        below[r] = float_row(lower[r], 2 * r + 1);
      }
      lerp_rows(above, below, weight, width, columns);
    }
  }

  template <class In>
  void vertical_triangle(int32_t plane, int32_t r) {
    const int64_t n_src = p.window.height, n_dst = p.thumbnail.height, y = thumbnail_row[r];
    const int64_t width = static_cast<int64_t>(p.window.width) * step;
    const Triangle at = triangle(y, n_src, n_dst);
    const float sum = triangle_sum(y, at, n_src, n_dst);
    float* __restrict to = scratch.float_row[r];
    for (int64_t x = 0; x < width; ++x) to[x] = 0.0f;
    for (int64_t j = at.first; j < at.first + at.count; ++j) {
      const float weight = static_cast<float>(triangle_weight(y, j, n_src, n_dst)) / sum;
      const In* __restrict row = source_row<In>(plane, j, 0);
      for (int64_t x = 0; x < width; ++x) to[x] = to[x] + weight * Pixel<In>::load(row[x]);
    }
  }

  void horizontal_triangle() {
    for (int32_t x = 0; x < p.thumbnail.width; ++x) {
      const float* weight = scratch.weight + x * most_taps;
      for (int32_t k = 0; k < step; ++k) {
        const Four* from = scratch.columns + scratch.first[x] * step + k;
        Four sum{};
        for (int64_t tap = 0; tap < scratch.taps[x]; ++tap) {
          sum = sum + from[tap * step] * four(weight[tap]);
        }
        scratch.resized[x * step + k] = sum;
      }
    }
  }

  // ---- rows -------------------------------------------------------------------------------

  // A row of the window as an aligned, contiguous array: in place where it is one already.
  template <class In>
  const In* source_row(int32_t plane, int64_t y, int slot) {
    const char* from = window_image + y * source.image_y + plane * source.image_c;
    return contiguous<In>(from, source.image_x, source.image_c, step, slot);
  }

  // Shorter floats take some arithmetic to load: the compiler's vectors do that for whole rows.
  template <class In>
  const float* float_row(const In* __restrict row, int slot) {
    float* __restrict to = scratch.float_row[slot];
    const int64_t width = static_cast<int64_t>(p.window.width) * step;
    for (int64_t x = 0; x < width; ++x) to[x] = Pixel<In>::load(row[x]);
    return to;
  }

  template <class T>
  const T* contiguous(const char* from, int64_t stride_x, int64_t stride_k, int32_t per_pixel,
                      int slot) {
    if (stride_x == per_pixel * static_cast<int64_t>(sizeof(T)) && aligned(from, sizeof(T))) {
      return reinterpret_cast<const T*>(from);
    }
    T* row = reinterpret_cast<T*>(scratch.source_row[slot]);
    for (int64_t x = 0; x < p.window.width; ++x) {
      for (int32_t k = 0; k < per_pixel; ++k) {
        row[x * per_pixel + k] = load_unaligned<T>(from + x * stride_x + k * stride_k);
      }
    }
    return row;
  }

  // Rows of the band that are not the thumbnail's go to spare ones.
  template <class T>
  void separate_used(const Column<T>* from, int64_t width, int64_t offset, T** row) {
    T* to[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) {
      to[r] = used[r] ? row[r] + offset : reinterpret_cast<T*>(scratch.spare_row[r]);
    }
    separate(from, width, to[0], to[1], to[2], to[3]);
  }

  // Black wherever the thumbnail will not be; what it covers may be cleared too, it is in the
  // cache.
  template <class T>
  void clear(T** row, int64_t per_pixel) const {
    if (covered && inside) return;
    const int64_t width = b.w * per_pixel;
    bool neighbours = true;
    for (int32_t r = 1; r < rows; ++r) neighbours = neighbours && row[r] == row[r - 1] + width;
    const int32_t pieces = neighbours ? 1 : rows;
    const int64_t values = neighbours ? rows * width : width;
    for (int32_t r = 0; r < pieces; ++r) {
      memset(static_cast<void*>(row[r]), 0, static_cast<size_t>(values) * sizeof(T));
    }
  }

  const Batch& b;
  const Sample& p;
  Source source;
  Arena arena;
  Scratch scratch;
  int32_t step, planes;
  char *images, *masks;
  const char *window_image, *window_mask;
  bool copied, covered, antialias_x, antialias_y;
  int64_t most_taps = 0;
  bool labels_picked = false;
  bool picked = false;  // whether scratch.picks say where results read the window's rows

  // the band at hand
  int32_t first_row = 0, rows = 0;
  int32_t thumbnail_row[kBandRows];
  bool used[kBandRows];     // whether the row crosses the thumbnail
  bool inside = false;      // whether any does
  bool noisy_band = false;  // whether noise is due: then scratch.roi says where
};

int64_t roi_area(const Source& source, int32_t mask_bytes, int32_t label_count,
                 const uint64_t* labels, int64_t enough) {
  int64_t area = 0;
  const int64_t width = source.w;
  with_label(mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    for (int64_t y = 0; y < source.h && area <= enough; ++y) {
      const char* row = source.mask + y * source.mask_y;
      if (source.mask_x == sizeof(Label) && aligned(row, sizeof(Label))) {
        area += roi_count(reinterpret_cast<const Label*>(row), width, label_count, labels);
        continue;
      }
      for (int64_t x = 0; x < width; ++x) {
        const Label label = load_unaligned<Label>(row + x * source.mask_x);
        area += in_roi<Label>(label, label_count, labels) ? 1 : 0;
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
  return arena.used();
}

void rows(const Batch& b, int64_t s, int32_t first_band, int32_t last_band, char* scratch) {
  SampleRows(b, s, scratch).bands(first_band, last_band);
}

}  // namespace

extern const CpuLoops kLoops = {roi_area, scratch_bytes, rows};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
