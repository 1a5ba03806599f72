// One job: the whole operation for rows of a sample, on the CPU.
//
// Compiled once per instruction set (SASAUG_VARIANT names it). Loops only: what a pixel becomes is
// in the headers. No standard containers here: their functions would be shared between the copies.
// SPDX-License-Identifier: Apache-2.0
#include "sas_cpu.h"

#include <cstring>

#include "lanes.h"

namespace sasaug {
namespace SASAUG_VARIANT {
namespace {

constexpr int kLanes = 32;  // columns whose noise is drawn together

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Hands out aligned pieces of one block of memory; without a block it only measures.
class Arena {
 public:
  explicit Arena(char* base) : base_(base) {}

  template <class T>
  T* take(int64_t count) {
    char* piece = base_ ? base_ + used_ : nullptr;
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) & ~size_t{63};
    return reinterpret_cast<T*>(piece);
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

inline int64_t pixel_bytes(PixelType type) {
  return type == PixelType::uint8 ? 1 : (type == PixelType::float32 ? 4 : 2);
}

// Calls f with a value of the pixel type's C++ type.
template <class F>
inline void with_pixel(PixelType type, F&& f) {
  switch (type) {
    case PixelType::uint8:
      return f(uint8_t{});
    case PixelType::uint16:
      return f(uint16_t{});
    case PixelType::float16:
      return f(Half{});
    case PixelType::float32:
      return f(float{});
  }
}

template <class F>
inline void with_label(int32_t bytes, F&& f) {
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

template <class T>
inline T load_unaligned(const char* address) {
  T value;
  memcpy(&value, address, sizeof value);
  return value;
}

inline bool aligned(const char* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

// ---- loops over rows -------------------------------------------------------------------------
//
// The four rows of a band are kept interleaved while they are resized, [column][row]: so the four
// values of a source column are neighbours, and picking columns needs no gather.

template <class T>
struct Column {
  T row[kBandRows];
};

template <class T>
void interleave(const T* __restrict r0, const T* __restrict r1, const T* __restrict r2,
                const T* __restrict r3, int64_t width, Column<T>* __restrict to) {
  for (int64_t x = 0; x < width; ++x) to[x] = Column<T>{{r0[x], r1[x], r2[x], r3[x]}};
}

template <class T>
void separate(const Column<T>* __restrict from, int64_t width, T* __restrict r0, T* __restrict r1,
              T* __restrict r2, T* __restrict r3) {
  for (int64_t x = 0; x < width; ++x) {
    r0[x] = from[x].row[0];
    r1[x] = from[x].row[1];
    r2[x] = from[x].row[2];
    r3[x] = from[x].row[3];
  }
}

template <class In>
void lerp_rows(const In* __restrict upper, const In* __restrict lower, float weight, int64_t width,
               float* __restrict to) {
  if (weight > 0.0f) {
    for (int64_t x = 0; x < width; ++x) {
      const float a = Pixel<In>::load(upper[x]), b = Pixel<In>::load(lower[x]);
      to[x] = lerp(a, b, weight);
    }
  } else {
    for (int64_t x = 0; x < width; ++x) to[x] = Pixel<In>::load(upper[x]);
  }
}

inline void lerp_columns(const Four* __restrict from, const int32_t* __restrict first,
                         const int32_t* __restrict second, const float* __restrict weight,
                         int64_t width, Four* __restrict to) {
  for (int64_t x = 0; x < width; ++x) {
    const Four a = from[first[x]];
    to[x] = weight[x] > 0.0f ? lerp(a, from[second[x]], weight[x]) : a;
  }
}

template <class In, class Out>
void store_values(const float* __restrict from, int64_t count, Out* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = Pixel<Out>::store(rescale<In, Out>(from[i]));
}

template <class Label>
void pick_columns(const Column<Label>* __restrict from, const int32_t* __restrict column,
                  int64_t width, Column<Label>* __restrict to) {
  for (int64_t x = 0; x < width; ++x) to[x] = from[column[x]];
}

// roi[x] = 1 where the label is one of the ROI's, else 0; label after label, for the vectors.
template <class Label>
void roi_row(const Label* __restrict row, int64_t width, int32_t label_count,
             const uint64_t* labels, uint8_t* __restrict roi) {
  for (int64_t x = 0; x < width; ++x) roi[x] = label_count == 0 && row[x] != 0 ? 1 : 0;
  for (int32_t k = 0; k < label_count; ++k) {
    const Label label = static_cast<Label>(labels[k]);
    for (int64_t x = 0; x < width; ++x) roi[x] |= row[x] == label ? 1 : 0;
  }
}

// Memory for the rows of one sample.
struct Scratch {
  char* source_row[2 * kBandRows];  // [window width * c] of the input's type, or of the mask's
  float* lerped[kBandRows];         // [window width * c] rows after the vertical step
  Four *columns, *resized;          // [window width * c], [thumbnail width * c] interleaved
  char* small;                      // [thumbnail width * c] columns of the output's type
  int32_t *first, *second;          // [thumbnail width * c] places in `columns`
  float* weight;                    // [thumbnail width * c]; antialias: [thumbnail width, taps]
  char *mask_columns, *mask_small;  // [window width], [thumbnail width] columns of labels
  char* spare_row[kBandRows];       // [thumbnail width * c] of either's type
  int32_t* mask_x;                  // [thumbnail width] nearest-exact: column in the window
  char* image_row[kMaxChannels][kBandRows];  // [canvas width * c] where `images` has other strides
  char* mask_row[kBandRows];                 // [canvas width]
  uint8_t* roi[kBandRows];                   // [canvas width] 0 or 1
  uint8_t* roi_any;  // [canvas width + kLanes] 1 where a row has ROI, then 0

  Scratch(const Batch& b, const Sample& p, Arena& arena) {
    const int64_t source_w = p.window.width, thumbnail_w = p.thumbnail.width;
    const bool antialias_x = shrinks_antialiased(b.antialias, p.window.width, p.thumbnail.width);
    const int64_t in = pixel_bytes(b.in), out = pixel_bytes(b.out), label = b.mask_bytes;
    const int64_t row_bytes = source_w * (b.c * in > label ? b.c * in : label);
    for (char*& row : source_row) row = arena.take<char>(row_bytes);
    for (float*& row : lerped) row = arena.take<float>(source_w * b.c);
    columns = arena.take<Four>(source_w * b.c);
    resized = arena.take<Four>(thumbnail_w * b.c);
    small = arena.take<char>(thumbnail_w * b.c * out * kBandRows);
    first = arena.take<int32_t>(thumbnail_w * b.c);
    second = arena.take<int32_t>(thumbnail_w * b.c);
    const int64_t weights = antialias_x ? most_taps(source_w, thumbnail_w) : b.c;
    weight = arena.take<float>(thumbnail_w * weights);
    mask_columns = arena.take<char>(source_w * label * kBandRows);
    mask_small = arena.take<char>(thumbnail_w * label * kBandRows);
    const int64_t spare_bytes = thumbnail_w * (b.c * out > label ? b.c * out : label);
    for (char*& row : spare_row) row = arena.take<char>(spare_bytes);
    mask_x = arena.take<int32_t>(thumbnail_w);
    for (auto& plane : image_row) {
      for (char*& row : plane) row = arena.take<char>(int64_t{b.w} * b.c * out);
    }
    for (char*& row : mask_row) row = arena.take<char>(int64_t{b.w} * label);
    for (uint8_t*& row : roi) row = arena.take<uint8_t>(b.w);
    roi_any = arena.take<uint8_t>(b.w + kLanes);
  }

  static int64_t most_taps(int64_t n_src, int64_t n_dst) { return 2 * n_src / n_dst + 3; }
};

// One sample, row by row. Where image and canvas both interleave their channels a row holds all of
// them (`step` values per pixel, one plane), elsewhere each channel is a plane of its own.
class SampleRows {
 public:
  SampleRows(const Batch& batch, int64_t s, char* memory)
      : b(batch),
        p(batch.plan[s]),
        source(source_of(batch, s)),
        arena(memory),
        scratch(batch, p, arena) {
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
    antialias_x = shrinks_antialiased(b.antialias, p.window.width, p.thumbnail.width);
    antialias_y = shrinks_antialiased(b.antialias, p.window.height, p.thumbnail.height);
    fill_tables();
  }

  void band(int32_t number) {
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

 private:
  void fill_tables() {
    const Rectangle &t = p.thumbnail, &w = p.window;
    for (int32_t x = 0; x < t.width; ++x) {
      scratch.mask_x[x] = static_cast<int32_t>(nearest_exact(x, w.width, t.width));
    }
    if (copied) return;
    if (antialias_x) {
      taps = Scratch::most_taps(w.width, t.width);
      for (int32_t x = 0; x < t.width; ++x) {
        const Triangle at = triangle(x, w.width, t.width);
        const float sum = triangle_sum(x, at, w.width, t.width);
        scratch.first[x] = static_cast<int32_t>(at.first);
        scratch.second[x] = static_cast<int32_t>(at.count);
        for (int64_t k = 0; k < at.count; ++k) {
          const int64_t weight = triangle_weight(x, at.first + k, w.width, t.width);
          scratch.weight[x * taps + k] = static_cast<float>(weight) / sum;
        }
      }
      return;
    }
    for (int32_t x = 0; x < t.width; ++x) {
      const Bilinear at = bilinear(x, w.width, t.width);
      for (int32_t k = 0; k < step; ++k) {
        scratch.first[x * step + k] = static_cast<int32_t>(at.first) * step + k;
        scratch.second[x * step + k] = static_cast<int32_t>(at.second) * step + k;
        scratch.weight[x * step + k] = at.weight;
      }
    }
  }

  // ---- mask -------------------------------------------------------------------------------

  template <class Label>
  void mask_band() {
    Label* row[kBandRows];
    for (int32_t r = 0; r < kBandRows; ++r) row[r] = mask_row<Label>(r);
    if (inside) {
      const Rectangle& t = p.thumbnail;
      const Label* from[kBandRows];
      for (int32_t r = 0; r < kBandRows; ++r) {
        const int64_t y = nearest_exact(thumbnail_row[r], p.window.height, t.height);
        from[r] = contiguous<Label>(window_mask + y * source.mask_y, source.mask_x, 0, 1, r);
      }
      if (t.width == p.window.width) {
        for (int32_t r = 0; r < rows; ++r) {
          if (used[r]) memcpy(row[r] + t.x, from[r], static_cast<size_t>(t.width) * sizeof(Label));
        }
      } else {
        auto* columns = reinterpret_cast<Column<Label>*>(scratch.mask_columns);
        auto* small = reinterpret_cast<Column<Label>*>(scratch.mask_small);
        interleave(from[0], from[1], from[2], from[3], p.window.width, columns);
        pick_columns(columns, scratch.mask_x, t.width, small);
        separate_used(small, t.width, t.x, row);
      }
    }
    for (int32_t r = 0; r < rows; ++r) {
      clear_outside(row[r], r, 1);
      if (p.noise >= 0) roi_row<Label>(row[r], b.w, b.label_count, b.labels, scratch.roi[r]);
      if (masks && reinterpret_cast<char*>(row[r]) == scratch.mask_row[r]) {
        char* to = masks + (first_row + r) * b.mask_y;
        for (int64_t x = 0; x < b.w; ++x) memcpy(to + x * b.mask_x, row[r] + x, sizeof(Label));
      }
    }
  }

  // Where the band's mask row r is made: in place where that is an aligned, contiguous row.
  template <class Label>
  Label* mask_row(int32_t r) {
    char* place = masks + (first_row + r) * b.mask_y;
    const bool direct =
        masks && r < rows && b.mask_x == sizeof(Label) && aligned(place, sizeof(Label));
    return reinterpret_cast<Label*>(direct ? place : scratch.mask_row[r]);
  }

  // ---- image ------------------------------------------------------------------------------

  template <class Out>
  void image_band(int32_t number) {
    Out* row[kMaxChannels][kBandRows];
    for (int32_t k = 0; k < planes; ++k) {
      for (int32_t r = 0; r < kBandRows; ++r) row[k][r] = image_row<Out>(k, r);
      if (inside) {
        with_pixel(b.in, [&](auto tag) { resize<decltype(tag), Out>(k, row[k]); });
      }
      for (int32_t r = 0; r < rows; ++r) clear_outside(row[k][r], r, step);
    }
    Noises::visit(p.noise, [&](auto kind) { noise_band<decltype(kind), Out>(number, row); });
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
    for (int32_t r = 0; r < kBandRows; ++r) {
      if (antialias_y) {
        vertical_triangle<In>(plane, r);
      } else {
        const Bilinear at = bilinear(thumbnail_row[r], p.window.height, t.height);
        lerp_rows(source_row<In>(plane, at.first, 2 * r),
                  source_row<In>(plane, at.second, 2 * r + 1), at.weight,
                  static_cast<int64_t>(p.window.width) * step, scratch.lerped[r]);
      }
    }
    float** lerped = scratch.lerped;
    interleave(lerped[0], lerped[1], lerped[2], lerped[3],
               static_cast<int64_t>(p.window.width) * step,
               reinterpret_cast<Column<float>*>(scratch.columns));
    if (antialias_x) {
      horizontal_triangle();
    } else {
      lerp_columns(scratch.columns, scratch.first, scratch.second, scratch.weight, width,
                   scratch.resized);
    }
    store_values<In>(reinterpret_cast<const float*>(scratch.resized), width * kBandRows,
                     reinterpret_cast<Out*>(scratch.small));
    separate_used(reinterpret_cast<const Column<Out>*>(scratch.small), width, t.x * step, row);
  }

  template <class In>
  void vertical_triangle(int32_t plane, int32_t r) {
    const int64_t n_src = p.window.height, n_dst = p.thumbnail.height, y = thumbnail_row[r];
    const int64_t width = static_cast<int64_t>(p.window.width) * step;
    const Triangle at = triangle(y, n_src, n_dst);
    const float sum = triangle_sum(y, at, n_src, n_dst);
    float* __restrict to = scratch.lerped[r];
    for (int64_t x = 0; x < width; ++x) to[x] = 0.0f;
    for (int64_t j = at.first; j < at.first + at.count; ++j) {
      const float weight = static_cast<float>(triangle_weight(y, j, n_src, n_dst)) / sum;
      const In* __restrict row = source_row<In>(plane, j, 0);
      for (int64_t x = 0; x < width; ++x) to[x] = to[x] + weight * Pixel<In>::load(row[x]);
    }
  }

  void horizontal_triangle() {
    for (int32_t x = 0; x < p.thumbnail.width; ++x) {
      const float* weight = scratch.weight + x * taps;
      for (int32_t k = 0; k < step; ++k) {
        const Four* from = scratch.columns + scratch.first[x] * int64_t{step} + k;
        Four sum{};
        for (int64_t tap = 0; tap < scratch.second[x]; ++tap) {
          sum = sum + from[tap * step] * weight[tap];
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

  // Black outside the thumbnail; a row without any of it is black from end to end.
  template <class T>
  void clear_outside(T* row, int32_t r, int64_t per_pixel) {
    const int64_t end = b.w * per_pixel;
    const int64_t left = used[r] ? p.thumbnail.x * per_pixel : end;
    const int64_t right = used[r] ? left + p.thumbnail.width * per_pixel : end;
    memset(static_cast<void*>(row), 0, static_cast<size_t>(left) * sizeof(T));
    memset(static_cast<void*>(row + right), 0, static_cast<size_t>(end - right) * sizeof(T));
  }

  // ---- noise ------------------------------------------------------------------------------

  template <class Kind, class T>
  void noise_band(int32_t band, T* (*row)[kBandRows]) {
    const int32_t width = b.w;
    uint8_t* __restrict any = scratch.roi_any;
    memset(any, 0, static_cast<size_t>(width) + kLanes);
    for (int32_t r = 0; r < rows; ++r) {
      const uint8_t* __restrict roi = scratch.roi[r];
      for (int32_t x = 0; x < width; ++x) any[x] |= roi[x];
    }
    const Noise noise{p.strength, b.salt_vs_pepper};
    float n[kBandRows][kLanes];
    uint32_t word[kBandRows][kLanes];
    for (int32_t x = next_roi(any, 0); x < b.w; x = next_roi(any, x + kLanes)) {
      const int32_t count = static_cast<int32_t>(smaller(kLanes, b.w - x));
      for (int32_t channel = 0; channel < b.c; ++channel) {
        if (channel == 0 || b.per_channel) {
          draw<Kind>(noise_block(band, x, b.w), static_cast<uint32_t>(channel), n, word);
        }
        for (int32_t r = 0; r < rows; ++r) {
          T* pixels = row[channel / step][r] + static_cast<int64_t>(x) * step + channel % step;
          blend<Kind>(pixels, scratch.roi[r] + x, count, Random{n[r], word[r]}, noise);
        }
      }
    }
  }

  // The first column from x on that is in the ROI in any row of the band; canvas width: none.
  int32_t next_roi(const uint8_t* any, int32_t x) const {
    for (; x < b.w; x += 8) {
      uint64_t eight;
      memcpy(&eight, any + x, sizeof eight);  // roi_any is longer than the row
      if (eight != 0) break;
    }
    while (x < b.w && any[x] == 0) ++x;
    return x < b.w ? x : b.w;
  }

  template <class Kind>
  void draw(uint32_t block, uint32_t channel, float (*n)[kLanes], uint32_t (*word)[kLanes]) const {
    if (Kind::draws & kNormal) {
      philox_lanes<kLanes>(counter(block, p.id, Purpose::normal, channel), b.seed, word);
      for (int pair = 0; pair < kBandRows; pair += 2) {
        for (int i = 0; i < kLanes; ++i) {
          normal_pair(word[pair][i], word[pair + 1][i], n[pair][i], n[pair + 1][i]);
        }
      }
    }
    if (Kind::draws & kUniform) {
      philox_lanes<kLanes>(counter(block, p.id, Purpose::uniform, channel), b.seed, word);
    }
  }

  template <class Kind, class T>
  void blend(T* pixels, const uint8_t* roi, int32_t count, Random random, Noise noise) const {
    T before[kLanes], after[kLanes];
    if (step == 1 && count == kLanes) {
      for (int i = 0; i < kLanes; ++i) before[i] = pixels[i];
      noisy<Kind, T, kLanes>(before, after, random, noise);
      for (int i = 0; i < kLanes; ++i) pixels[i] = roi[i] ? after[i] : before[i];
      return;
    }
    for (int i = 0; i < kLanes; ++i) before[i] = i < count ? pixels[i * step] : T{};
    noisy<Kind, T, kLanes>(before, after, random, noise);
    for (int i = 0; i < count; ++i) {
      if (roi[i]) pixels[i * step] = after[i];
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
  bool copied, antialias_x, antialias_y;
  int64_t taps = 0;

  // the band at hand
  int32_t first_row = 0, rows = 0;
  int32_t thumbnail_row[kBandRows];
  bool used[kBandRows];  // whether the row crosses the thumbnail
  bool inside = false;   // whether any does
};

int64_t roi_area(const Source& source, int32_t mask_bytes, int32_t label_count,
                 const uint64_t* labels) {
  int64_t area = 0;
  const int64_t width = source.w;
  with_label(mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    for (int64_t y = 0; y < source.h; ++y) {
      const char* row = source.mask + y * source.mask_y;
      if (source.mask_x != sizeof(Label) || !aligned(row, sizeof(Label))) {
        for (int64_t x = 0; x < width; ++x) {
          const Label label = load_unaligned<Label>(row + x * source.mask_x);
          area += in_roi<Label>(label, label_count, labels) ? 1 : 0;
        }
      } else if (label_count == 0) {
        const Label* __restrict label = reinterpret_cast<const Label*>(row);
        for (int64_t x0 = 0; x0 < width; x0 += 192) {  // sums of bytes, for the vectors
          const int64_t x1 = smaller(x0 + 192, width);
          uint8_t count = 0;
          for (int64_t x = x0; x < x1; ++x) count = static_cast<uint8_t>(count + (label[x] != 0));
          area += count;
        }
      } else {
        const Label* label = reinterpret_cast<const Label*>(row);
        for (int64_t x = 0; x < width; ++x) {
          area += in_roi<Label>(label[x], label_count, labels) ? 1 : 0;
        }
      }
    }
  });
  return area;
}

size_t scratch_bytes(const Batch& b) {
  size_t most = 0;
  for (int64_t s = 0; s < b.n; ++s) {
    Arena arena(nullptr);
    const Scratch measured(b, b.plan[s], arena);
    most = arena.used() > most ? arena.used() : most;
  }
  return most;
}

void rows(const Batch& b, int64_t s, int32_t first_band, int32_t last_band, char* scratch) {
  SampleRows sample(b, s, scratch);
  for (int32_t band = first_band; band < last_band; ++band) sample.band(band);
}

}  // namespace

extern const CpuLoops kLoops = {roi_area, scratch_bytes, rows};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
