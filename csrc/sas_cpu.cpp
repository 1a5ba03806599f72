// One job: the whole operation for rows of a sample, on the CPU.
//
// Compiled once per instruction set (SASAUG_VARIANT names it). Loops only: what a pixel becomes is
// in the headers. No standard containers here: their functions would be shared between the copies.
// SPDX-License-Identifier: Apache-2.0
#include "sas_cpu.h"

#include <cstring>

#include "philox_lanes.h"

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
    case PixelType::uint8: return f(uint8_t{});
    case PixelType::uint16: return f(uint16_t{});
    case PixelType::float16: return f(Half{});
    case PixelType::float32: return f(float{});
  }
}

template <class F>
inline void with_label(int32_t bytes, F&& f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
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

// Memory for the rows of one sample.
struct Scratch {
  char* source_row[2];             // [window width * c] of the input's type
  float* column;                   // [window width * c] the row after the vertical step
  int32_t *first, *second;         // [thumbnail width * c] bilinear: places in `column`
  float* weight;                   // [thumbnail width * c]
  float *taps_x, *sum;             // antialias: [taps, thumbnail width], [thumbnail width]
  int32_t* mask_x;                 // [thumbnail width] nearest-exact: column in the window
  char* image_row[kMaxChannels][kBandRows];  // [canvas width * c] where `images` has other strides
  char* mask_row;                            // [canvas width]
  uint8_t* roi[kBandRows];                   // [canvas width] 0 or 1
  uint8_t* roi_any;                          // [canvas width + kLanes] 1 where a row has ROI, then 0

  Scratch(const Batch& b, const Sample& p, Arena& arena) {
    const int64_t source_w = p.window.width, thumbnail_w = p.thumbnail.width;
    const bool antialias_x = shrinks_antialiased(b.antialias, p.window.width, p.thumbnail.width);
    const int64_t in = pixel_bytes(b.in), out = pixel_bytes(b.out);
    for (char*& row : source_row) row = arena.take<char>(source_w * b.c * in);
    column = arena.take<float>(source_w * b.c);
    first = arena.take<int32_t>(thumbnail_w * b.c);
    second = arena.take<int32_t>(thumbnail_w * b.c);
    weight = arena.take<float>(thumbnail_w * b.c);
    taps_x = arena.take<float>(antialias_x ? most_taps(source_w, thumbnail_w) * thumbnail_w : 0);
    sum = arena.take<float>(antialias_x ? thumbnail_w : 0);
    mask_x = arena.take<int32_t>(thumbnail_w);
    for (auto& plane : image_row) {
      for (char*& row : plane) row = arena.take<char>(int64_t{b.w} * b.c * out);
    }
    mask_row = arena.take<char>(int64_t{b.w} * b.mask_bytes);
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
      : b(batch), p(batch.plan[s]), source(source_of(batch, s)), arena(memory), scratch(batch, p, arena) {
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
    const int32_t y0 = number * kBandRows;
    const int32_t rows = static_cast<int32_t>(smaller(kBandRows, b.h - y0));
    for (int32_t r = 0; r < rows; ++r) mask_row(y0 + r, scratch.roi[r]);
    with_pixel(b.out, [&](auto out_tag) {
      using Out = decltype(out_tag);
      Out* row[kMaxChannels][kBandRows];
      for (int32_t k = 0; k < planes; ++k) {
        for (int32_t r = 0; r < rows; ++r) {
          row[k][r] = reinterpret_cast<Out*>(row_address(k, r, y0 + r));
          image_row<Out>(k, y0 + r, row[k][r]);
        }
      }
      Noises::visit(p.noise, [&](auto kind) {
        noise_band<decltype(kind), Out>(number, rows, row);
      });
      for (int32_t k = 0; k < planes; ++k) {
        for (int32_t r = 0; r < rows; ++r) scatter<Out>(k, y0 + r, row[k][r]);
      }
    });
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
        const Triangle triangle_x = triangle(x, w.width, t.width);
        const float sum = triangle_sum(x, triangle_x, w.width, t.width);
        scratch.first[x] = static_cast<int32_t>(triangle_x.first);
        for (int64_t k = 0; k < taps; ++k) {
          scratch.taps_x[k * t.width + x] =
              k < triangle_x.count ? static_cast<float>(triangle_weight(x, triangle_x.first + k,
                                                                        w.width, t.width)) / sum
                                   : 0.0f;
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

  void mask_row(int32_t y, uint8_t* roi) {
    const Rectangle& t = p.thumbnail;
    with_label(b.mask_bytes, [&](auto tag) {
      using Label = decltype(tag);
      const bool direct = masks && b.mask_x == sizeof(Label) &&
                          aligned(masks + y * b.mask_y, sizeof(Label));
      Label* row = reinterpret_cast<Label*>(direct ? masks + y * b.mask_y : scratch.mask_row);
      if (y < t.y || y >= t.y + t.height) {
        memset(row, 0, static_cast<size_t>(b.w) * sizeof(Label));
        memset(roi, 0, static_cast<size_t>(b.w));
      } else {
        const int64_t source_y = nearest_exact(y - t.y, p.window.height, t.height);
        gather_mask<Label>(window_mask + source_y * source.mask_y, row);
        if (p.noise >= 0) {
          for (int32_t x = 0; x < b.w; ++x) {
            roi[x] = in_roi<Label>(row[x], b.label_count, b.labels) ? 1 : 0;
          }
        }
      }
      if (masks && !direct) {
        for (int32_t x = 0; x < b.w; ++x) {
          memcpy(masks + y * b.mask_y + x * b.mask_x, row + x, sizeof(Label));
        }
      }
    });
  }

  template <class Label>
  void gather_mask(const char* from, Label* row) {
    const Rectangle& t = p.thumbnail;
    memset(row, 0, static_cast<size_t>(t.x) * sizeof(Label));
    Label* to = row + t.x;
    const int64_t stride = source.mask_x;
    if (stride == sizeof(Label) && t.width == p.window.width) {
      memcpy(to, from, static_cast<size_t>(t.width) * sizeof(Label));
    } else {
      for (int32_t x = 0; x < t.width; ++x) {
        to[x] = load_unaligned<Label>(from + scratch.mask_x[x] * stride);
      }
    }
    memset(to + t.width, 0, static_cast<size_t>(b.w - t.x - t.width) * sizeof(Label));
  }

  // ---- image ------------------------------------------------------------------------------

  char* row_address(int32_t plane, int32_t r, int32_t y) {
    return direct_row(y) ? images + y * b.image_y + plane * b.image_c
                         : scratch.image_row[plane][r];
  }

  bool direct_row(int32_t y) const {
    const int64_t bytes = pixel_bytes(b.out);
    return b.image_x == step * bytes && (step == 1 || b.image_c == bytes) &&
           aligned(images + y * b.image_y, bytes) && b.image_c % bytes == 0;
  }

  template <class Out>
  void scatter(int32_t plane, int32_t y, const Out* row) {
    if (direct_row(y)) return;
    char* to = images + y * b.image_y + plane * b.image_c;
    for (int32_t x = 0; x < b.w; ++x) {
      for (int32_t k = 0; k < step; ++k) {
        memcpy(to + x * b.image_x + k * b.image_c, row + x * step + k, sizeof(Out));
      }
    }
  }

  template <class Out>
  void image_row(int32_t plane, int32_t y, Out* row) {
    const Rectangle& t = p.thumbnail;
    if (y < t.y || y >= t.y + t.height) {
      memset(static_cast<void*>(row), 0, static_cast<size_t>(b.w) * step * sizeof(Out));
      return;
    }
    memset(static_cast<void*>(row), 0, static_cast<size_t>(t.x) * step * sizeof(Out));
    Out* to = row + t.x * step;
    with_pixel(b.in, [&](auto in_tag) {
      using In = decltype(in_tag);
      if (copied) {
        memcpy(static_cast<void*>(to), source_row<In>(plane, y - t.y, 0),
               static_cast<size_t>(t.width) * step * sizeof(Out));
      } else {
        vertical<In>(plane, y - t.y);
        if (antialias_x) {
          horizontal_antialias<In>(to);
        } else {
          horizontal<In>(to, static_cast<int64_t>(t.width) * step);
        }
      }
    });
    memset(static_cast<void*>(to + t.width * step), 0,
           static_cast<size_t>(b.w - t.x - t.width) * step * sizeof(Out));
  }

  // A row of the window as an aligned, contiguous array: in place where it is one already.
  template <class In>
  const In* source_row(int32_t plane, int64_t y, int slot) {
    const char* from = window_image + y * source.image_y + plane * source.image_c;
    if (source.image_x == step * static_cast<int64_t>(sizeof(In)) && aligned(from, sizeof(In))) {
      return reinterpret_cast<const In*>(from);
    }
    In* row = reinterpret_cast<In*>(scratch.source_row[slot]);
    for (int32_t x = 0; x < p.window.width; ++x) {
      for (int32_t k = 0; k < step; ++k) {
        row[x * step + k] = load_unaligned<In>(from + x * source.image_x + k * source.image_c);
      }
    }
    return row;
  }

  template <class In>
  void vertical(int32_t plane, int32_t y) {
    const int64_t n_src = p.window.height, n_dst = p.thumbnail.height;
    const int64_t width = static_cast<int64_t>(p.window.width) * step;
    float* __restrict column = scratch.column;
    if (antialias_y) {
      const Triangle at = triangle(y, n_src, n_dst);
      const float sum = triangle_sum(y, at, n_src, n_dst);
      for (int64_t x = 0; x < width; ++x) column[x] = 0.0f;
      for (int64_t j = at.first; j < at.first + at.count; ++j) {
        const float weight = static_cast<float>(triangle_weight(y, j, n_src, n_dst)) / sum;
        const In* __restrict row = source_row<In>(plane, j, 0);
        for (int64_t x = 0; x < width; ++x) column[x] = column[x] + weight * Pixel<In>::load(row[x]);
      }
      return;
    }
    const Bilinear at = bilinear(y, n_src, n_dst);
    const In* __restrict upper = source_row<In>(plane, at.first, 0);
    if (!(at.weight > 0.0f)) {
      for (int64_t x = 0; x < width; ++x) column[x] = Pixel<In>::load(upper[x]);
      return;
    }
    const In* __restrict lower = source_row<In>(plane, at.second, 1);
    const float weight = at.weight;
    for (int64_t x = 0; x < width; ++x) {
      column[x] = lerp(Pixel<In>::load(upper[x]), Pixel<In>::load(lower[x]), weight);
    }
  }

  template <class In, class Out>
  void horizontal(Out* __restrict to, int64_t width) {
    const float* __restrict column = scratch.column;
    const int32_t *__restrict first = scratch.first, *__restrict second = scratch.second;
    const float* __restrict weight = scratch.weight;
    for (int64_t x = 0; x < width; ++x) {
      to[x] = Pixel<Out>::store(
          rescale<In, Out>(lerp(column[first[x]], column[second[x]], weight[x])));
    }
  }

  template <class In, class Out>
  void horizontal_antialias(Out* __restrict to) {
    const int32_t width = p.thumbnail.width;
    for (int32_t k = 0; k < step; ++k) {
      float* __restrict sum = scratch.sum;
      for (int32_t x = 0; x < width; ++x) sum[x] = 0.0f;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const float* __restrict weight = scratch.taps_x + tap * width;
        const float* __restrict column = scratch.column + k;
        const int32_t* __restrict first = scratch.first;
        for (int32_t x = 0; x < width; ++x) {
          const int64_t at = first[x] + (weight[x] > 0.0f ? tap : 0);
          const float more = sum[x] + weight[x] * column[at * step];
          sum[x] = weight[x] > 0.0f ? more : sum[x];
        }
      }
      for (int32_t x = 0; x < width; ++x) {
        to[x * step + k] = Pixel<Out>::store(rescale<In, Out>(sum[x]));
      }
    }
  }

  // ---- noise ------------------------------------------------------------------------------

  template <class Kind, class T>
  void noise_band(int32_t band, int32_t rows, T* (*row)[kBandRows]) {
    uint8_t* __restrict any = scratch.roi_any;
    memset(any, 0, static_cast<size_t>(b.w) + kLanes);
    for (int32_t r = 0; r < rows; ++r) {
      const uint8_t* __restrict roi = scratch.roi[r];
      for (int32_t x = 0; x < b.w; ++x) any[x] |= roi[x];
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
};

int64_t roi_area(const Source& source, int32_t mask_bytes, int32_t label_count,
                 const uint64_t* labels) {
  int64_t area = 0;
  with_label(mask_bytes, [&](auto tag) {
    using Label = decltype(tag);
    for (int32_t y = 0; y < source.h; ++y) {
      const char* row = source.mask + y * source.mask_y;
      if (source.mask_x == sizeof(Label) && aligned(row, sizeof(Label))) {
        const Label* labels_row = reinterpret_cast<const Label*>(row);
        for (int32_t x = 0; x < source.w; ++x) {
          area += in_roi<Label>(labels_row[x], label_count, labels) ? 1 : 0;
        }
      } else {
        for (int32_t x = 0; x < source.w; ++x) {
          const Label label = load_unaligned<Label>(row + x * source.mask_x);
          area += in_roi<Label>(label, label_count, labels) ? 1 : 0;
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
