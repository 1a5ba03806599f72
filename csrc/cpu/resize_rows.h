// One job: resize a sample's window into rows of its canvas, on the CPU.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/scratch.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

template <class T>
inline T load_unaligned(const char* address) {
  T value;
  memcpy(&value, address, sizeof value);
  return value;
}

inline bool aligned(const char* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

// Four neighbouring canvas rows, and the rows of the thumbnail that they show.
struct Band {
  int32_t number, first_row, rows;
  int32_t thumbnail_row[kBandRows];
  bool used[kBandRows];  // whether the row crosses the thumbnail
  bool inside;           // whether any does
};

inline Band band_of(const Batch& b, const Rectangle& thumbnail, int32_t number) {
  Band band{};
  band.number = number;
  band.first_row = number * kBandRows;
  band.rows = b.h - band.first_row < kBandRows ? b.h - band.first_row : kBandRows;
  const int32_t above = thumbnail.y, below = above + thumbnail.height;
  for (int32_t r = 0; r < kBandRows; ++r) {
    // rows outside the thumbnail repeat one inside: resized with it, then not used
    const int32_t row = band.first_row + r;
    const int32_t y = row < below ? row - above : thumbnail.height - 1;
    band.thumbnail_row[r] = y > 0 ? y : 0;
    band.used[r] = r < band.rows && thumbnail.width > 0 && row >= above && row < below;
    band.inside |= band.used[r];
  }
  return band;
}

// The type that rows of a pixel type are resized in: shorter floats as floats.
template <class T>
using Loaded = typename std::conditional<Pixel<T>::integer, T, float>::type;

class ResizeRows {
 public:
  // `step`: values per pixel of a row, its channels where they are interleaved.
  ResizeRows(const Batch& batch, const Sample& sample, const Source& given_source,
             int32_t given_step, Scratch& given_scratch)
      : b(batch), p(sample), source(given_source), step(given_step), scratch(given_scratch) {
    window_image = source.image + p.window.y * source.image_y + p.window.x * source.image_x;
    window_mask = source.mask + p.window.y * source.mask_y + p.window.x * source.mask_x;
    copied = b.in_type == b.out_type && p.window.width == p.thumbnail.width &&
             p.window.height == p.thumbnail.height;
    antialias_x = shrinks_antialiased(b.antialias, p.window.width, p.thumbnail.width);
    antialias_y = shrinks_antialiased(b.antialias, p.window.height, p.thumbnail.height);
    integers = in_integers(b, p.window, p.thumbnail);
  }

  // Whether the window's pixels are only copied.
  bool unchanged() const { return copied; }
  const char* image_row(int64_t plane, int64_t y) const {
    return window_image + plane * source.image_c + y * source.image_y;
  }
  const char* mask_row(int64_t y) const { return window_mask + y * source.mask_y; }

  // For these rows of the thumbnail; must come before anything below.
  void fill_tables(int32_t first_row, int32_t last_row) {
    const Rectangle &t = p.thumbnail, &w = p.window;
    if (t.width == 0 || t.height == 0) return;
    Axis down(w.height, t.height, first_row);
    for (int32_t y = first_row; y < last_row; ++y, down.step()) {
      const Bilinear at = down.bilinear();
      scratch.rows[y] = {down.nearest_exact(), at, down.fixed_weight(at)};
    }
    if (copied) return;
    Axis along(w.width, t.width, 0);
    for (int32_t x = 0; x < t.width; ++x, along.step()) {
      scratch.mask_x[x] = static_cast<int32_t>(along.nearest_exact());
      scratch.across[x] = along.bilinear();
    }
#ifdef SASAUG_SHUFFLES
    labels_picked = b.mask_bytes == 1 && w.width != t.width &&
                    plan_labels(scratch.mask_x, t.width, w.width, scratch.label_picks);
#endif
    [[maybe_unused]] const int64_t width = int64_t{t.width} * step;
    [[maybe_unused]] const int64_t window_width = int64_t{w.width} * step;
    if (integers) {
      for (int32_t x = 0; x < t.width; ++x) {
        const Bilinear at = scratch.across[x];
        const int16_t weight = static_cast<int16_t>(along.fixed_weight(at));
        for (int32_t k = 0; k < step; ++k) {
          scratch.first[x * step + k] = at.first * step + k;
          scratch.fixed_weight[x * step + k] = weight;
        }
      }
#ifdef SASAUG_SHUFFLES
      pieces = plan_byte_row(scratch.first, scratch.fixed_weight, step, width, window_width,
                             scratch.byte_picks);
#endif
      return;
    }
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
      const Bilinear at = scratch.across[x];
      for (int32_t k = 0; k < step; ++k) {
        scratch.first[x * step + k] = at.first * step + k;
        scratch.weight4[x * step + k] = four(bilinear_weight(at, t.width));
      }
    }
#ifdef SASAUG_SHUFFLES
    with_pixel(b.in_type, [&](auto tag) {
      picked =
          !antialias_y && plan_picks<Loaded<decltype(tag)>>(scratch.first, scratch.weight4, step,
                                                            width, window_width, scratch.picks);
    });
#endif
  }

  // Picks the thumbnail's labels; returns whether any of them is not background.
  template <class Label>
  bool pick_labels(const Band& band, Label** row) {
    const Rectangle& t = p.thumbnail;
    const Label* from[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) {
      from[r] = contiguous<Label>(mask_row(scratch.rows[band.thumbnail_row[r]].label),
                                  source.mask_x, 0, 1, r);
    }
    const bool empty = blank(from, p.window.width);
    if (empty || t.width == p.window.width) {
      const bool cleared = t.height != b.h || t.width != b.w;
      const size_t bytes = static_cast<size_t>(t.width) * sizeof(Label);
      for (int32_t r = 0; r < kBandRows; ++r) {
        if (!b.masks) {
          row[r] = const_cast<Label*>(from[r]) - t.x;  // where the noise reads them
        } else if (band.used[r] && !empty) {
          memcpy(row[r] + t.x, from[r], bytes);
        } else if (band.used[r] && !cleared) {
          memset(row[r] + t.x, 0, bytes);
        }
      }
      return !empty;
    }
#ifdef SASAUG_SHUFFLES
    if constexpr (sizeof(Label) == 1) {
      if (labels_picked) {
        for (int32_t r = 0; r < band.rows; ++r) {
          if (band.used[r]) pick_labels_row(from[r], scratch.label_picks, t.width, row[r] + t.x);
        }
        return true;
      }
    }
#endif
    auto* columns = reinterpret_cast<Column<Label>*>(scratch.mask_columns);
    auto* small = reinterpret_cast<Column<Label>*>(scratch.mask_small);
    interleave(from[0], from[1], from[2], from[3], p.window.width, columns);
    pick_columns(columns, scratch.mask_x, t.width, small);
    separate_used(band, small, t.width, t.x, row);
    return true;
  }

  // The window's rows, resized into the thumbnail's place in `row`.
  template <class In, class Out>
  void resize(const Band& band, int32_t plane, Out** row) {
    const Rectangle& t = p.thumbnail;
    const int64_t width = static_cast<int64_t>(t.width) * step;
    if (copied) {
      for (int32_t r = 0; r < band.rows; ++r) {
        if (!band.used[r]) continue;
        memcpy(static_cast<void*>(row[r] + t.x * step),
               source_row<In>(plane, band.thumbnail_row[r], r),
               static_cast<size_t>(width) * sizeof(Out));
      }
      return;
    }
    if constexpr (sizeof(In) == 1 && sizeof(Out) == 1) {
      if (integers) return resize_bytes(band, plane, row);
    }
#ifdef SASAUG_SHUFFLES
    if (picked) return resize_picked<In>(band, plane, row);
#endif
    vertical<In>(band, plane);
    if (antialias_x) {
      horizontal_triangle();
    } else {
      lerp_columns<In>(scratch.columns, scratch.first, scratch.weight4, step, width,
                       scratch.resized);
    }
    store_values<In>(reinterpret_cast<const float*>(scratch.resized), width * kBandRows, b,
                     reinterpret_cast<Out*>(scratch.small));
    separate_used(band, reinterpret_cast<const Column<Out>*>(scratch.small), width, t.x * step,
                  row);
  }

 private:
#ifdef SASAUG_SHUFFLES
  template <class In, class Out>
  void resize_picked(const Band& band, int32_t plane, Out** row) {
    const Rectangle& t = p.thumbnail;
    const int64_t width = static_cast<int64_t>(t.width) * step;
    for (int32_t r = 0; r < band.rows; ++r) {
      if (!band.used[r]) continue;
      const Bilinear at = scratch.rows[band.thumbnail_row[r]].image;
      lerp_picked_row<In>(loaded_row<In>(plane, at.first, 0), loaded_row<In>(plane, at.second, 1),
                          bilinear_weight(at, t.height), scratch.picks, width, b,
                          reinterpret_cast<float*>(scratch.resized), row[r] + t.x * step);
    }
  }
#endif

  void resize_bytes(const Band& band, int32_t plane, uint8_t** row) {
    const Rectangle& t = p.thumbnail;
    const int64_t width = static_cast<int64_t>(t.width) * step;
    const uint8_t *upper[kBandRows], *lower[kBandRows];
    int16_t weight[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) {
      const RowPlace& at = scratch.rows[band.thumbnail_row[r]];
      upper[r] = source_row<uint8_t>(plane, at.image.first, 2 * r);
      lower[r] = source_row<uint8_t>(plane, at.image.second, 2 * r + 1);
      weight[r] = static_cast<int16_t>(at.weight);
    }
#ifdef SASAUG_SHUFFLES
    if (pieces > 0) {
      for (int32_t r = 0; r < band.rows; ++r) {
        if (!band.used[r]) continue;
        lerp_byte_row(pieces, upper[r], lower[r], weight[r], scratch.byte_picks, width,
                      row[r] + t.x * step);
      }
      return;
    }
#endif
    const int64_t window_width = static_cast<int64_t>(p.window.width) * step;
    interleave(upper[0], upper[1], upper[2], upper[3], window_width, scratch.above);
    interleave(lower[0], lower[1], lower[2], lower[3], window_width, scratch.below);
    auto* small = reinterpret_cast<Column<uint8_t>*>(scratch.small);
    lerp_byte_columns(scratch.above, scratch.below, scratch.first, scratch.fixed_weight, step,
                      weight, width, small);
    separate_used(band, small, width, t.x * step, row);
  }

  // The window's rows, resized to the band's four, as columns.
  template <class In>
  void vertical(const Band& band, int32_t plane) {
    const int64_t width = static_cast<int64_t>(p.window.width) * step;
    auto* columns = reinterpret_cast<Column<float>*>(scratch.columns);
    if (antialias_y) {
      float* const* to = scratch.float_row;
      for (int32_t r = 0; r < kBandRows; ++r)
        vertical_triangle<In>(plane, r, band.thumbnail_row[r]);
      interleave(to[0], to[1], to[2], to[3], width, columns);
      return;
    }
    const Loaded<In>*upper[kBandRows], *lower[kBandRows];
    float weight[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) {
      const Bilinear at = scratch.rows[band.thumbnail_row[r]].image;
      upper[r] = loaded_row<In>(plane, at.first, 2 * r);
      lower[r] = loaded_row<In>(plane, at.second, 2 * r + 1);
      weight[r] = bilinear_weight(at, p.thumbnail.height);
    }
    lerp_rows(upper, lower, weight, width, columns);
  }

  template <class In>
  void vertical_triangle(int32_t plane, int32_t r, int64_t y) {
    const int64_t n_src = p.window.height, n_dst = p.thumbnail.height;
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

  // A row of the window as an aligned, contiguous array: in place where it is one already.
  template <class In>
  const In* source_row(int32_t plane, int64_t y, int slot) {
    const char* from = image_row(plane, y);
    return contiguous<In>(from, source.image_x, source.image_c, step, slot);
  }

  // Shorter floats take some arithmetic to load: the compiler's vectors do that for whole rows.
  template <class In>
  const Loaded<In>* loaded_row(int32_t plane, int64_t y, int slot) {
    const In* __restrict row = source_row<In>(plane, y, slot);
    if constexpr (std::is_same<In, Loaded<In>>::value) {
      return row;
    } else {
      float* __restrict to = scratch.float_row[slot];
      const int64_t width = static_cast<int64_t>(p.window.width) * step;
      for (int64_t x = 0; x < width; ++x) to[x] = Pixel<In>::load(row[x]);
      return to;
    }
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

  // Rows of the band outside the thumbnail go to spare memory.
  template <class T>
  void separate_used(const Band& band, const Column<T>* from, int64_t width, int64_t offset,
                     T** row) {
    T* to[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) {
      to[r] = band.used[r] ? row[r] + offset : reinterpret_cast<T*>(scratch.spare_row[r]);
    }
    separate(from, width, to[0], to[1], to[2], to[3]);
  }

  const Batch& b;
  const Sample& p;
  const Source& source;
  const int32_t step;
  Scratch& scratch;
  const char *window_image, *window_mask;
  bool copied, antialias_x, antialias_y, integers;
  int64_t most_taps = 0;
  // whether scratch.label_picks and scratch.picks say where results read the window's rows
  [[maybe_unused]] bool labels_picked = false, picked = false;
  [[maybe_unused]] int32_t pieces = 0;  // of each half of scratch.byte_picks; 0: not filled
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
