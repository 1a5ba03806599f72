// One job: the value of one canvas pixel, from source and plan: the whole operation, in scalars.
//
// Read this file to know what SAS computes. The fast loops of cpu/ and cuda/ restate it for many
// pixels at once; cpu/scalar.cpp runs it as it stands, and the tests compare all of them bit by
// bit. SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "method/batch.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// Four canvas rows that share a column share a block of random words: word r is row 4 * band + r.
// So neighbouring columns are neighbouring counters, for any vector width or thread layout.
constexpr int kBandRows = 4;

SASAUG_HD uint32_t noise_block(int32_t band, int32_t x, int32_t canvas_w) {
  return static_cast<uint32_t>(band) * static_cast<uint32_t>(canvas_w) + static_cast<uint32_t>(x);
}

// A pixel of value x after noise that took its height above black, x - low, from `before` to
// `after`. One that the noise left alone keeps its bits, full scale is `high` itself, NaN is black.
SASAUG_HD float after_noise(float x, float before, float after, ValueRange range) {
  const float height = clip(after, range.full);
  const float moved = height < range.full ? height + range.low : range.high;
  return clip(after == before ? x : moved, range);
}

// Noise, clip and round for N pixels of values x that share kind and strength. In the default
// range (`kDefault`) all of it reduces to one clip.
template <class Kind, class T, int N, bool kDefault>
SASAUG_HD void noisy_values(const float* x, T* out, Random random, Noise noise, ValueRange range) {
  float height[N];
  for (int i = 0; i < N; ++i) height[i] = kDefault ? x[i] : x[i] - range.low;
  if constexpr (kDefault) {
    Kind::template apply<N>(height, random, Pixel<T>::full, noise);
    for (int i = 0; i < N; ++i) out[i] = Pixel<T>::store(clip(height[i], Pixel<T>::full));
  } else {
    Kind::template apply<N>(height, random, range.full, noise);
    for (int i = 0; i < N; ++i) {
      out[i] = Pixel<T>::store(after_noise(x[i], x[i] - range.low, height[i], range));
    }
  }
}

// The same for pixels as they are stored.
template <class Kind, class T, int N, bool kDefault>
SASAUG_HD void noisy(const T* in, T* out, Random random, Noise noise, ValueRange range) {
  float x[N];
  for (int i = 0; i < N; ++i) x[i] = Pixel<T>::load(in[i]);
  noisy_values<Kind, T, N, kDefault>(x, out, random, noise, range);
}

// Values this far below black or above full scale, in parts of the range, are of another unit.
constexpr float kTolerated = 0.25f;

SASAUG_HD bool far_outside(float x, ValueRange range) {
  const float room = kTolerated * range.full;
  return x < range.low - room || x > range.high + room;
}

// Black as the output stores it, in the lower bytes.
SASAUG_HD uint32_t black_bits(const Batch& b) {
  uint32_t bits = 0;
  with_pixel(b.out_type, [&](auto tag) {
    const auto value = Pixel<decltype(tag)>::store(b.out_range.low);
    memcpy(&bits, &value, sizeof value);
  });
  return bits;
}

// Whether the thumbnail's values are interpolated in integers.
SASAUG_HD bool in_integers(const Batch& b, const Rectangle& window, const Rectangle& thumbnail) {
  return b.in_type == PixelType::uint8 && b.out_type == PixelType::uint8 &&
         !shrinks_antialiased(b.antialias, window.width, thumbnail.width) &&
         !shrinks_antialiased(b.antialias, window.height, thumbnail.height);
}

// One pixel or label at any address.
template <class T>
SASAUG_HD T load_any(const char* address) {
  T value;
  memcpy(&value, address, sizeof value);
  return value;
}

// The values of a canvas, one of a sample's frames, one at a time: `y` and `x` count from its
// corner.
class CanvasValues {
 public:
  SASAUG_HD CanvasValues(const Batch& batch, const Sample& sample, const Source& source,
                         int32_t frame)
      : b(batch), p(sample), number(static_cast<uint32_t>(frame)), from(frame_of(source, frame)) {
    from.image += p.window.y * source.image_y + p.window.x * source.image_x;
    from.mask += p.window.y * source.mask_y + p.window.x * source.mask_x;
  }

  SASAUG_HD bool in_thumbnail(int32_t y, int32_t x) const {
    const Rectangle& t = p.thumbnail;
    return x >= t.x && x < t.x + t.width && y >= t.y && y < t.y + t.height;
  }

  template <class Label>
  SASAUG_HD Label label(int32_t y, int32_t x) const {
    if (!in_thumbnail(y, x)) return 0;
    const int64_t v = nearest_exact(y - p.thumbnail.y, p.window.height, p.thumbnail.height);
    const int64_t u = nearest_exact(x - p.thumbnail.x, p.window.width, p.thumbnail.width);
    return load_any<Label>(from.mask + v * from.mask_y + u * from.mask_x);
  }

  // Whole SAS: black, thumbnail, noise inside the ROI.
  template <class In, class Out, class Label>
  SASAUG_HD Out pixel(int32_t y, int32_t x, int32_t channel) const {
    if (!in_thumbnail(y, x)) return Pixel<Out>::store(b.out_range.low);
    const Out clean = thumbnail<In, Out>(y - p.thumbnail.y, x - p.thumbnail.x, channel);
    return gets_noise<Label>(y, x) ? with_noise(clean, y, x, channel) : clean;
  }

  // Whether the pixel gets noise, but its value is of another unit than the range's.
  template <class In, class Out, class Label>
  SASAUG_HD bool unfit(int32_t y, int32_t x, int32_t channel) const {
    if (Pixel<Out>::integer || !in_thumbnail(y, x) || !gets_noise<Label>(y, x)) return false;
    const Out clean = thumbnail<In, Out>(y - p.thumbnail.y, x - p.thumbnail.x, channel);
    return far_outside(Pixel<Out>::load(clean), b.out_range);
  }

 private:
  template <class Label>
  SASAUG_HD bool gets_noise(int32_t y, int32_t x) const {
    return p.noise >= 0 && in_roi(label<Label>(y, x), b.label_count, b.labels);
  }

  // Step 1: pixel (y, x) of the thumbnail. One of the window's own size is a copy, bit for bit.
  template <class In, class Out>
  SASAUG_HD Out thumbnail(int32_t y, int32_t x, int32_t channel) const {
    const Rectangle &w = p.window, &t = p.thumbnail;
    const char* image = from.image + channel * from.image_c;
    if (b.in_type == b.out_type && w.width == t.width && w.height == t.height) {
      return load_any<Out>(image + y * from.image_y + x * from.image_x);
    }
    if constexpr (sizeof(In) == 1 && sizeof(Out) == 1) {
      if (in_integers(b, w, t)) return resized_byte(image, y, x);
    }
    // down each column first, then along the row
    const float value = resized(x, w.width, t.width, [&](int64_t u) {
      return resized(y, w.height, t.height, [&](int64_t v) {
        return Pixel<In>::load(load_any<In>(image + v * from.image_y + u * from.image_x));
      });
    });
    return Pixel<Out>::store(rescale(value, b.in_range, b.out_range));
  }

  // Along the two rows first, then between them.
  SASAUG_HD uint8_t resized_byte(const char* image, int32_t y, int32_t x) const {
    const Rectangle &w = p.window, &t = p.thumbnail;
    const Bilinear row = bilinear(y, w.height, t.height), column = bilinear(x, w.width, t.width);
    const int32_t across = fixed_weight(column, t.width), down = fixed_weight(row, t.height);
    auto value_at = [&](int64_t v) {
      auto byte_at = [&](int64_t u) {
        return load_any<uint8_t>(image + v * from.image_y + u * from.image_x);
      };
      return fixed_lerp(to_64ths(byte_at(column.first)), to_64ths(byte_at(column.second)), across);
    };
    return from_64ths(fixed_lerp(value_at(row.first), value_at(row.second), down));
  }

  // Pixel i of n_dst along one axis, from n_src source values: value_at(0), value_at(1) ...
  template <class F>
  SASAUG_HD float resized(int64_t i, int32_t n_src, int32_t n_dst, F value_at) const {
    if (shrinks_antialiased(b.antialias, n_src, n_dst)) {
      const Triangle taps = triangle(i, n_src, n_dst);
      const float sum = triangle_sum(i, taps, n_src, n_dst);
      float value = 0.0f;
      for (int64_t j = taps.first; j < taps.first + taps.count; ++j) {
        const float weight = static_cast<float>(triangle_weight(i, j, n_src, n_dst)) / sum;
        value = value + weight * value_at(j);
      }
      return value;
    }
    const Bilinear at = bilinear(i, n_src, n_dst);
    const float first = value_at(at.first), weight = bilinear_weight(at, n_dst);
    return weight > 0.0f ? lerp(first, value_at(at.second), weight) : first;
  }

  // Step 2. Channels share one draw unless per_channel.
  template <class T>
  SASAUG_HD T with_noise(T clean, int32_t y, int32_t x, int32_t channel) const {
    const uint32_t block = noise_block(y / kBandRows, x, b.w), row = y % kBandRows;
    const uint32_t drawn_for = b.per_channel ? static_cast<uint32_t>(channel) : 0;
    T result = clean;
    Noises::visit(p.noise, [&](auto tag) {
      using Kind = decltype(tag);
      float n = 0.0f;
      uint32_t word = 0;
      if (Kind::draws & kNormal) {
        const Words w =
            philox4x32(counter(block, p.id, Purpose::normal, drawn_for, number), b.seed);
        float pair[2];
        normal_pair(w.w[row & 2u], w.w[(row & 2u) + 1], pair[0], pair[1]);
        n = pair[row & 1u];
      }
      if (Kind::draws & kUniform) {
        word = philox4x32(counter(block, p.id, Purpose::uniform, drawn_for, number), b.seed).w[row];
      }
      noisy<Kind, T, 1, false>(&clean, &result, Random{&n, &word},
                               Noise{p.strength, b.salt_vs_pepper}, b.out_range);
    });
    return result;
  }

  const Batch& b;
  const Sample& p;
  uint32_t number;  // of the frame
  Source from;      // with the addresses of the window's first pixel
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
