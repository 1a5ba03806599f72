// One job: the CPU's loops along rows, plain enough for the compiler's vectors.
//
// The four rows of a band are kept interleaved while they are resized, [column][row]: so the four
// values of a source column are neighbours, and picking columns needs no gather.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cpu/vectors.h"
#include "method/value.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
struct Column {
  T row[kBandRows];
};

template <class T>
void interleave(const T* __restrict r0, const T* __restrict r1, const T* __restrict r2,
                const T* __restrict r3, int64_t width, Column<T>* __restrict to) {
  for (int64_t x = 0; x < width; ++x) to[x] = Column<T>{{r0[x], r1[x], r2[x], r3[x]}};
}

#ifdef SASAUG_VECTORS
inline void interleave(const uint8_t* __restrict r0, const uint8_t* __restrict r1,
                       const uint8_t* __restrict r2, const uint8_t* __restrict r3, int64_t width,
                       Column<uint8_t>* __restrict to) {
  int64_t x = 0;
  for (; x + 16 <= width; x += 16) interleave_16(r0 + x, r1 + x, r2 + x, r3 + x, to[x].row);
  for (; x < width; ++x) to[x] = Column<uint8_t>{{r0[x], r1[x], r2[x], r3[x]}};
}
#endif

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

#ifdef SASAUG_VECTORS
// Integers are finite, so that weight 0 needs no case of its own: a + (b - a) * 0 is a.
template <class In>
inline Values lerp_values(const In* upper, const In* lower, Values weight) {
  const Values a = load_values(upper), b = load_values(lower);
  const Values between = a + (b - a) * weight;
  return Pixel<In>::integer ? between : where_positive(weight, between, a);
}
#endif

// Four rows, each the lerp of two, as columns.
template <class In>
void lerp_rows(const In* const* upper, const In* const* lower, const float* weight, int64_t width,
               Column<float>* __restrict to) {
  int64_t x = 0;
#ifdef SASAUG_VECTORS
  const Values zero{};
  const Values w0 = zero + weight[0], w1 = zero + weight[1];
  const Values w2 = zero + weight[2], w3 = zero + weight[3];
  const In *a0 = upper[0], *a1 = upper[1], *a2 = upper[2], *a3 = upper[3];
  const In *b0 = lower[0], *b1 = lower[1], *b2 = lower[2], *b3 = lower[3];
  for (; x + kValues <= width; x += kValues) {
    interleave_values(lerp_values(a0 + x, b0 + x, w0), lerp_values(a1 + x, b1 + x, w1),
                      lerp_values(a2 + x, b2 + x, w2), lerp_values(a3 + x, b3 + x, w3), to[x].row);
  }
#endif
  for (; x < width; ++x) {
    for (int32_t r = 0; r < kBandRows; ++r) {
      const float a = Pixel<In>::load(upper[r][x]), b = Pixel<In>::load(lower[r][x]);
      to[x].row[r] = weight[r] > 0.0f ? lerp(a, b, weight[r]) : a;
    }
  }
}

// to[x] = the lerp of two columns, `step` apart, the first at from + offset[x].
template <class In>
void lerp_columns(const Four* __restrict from, const int64_t* __restrict offset,
                  const Four* __restrict weight, int64_t step, int64_t width, Four* __restrict to) {
  const Four* __restrict next = from + step;
  int64_t x = 0;
  for (; x + 2 <= width; x += 2) {
    const Eight a = both(from[offset[x]], from[offset[x + 1]]);
    const Eight b = both(next[offset[x]], next[offset[x + 1]]);
    const Eight w = pair_at(weight + x);
    const Eight between = a + (b - a) * w;
    put_pair(Pixel<In>::integer ? between : where_positive(w, between, a), to + x);
  }
  for (; x < width; ++x) {
    const Four a = from[offset[x]], w = weight[x];
    const Four between = a + (next[offset[x]] - a) * w;
    to[x] = Pixel<In>::integer ? between : where_positive(w, between, a);
  }
}

template <class In, class Out>
void store_values(const float* __restrict from, int64_t count, const Batch& b, Out* __restrict to) {
  if (is_default<In>(b.in_range)) {  // the same for other ranges of floats, which stay
    for (int64_t i = 0; i < count; ++i) {
      to[i] = Pixel<Out>::store(rescale(from[i], Pixel<In>::full, Pixel<Out>::full));
    }
    return;
  }
  const ValueRange in = b.in_range, out = b.out_range;
  for (int64_t i = 0; i < count; ++i) to[i] = Pixel<Out>::store(rescale(from[i], in, out));
}

template <class Label>
void pick_columns(const Column<Label>* __restrict from, const int32_t* __restrict column,
                  int64_t width, Column<Label>* __restrict to) {
  for (int64_t x = 0; x < width; ++x) to[x] = from[column[x]];
}

// roi[x] = 1 where the label is one of the ROI's, else 0; one label after another, which
// vectorises.
template <class Label>
void roi_row(const Label* __restrict row, int64_t width, int32_t label_count,
             const uint64_t* labels, uint8_t* __restrict roi) {
  for (int64_t x = 0; x < width; ++x) roi[x] = label_count == 0 && row[x] != 0 ? 1 : 0;
  for (int32_t k = 0; k < label_count; ++k) {
    const Label label = static_cast<Label>(labels[k]);
    for (int64_t x = 0; x < width; ++x) roi[x] |= row[x] == label ? 1 : 0;
  }
}

// Whether every label of the rows is background.
template <class Label>
bool blank(const Label* const (&row)[kBandRows], int64_t width) {
  const Label *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];
  Label any = 0;
  for (int64_t x = 0; x < width; ++x) {
    any = static_cast<Label>(any | r0[x] | r1[x] | r2[x] | r3[x]);
  }
  return any == 0;
}

// Labels of the row that are in the ROI.
template <class Label>
int64_t roi_count(const Label* __restrict row, int64_t width, int32_t label_count,
                  const uint64_t* labels) {
  int64_t area = 0;
  for (int64_t x0 = 0; x0 < width; x0 += 1 << 15) {  // 16-bit sums: more of them in a vector
    const int64_t x1 = width - x0 < 1 << 15 ? width : x0 + (1 << 15);
    uint16_t count = 0;
    if (label_count == 0) {
      for (int64_t x = x0; x < x1; ++x) count = static_cast<uint16_t>(count + (row[x] != 0));
    } else {
      for (int64_t x = x0; x < x1; ++x) {
        count = static_cast<uint16_t>(count + in_roi<Label>(row[x], label_count, labels));
      }
    }
    area += count;
  }
  return area;
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
