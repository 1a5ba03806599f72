// One job: what one GPU thread does for a tile of a canvas.
//
// The kernels of kernels.cu are loops over these functions, with a barrier between a tile's
// phases; tests/emulated_cuda.cpp runs the same functions on the host.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cuda/tile.h"

// Before a loop whose copies would cost the GPU more registers than they save time.
#ifdef __CUDA_ARCH__
#define SASAUG_ROLLED _Pragma("unroll 1")
#else
#define SASAUG_ROLLED
#endif

namespace sasaug {

constexpr int32_t kTileThreads = 256;
constexpr int32_t kTableTaps = 16;  // of a row's triangle weights; further ones are not kept

// Where the tile's pixels lie in the window, along one axis. Bilinear: `taps` is 2 where there is
// a second pixel to weigh. Antialiased: `weight` is the triangle's sum.
template <int32_t kSize>
struct Axis {
  int32_t mask[kSize], first[kSize], taps[kSize];
  float weight[kSize];
};

// What the threads of a tile parameters.
struct Tables {
  Axis<kTileColumns> x;
  Axis<kTileRows> y;
  float triangle_y[kTileRows][kTableTaps];
};

inline namespace SASAUG_VARIANT {

template <class T>
SASAUG_HD void store(char* to, T value, bool aligned) {
  if (aligned) {
    *reinterpret_cast<T*>(to) = value;
  } else {
    memcpy(to, &value, sizeof value);
  }
}

// What a thread does for a tile.
class TileThread {
 public:
  SASAUG_HD TileThread(const Batch& batch, const Tile& facts) : b(batch), f(facts) {}

  // Whether the tile is wholly black or wholly a copy, in rows without gaps.
  SASAUG_HD bool plain() const {
    const bool within = f.t.x <= f.x0 && f.x0 + f.columns <= f.t.x + f.t.width && f.t.y <= f.y0 &&
                        f.y0 + f.rows <= f.t.y + f.t.height;
    if (f.touched && !(within && f.copied && f.p.noise < 0)) return false;
    const int64_t in = pixel_bytes(b.in_type), out = pixel_bytes(b.out_type), per_pixel = step();
    const bool black = !f.touched;
    if (black && black_bits(b) != 0) return false;  // rows are cleared to 0
    return b.image_x == per_pixel * out && (black || f.source.image_x == per_pixel * in) &&
           (per_pixel == 1 || black || f.source.image_c == in) &&
           (!f.masks || (b.mask_x == b.mask_bytes && (black || f.source.mask_x == b.mask_bytes)));
  }

  // All that is to do where the tile is plain.
  SASAUG_HD void fill_plain(int32_t thread) const {
    const int32_t per_pixel = step();
    const int64_t u = f.x0 - f.t.x, v = f.y0 - f.t.y;
    SASAUG_ROLLED
    for (int32_t k = 0; k < b.c; k += per_pixel) {
      const char* from = f.source.image + v * f.source.image_y + u * f.source.image_x;
      fill_rows(f.images + f.y0 * b.image_y + f.x0 * b.image_x + k * b.image_c, b.image_y,
                f.touched ? from + k * f.source.image_c : nullptr, f.source.image_y,
                f.columns * b.image_x, thread);
    }
    if (!f.masks) return;
    fill_rows(f.masks + f.y0 * b.mask_y + f.x0 * b.mask_x, b.mask_y,
              f.touched ? f.source.mask + v * f.source.mask_y + u * f.source.mask_x : nullptr,
              f.source.mask_y, f.columns * b.mask_x, thread);
  }

  // Elsewhere the threads first fill the tables ...
  SASAUG_HD void fill_tables(int32_t thread, Tables& tables) const {
    if (!f.touched) return;
    // what lies beside the thumbnail repeats its edge: looked up with the others, then not used
    auto nearest = [](int32_t i, int32_t size) { return i < 0 ? 0 : (i < size ? i : size - 1); };
    SASAUG_ROLLED
    for (int32_t k = thread; k < kTileRows + kTileColumns; k += kTileThreads) {
      if (k >= kTileRows) {
        const int32_t u = nearest(f.x0 - f.t.x + (k - kTileRows), f.t.width);
        fill_axis(tables.x, k - kTileRows, u, f.p.window.width, f.t.width, f.antialias_x);
        continue;
      }
      const int32_t v = nearest(f.y0 - f.t.y + k, f.t.height);
      fill_axis(tables.y, k, v, f.p.window.height, f.t.height, f.antialias_y);
      for (int32_t tap = 0; f.antialias_y && tap < tables.y.taps[k] && tap < kTableTaps; ++tap) {
        tables.triangle_y[k][tap] = tap_weight(tables.y, k, tap, v, f.p.window.height, f.t.height);
      }
    }
  }

  // ... and when all have done so, the pixels: a column of a band at a time. What a thread has
  // written it reads again for the noise: apart, either takes fewer registers, and few pixels pay.
  SASAUG_HD void fill_pixels(int32_t thread, const Tables& tables) const {
    each_column(thread, [&](int32_t column, int32_t row) {
      const uint32_t used = used_rows(column, row);
      if (f.masks) {
        with_label(b.mask_bytes,
                   [&](auto tag) { fill_labels<decltype(tag)>(column, row, used, tables); });
      }
      SASAUG_ROLLED
      for (int32_t channel = 0; channel < b.c; ++channel) {
        uint32_t v[kBandRows] = {};
        if (used) resize_column(channel, column, row, tables, v);
        write_column(channel, column, row, ~0u, used, v);
      }
    });
    if (f.p.noise < 0 || !f.touched) return;
    each_column(thread, [&](int32_t column, int32_t row) {
      const uint32_t used = used_rows(column, row);
      uint32_t roi = 0;
      if (used) {
        with_label(b.mask_bytes,
                   [&](auto tag) { roi = roi_rows<decltype(tag)>(column, row, used, tables); });
      }
      if (roi) add_noise(column, row, roi);
    });
  }

 private:
  // Neighbouring values that make a pixel: all channels where they are interleaved, else one.
  SASAUG_HD int32_t step() const {
    const int64_t out = pixel_bytes(b.out_type);
    return b.image_c == out && b.image_x == b.c * out ? b.c : 1;
  }

  // ---- rows without gaps ---------------------------------------------------------------------

  // The tile's rows of `bytes` each: copied, or black where `from` is null.
  SASAUG_HD void fill_rows(char* to, int64_t to_y, const char* from, int64_t from_y, int64_t bytes,
                           int32_t thread) const {
    const uint64_t all =
        bits_of(to) | bits_of(to_y) | bits_of(bytes) | (from ? bits_of(from) | bits_of(from_y) : 0);
    if (all % 16 == 0) return move_rows<Bytes16>(to, to_y, from, from_y, bytes, thread);
    if (all % 4 == 0) return move_rows<uint32_t>(to, to_y, from, from_y, bytes, thread);
    if (all % 2 == 0) return move_rows<uint16_t>(to, to_y, from, from_y, bytes, thread);
    move_rows<uint8_t>(to, to_y, from, from_y, bytes, thread);
  }

  // A warp along a row, all its rows at once: several loads under way.
  template <class Unit>
  SASAUG_HD void move_rows(char* to, int64_t to_y, const char* from, int64_t from_y, int64_t bytes,
                           int32_t thread) const {
    constexpr int32_t kWarps = kTileThreads / kWarp, kEach = kTileRows / kWarps;
    const int32_t units = static_cast<int32_t>(bytes / static_cast<int64_t>(sizeof(Unit)));
    SASAUG_ROLLED
    for (int32_t u = thread % kWarp; u < units; u += kWarp) {
      Unit v[kEach]{};
      for (int32_t k = 0; k < kEach; ++k) {
        const int32_t row = thread / kWarp + k * kWarps;
        if (from && row < f.rows) v[k] = reinterpret_cast<const Unit*>(from + row * from_y)[u];
      }
      for (int32_t k = 0; k < kEach; ++k) {
        const int32_t row = thread / kWarp + k * kWarps;
        if (row < f.rows) reinterpret_cast<Unit*>(to + row * to_y)[u] = v[k];
      }
    }
  }

  // ---- tables --------------------------------------------------------------------------------

  template <int32_t kSize>
  SASAUG_HD static void fill_axis(Axis<kSize>& axis, int32_t k, int32_t i, int32_t n_src,
                                  int32_t n_dst, bool antialias) {
    axis.mask[k] = static_cast<int32_t>(nearest_exact(i, n_src, n_dst));
    if (antialias) {
      const Triangle at = triangle(i, n_src, n_dst);
      axis.first[k] = static_cast<int32_t>(at.first);
      axis.taps[k] = static_cast<int32_t>(at.count);
      axis.weight[k] = triangle_sum(i, at, n_src, n_dst);
    } else {
      const Bilinear at = bilinear(i, n_src, n_dst);
      axis.first[k] = static_cast<int32_t>(at.first);
      axis.taps[k] = at.weight > 0.0f ? 2 : 1;
      axis.weight[k] = at.weight;
    }
  }

  // Of thumbnail pixel i, which is the k-th of the axis.
  template <int32_t kSize>
  SASAUG_HD static float tap_weight(const Axis<kSize>& axis, int32_t k, int32_t tap, int32_t i,
                                    int32_t n_src, int32_t n_dst) {
    const int64_t weight = triangle_weight(i, int64_t{axis.first[k]} + tap, n_src, n_dst);
    return static_cast<float>(weight) / axis.weight[k];
  }

  // ---- columns -------------------------------------------------------------------------------

  // Calls work(column, row) for the thread's columns: four rows each, from a band's first one
  // on. Both count from the tile's corner.
  template <class F>
  SASAUG_HD void each_column(int32_t thread, F work) const {
    SASAUG_ROLLED
    for (int32_t i = thread; i < kTileColumns * kTileRows / kBandRows; i += kTileThreads) {
      const int32_t column = i % kTileColumns, row = i / kTileColumns * kBandRows;
      if (column < f.columns && row < f.rows) work(column, row);
    }
  }

  // A bit for each row of the column that crosses the thumbnail.
  SASAUG_HD uint32_t used_rows(int32_t column, int32_t row) const {
    const int32_t u = f.x0 + column - f.t.x, v = f.y0 + row - f.t.y;
    uint32_t used = 0;
    for (int32_t r = 0; r < kBandRows && u >= 0 && u < f.t.width; ++r) {
      if (v + r >= 0 && v + r < f.t.height) used |= 1u << r;
    }
    return used;
  }

  template <class Label>
  SASAUG_HD void read_labels(int32_t column, int32_t row, const Tables& tables,
                             Label* label) const {
    const char* from = f.source.mask + tables.x.mask[column] * f.source.mask_x;
    const bool aligned =
        is_aligned(f.source.mask, f.source.mask_y, f.source.mask_x, 0, sizeof(Label));
    for (int32_t r = 0; r < kBandRows; ++r) {
      label[r] = load<Label>(from + tables.y.mask[row + r] * f.source.mask_y, aligned);
    }
  }

  template <class Label>
  SASAUG_HD void fill_labels(int32_t column, int32_t row, uint32_t used,
                             const Tables& tables) const {
    Label label[kBandRows] = {};
    if (used) read_labels(column, row, tables, label);
    char* to = f.masks + (f.y0 + row) * b.mask_y + (f.x0 + column) * b.mask_x;
    const bool aligned = is_aligned(f.masks, b.mask_y, b.mask_x, 0, sizeof(Label));
    for (int32_t r = 0; r < kBandRows; ++r) {
      if (row + r < f.rows) store<Label>(to + r * b.mask_y, used >> r & 1 ? label[r] : 0, aligned);
    }
  }

  template <class Label>
  SASAUG_HD uint32_t roi_rows(int32_t column, int32_t row, uint32_t used,
                              const Tables& tables) const {
    Label label[kBandRows];
    read_labels(column, row, tables, label);
    uint32_t roi = 0;
    for (int32_t r = 0; r < kBandRows; ++r) {
      if (in_roi(label[r], b.label_count, b.labels)) roi |= 1u << r;
    }
    return roi & used;
  }

  // A column's pixels as they are stored, each in the lower bits of a word; black where they are
  // not `used`. Rows that are not `wanted` stay what they are.
  SASAUG_HD void write_column(int32_t channel, int32_t column, int32_t row, uint32_t wanted,
                              uint32_t used, const uint32_t* v) const {
    char* to = image_at(channel, column, row);
    const bool aligned = images_aligned();
    const uint32_t black = black_bits(b);
    with_label(pixel_bytes(b.out_type), [&](auto tag) {
      using Bits = decltype(tag);
      for (int32_t r = 0; r < kBandRows; ++r) {
        if (row + r >= f.rows || (wanted >> r & 1) == 0) continue;
        store(to + r * b.image_y, static_cast<Bits>(used >> r & 1 ? v[r] : black), aligned);
      }
    });
  }

  SASAUG_HD char* image_at(int32_t channel, int32_t column, int32_t row) const {
    return f.images + (f.y0 + row) * b.image_y + (f.x0 + column) * b.image_x + channel * b.image_c;
  }

  SASAUG_HD static bool is_aligned(const char* address, int64_t y, int64_t x, int64_t c,
                                   int64_t size) {
    return (bits_of(address) | bits_of(y) | bits_of(x) | bits_of(c)) % bits_of(size) == 0;
  }

  SASAUG_HD bool source_aligned() const {
    return is_aligned(f.source.image, f.source.image_y, f.source.image_x, f.source.image_c,
                      pixel_bytes(b.in_type));
  }

  SASAUG_HD bool images_aligned() const {
    return is_aligned(f.images, b.image_y, b.image_x, b.image_c, pixel_bytes(b.out_type));
  }

  // ---- image ---------------------------------------------------------------------------------

  SASAUG_HD void resize_column(int32_t channel, int32_t column, int32_t row, const Tables& tables,
                               uint32_t* v) const {
    const char* from = f.source.image + channel * f.source.image_c;
    const bool aligned = source_aligned();
    if (f.copied) {  // as they are, to the last bit of a NaN
      from += tables.x.first[column] * f.source.image_x;
      with_label(pixel_bytes(b.in_type), [&](auto tag) {
        for (int32_t r = 0; r < kBandRows; ++r) {
          const char* at = from + tables.y.first[row + r] * f.source.image_y;
          v[r] = static_cast<uint32_t>(load<decltype(tag)>(at, aligned));
        }
      });
      return;
    }
    float values[kBandRows];
    if (f.antialias_x || f.antialias_y || !aligned) {
      for (int32_t r = 0; r < kBandRows; ++r) values[r] = filtered(from, column, row + r, tables);
    } else {
      with_pixel(b.in_type, [&](auto tag) {
        for (int32_t r = 0; r < kBandRows; ++r) {
          values[r] = bilinear_value<decltype(tag)>(from, column, row + r, tables);
        }
      });
    }
    for (int32_t r = 0; r < kBandRows; ++r) {
      values[r] = rescale(values[r], b.in_range, b.out_range);
    }
    pack(values, v);
  }

  // What most samples ask for, its loads free of branches: all can be under way at once.
  template <class In>
  SASAUG_HD float bilinear_value(const char* from, int32_t column, int32_t row,
                                 const Tables& tables) const {
    from += tables.y.first[row] * f.source.image_y + tables.x.first[column] * f.source.image_x;
    const int64_t down = (tables.y.taps[row] - 1) * f.source.image_y;
    const int64_t right = (tables.x.taps[column] - 1) * f.source.image_x;
    auto value = [&](int64_t offset) { return Pixel<In>::load(load<In>(from + offset, true)); };
    const float v00 = value(0), v01 = value(right), v10 = value(down), v11 = value(down + right);
    return between(between(v00, v10, tables.y.weight[row]), between(v01, v11, tables.y.weight[row]),
                   tables.x.weight[column]);
  }

  SASAUG_HD static float between(float a, float b, float weight) {
    return weight > 0.0f ? lerp(a, b, weight) : a;
  }

  // Everything: antialiased or not along each axis, aligned or not. Vertically, then horizontally.
  SASAUG_HD float filtered(const char* from, int32_t column, int32_t row,
                           const Tables& tables) const {
    float sum = 0.0f;
    SASAUG_ROLLED
    for (int32_t tap = 0; tap < tables.x.taps[column]; ++tap) {
      const int64_t place = tables.x.first[column] + tap;
      const float value = filtered_column(from + place * f.source.image_x, row, tables);
      if (f.antialias_x) {
        const int32_t u = f.x0 + column - f.t.x;
        sum = sum + value * tap_weight(tables.x, column, tap, u, f.p.window.width, f.t.width);
      } else {
        sum = tap == 0 ? value : lerp(sum, value, tables.x.weight[column]);
      }
    }
    return sum;
  }

  SASAUG_HD float filtered_column(const char* from, int32_t row, const Tables& tables) const {
    const bool aligned = source_aligned();
    float sum = 0.0f;
    SASAUG_ROLLED
    for (int32_t tap = 0; tap < tables.y.taps[row]; ++tap) {
      const char* at = from + (tables.y.first[row] + tap) * f.source.image_y;
      float value = 0.0f;
      with_pixel(b.in_type, [&](auto type) {
        using In = decltype(type);
        value = Pixel<In>::load(load<In>(at, aligned));
      });
      if (f.antialias_y) {
        sum = sum + value * triangle_y(row, tap, tables);
      } else {
        sum = tap == 0 ? value : lerp(sum, value, tables.y.weight[row]);
      }
    }
    return sum;
  }

  SASAUG_HD float triangle_y(int32_t row, int32_t tap, const Tables& tables) const {
    if (tap < kTableTaps) return tables.triangle_y[row][tap];
    return tap_weight(tables.y, row, tap, f.y0 + row - f.t.y, f.p.window.height, f.t.height);
  }

  SASAUG_HD void pack(const float* values, uint32_t* v) const {
    with_pixel(b.out_type, [&](auto tag) {
      using Out = decltype(tag);
      for (int32_t r = 0; r < kBandRows; ++r) {
        const Out stored = Pixel<Out>::store(values[r]);
        v[r] = 0;
        memcpy(&v[r], &stored, sizeof stored);
      }
    });
  }

  // ---- noise ---------------------------------------------------------------------------------

  SASAUG_HD void draw(uint32_t block, uint32_t channel, float* n, uint32_t* word) const {
    int draws = 0;
    Noises::visit(f.p.noise, [&](auto kind) { draws = decltype(kind)::draws; });
    if (draws & kNormal) {
      const Words w = philox4x32(counter(block, f.p.id, Purpose::normal, channel), b.seed);
      for (int32_t r = 0; r < kBandRows; r += 2) normal_pair(w.w[r], w.w[r + 1], n[r], n[r + 1]);
    }
    if (draws & kUniform) {
      const Words w = philox4x32(counter(block, f.p.id, Purpose::uniform, channel), b.seed);
      for (int32_t r = 0; r < kBandRows; ++r) word[r] = w.w[r];
    }
  }

  SASAUG_HD void add_noise(int32_t column, int32_t row, uint32_t roi) const {
    const bool aligned = images_aligned();
    const uint32_t block = noise_block((f.y0 + row) / kBandRows, f.x0 + column, b.w);
    float n[kBandRows];
    uint32_t word[kBandRows];
    SASAUG_ROLLED
    for (int32_t channel = 0; channel < b.c; ++channel) {
      const char* at = image_at(channel, column, row);
      float values[kBandRows] = {};
      with_pixel(b.out_type, [&](auto tag) {
        using Out = decltype(tag);
        for (int32_t r = 0; r < kBandRows; ++r) {
          if (roi >> r & 1) values[r] = Pixel<Out>::load(load<Out>(at + r * b.image_y, aligned));
        }
      });
      if (channel == 0 || b.per_channel) draw(block, static_cast<uint32_t>(channel), n, word);
      float heights[kBandRows];
      for (int32_t r = 0; r < kBandRows; ++r) heights[r] = values[r] - b.out_range.low;
      Noises::visit(f.p.noise, [&](auto noise) {
        using Kind = decltype(noise);
        Kind::template apply<kBandRows>(heights, Random{n, word}, b.out_range.full,
                                        Noise{f.p.strength, b.salt_vs_pepper});
      });
      for (int32_t r = 0; r < kBandRows; ++r) {
        values[r] = after_noise(values[r], values[r] - b.out_range.low, heights[r], b.out_range);
      }
      uint32_t v[kBandRows];
      pack(values, v);
      write_column(channel, column, row, roi, roi, v);
    }
  }

  const Batch& b;
  const Tile& f;
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
