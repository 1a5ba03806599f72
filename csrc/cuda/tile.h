// One job: which tile of a canvas is whose, and what all of its threads know of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "cuda/layout.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// Where a tile's values wait for their noise and leave from: in shared memory.
struct alignas(16) Values {
  char bytes[kRowValues * kTileRows * sizeof(float)];
};

// What rows are written from. Black is one piece of 16 bytes, which stands for all of them.
struct Origin {
  const char* at;
  int64_t y, plane;
  int32_t within;  // a bit mask: of an offset in a row, the part that counts
};

// A tile's rows without gaps, as they are written: in units of `unit` bytes.
struct alignas(16) Rows {
  Origin from;
  char* to;
  int64_t y, plane;
  int64_t from_down, down;  // from a thread's row to its next
  int32_t step;             // the same in rows
  int32_t threads;          // that share them out
  int32_t lanes;  // log2: a power of two of threads share a row, so that short rows keep them busy
  int32_t unit, units, rows, planes;
};

// What an axis of a tile's tables is made from.
struct Scale {
  int32_t n_src, n_dst;
  bool antialias, integers;
  int64_t image_step, mask_step;
  int32_t low, high, count;  // the thumbnail's part of the tile, and the tile
  int32_t start;             // the tile's first pixel, as the thumbnail counts
};

// Strips of a tile, `all` of them, numbered along the rows. The division by `across` is a
// multiplication.
struct Strips {
  int32_t column, row;  // of the first
  int32_t across, all;
  uint32_t reciprocal;  // 2^16 / across, rounded up
};

// How a thumbnail's values are made.
enum class Resize : int32_t { none, integers, bilinear, filter };

// A tile: some columns and rows of a frame's canvas, or what is left of them at its edges. Kept
// once for all its threads, which have few registers.
struct Tile {
  Source source;  // its addresses those of the window's first pixel
  Sample p;
  char *images, *masks;  // those of the tile's first pixel
  int32_t y0, x0, rows, columns;
  int32_t left, right, top, bottom;  // the thumbnail's part of the tile; empty: left == right
  Strips strips;                     // those that it covers, wholly or in part
  Scale scale[2];                    // along x, along y
  Stage stage;
  alignas(16) uint32_t black[4];     // a black value's bits, repeated
  alignas(16) uint32_t no_label[4];  // background's
  uint32_t frame;                    // of the sample
  bool whole;                        // the thumbnail covers all of it
  Resize resize;
  // The bilinear pair of every column is two neighbouring values: rows shrink, and lie gapless.
  bool pairs;
  int32_t label_words;  // that four labels of a byte are picked from; 0: they are read one by one
  bool source_aligned, masks_aligned;
  bool plain;                                      // wholly black or wholly a copy, without gaps
  bool more;                                       // this is not the block's last tile
  bool four_values, four_labels, four_labels_out;  // four neighbours in one access
  Rows image_rows, mask_rows;
};

struct TilePlace {
  FramePlace of;
  int32_t y0, x0;
};

__device__ inline TilePlace tile_place(const Batch& b, const Layout& l, int64_t number) {
  const int64_t row = quotient(number, l.across), of = quotient(row, l.down);
  return {frame_place(b, of), static_cast<int32_t>(row - of * l.down) * kTileRows,
          static_cast<int32_t>(number - row * l.across) * l.columns};
}

__device__ inline Rows make_rows(const Origin& from, char* to, int64_t y, int64_t plane,
                                 int32_t planes, int32_t bytes, int32_t rows, int32_t threads,
                                 uint64_t alignment) {
  const int32_t unit = common_unit(alignment | static_cast<uint64_t>(bytes));
  const int32_t units = bytes / unit;
  const int32_t lanes = units > threads / 2 ? 31 - __clz(threads) : 32 - __clz(units - 1);
  const int32_t step = threads >> lanes;
  Rows r;
  r.from = from;
  r.to = to;
  r.y = y;
  r.plane = plane;
  r.from_down = step * from.y;
  r.down = step * y;
  r.step = step;
  r.threads = threads;
  r.lanes = lanes;
  r.unit = unit;
  r.units = units;
  r.rows = rows;
  r.planes = planes;
  return r;
}

__device__ inline Strips make_strips(int32_t left, int32_t right, int32_t top, int32_t bottom) {
  const uint32_t column = static_cast<uint32_t>(left) / kStrip;
  const uint32_t row = static_cast<uint32_t>(top) / kStrip;
  const uint32_t across = (static_cast<uint32_t>(right) + kStrip - 1) / kStrip - column;
  const uint32_t down = (static_cast<uint32_t>(bottom) + kStrip - 1) / kStrip - row;
  const uint32_t divisor = across > 0 ? across : 1;
  return {static_cast<int32_t>(column) * kStrip, static_cast<int32_t>(row) * kStrip,
          static_cast<int32_t>(across), static_cast<int32_t>(across * down),
          (0xFFFF + divisor) / divisor};
}

__device__ inline Origin repeated(const uint32_t (&piece)[4]) {
  return {reinterpret_cast<const char*>(piece), 0, 0, sizeof piece - 1};
}

// Whole words of a mask's row that hold the labels of four neighbouring columns, wherever they lie:
// so far apart are those of a window's width. 0: more than 3, or its rows do not consist of words.
__device__ inline int32_t words_of_labels(const Source& q, const Sample& p, int32_t label_bytes) {
  const char* row = q.mask - p.window.x * q.mask_x;
  if (label_bytes != 1 || q.mask_x != 1 || (bits_of(row) | bits_of(q.mask_y) | q.w) % 4 != 0) {
    return 0;
  }
  const int64_t apart = int64_t{3} * p.window.width, width = p.thumbnail.width;  // first and last
  return apart <= 4 * width ? 2 : (apart <= 7 * width ? 3 : 0);
}

// What decides how memory is accessed.
__device__ inline void find_accesses(const Batch& b, const Layout& l, const Values& values, Tile& t,
                                     bool same_size) {
  const Source& q = t.source;
  const int64_t in = l.in_bytes, out = l.out_bytes, label = b.mask_bytes;
  const uint64_t steps = bits_of(q.image_y) | bits_of(q.image_x) | (b.c > 1 ? q.image_c : 0);
  t.source_aligned = ((bits_of(q.image) | steps) & (in - 1)) == 0;
  t.masks_aligned = ((bits_of(q.mask) | bits_of(q.mask_y) | bits_of(q.mask_x)) & (label - 1)) == 0;
  t.pairs = t.p.window.width > t.p.thumbnail.width && q.image_x == in;
  t.label_words = words_of_labels(q, t.p, b.mask_bytes);

  const int32_t y = t.y0 - t.p.thumbnail.y, x = t.x0 - t.p.thumbnail.x;
  const char* image_beneath = q.image + y * q.image_y + x * q.image_x;
  const char* mask_beneath = q.mask + y * q.mask_y + x * q.mask_x;
  const bool gapless_source = l.interleaved ? q.image_c == in && q.image_x == b.c * in  //
                                            : q.image_x == in;
  const uint64_t image_bits =
      bits_of(image_beneath) | bits_of(q.image_y) | (l.planes > 1 ? bits_of(q.image_c) : 0);
  const uint64_t mask_bits = bits_of(mask_beneath) | bits_of(q.mask_y);
  auto beyond = [](int64_t size) { return bits_of((size < 4 ? 4 * size : 16) - 1); };
  t.four_values = !l.interleaved && q.image_x == in && (image_bits & beyond(in)) == 0;
  t.four_labels = same_size && q.mask_x == label && (mask_bits & beyond(label)) == 0;
  const uint64_t out_bits = bits_of(t.masks) | bits_of(b.mask_y);
  t.four_labels_out = b.mask_x == label && (out_bits & beyond(label)) == 0;

  const bool copy =
      t.whole && t.resize == Resize::none && t.p.noise < 0 && gapless_source && q.mask_x == label;
  t.plain = (t.left == t.right || copy) && l.gapless && l.labels_gapless;
  const uint64_t image_to =
      bits_of(t.images) | bits_of(b.image_y) | (l.planes > 1 ? bits_of(b.image_c) : 0);
  // so many that each writes eight pieces of 16 bytes; half of them all where labels need the
  // others
  const int32_t most = t.plain ? kTileThreads / 2 : kTileThreads;
  const int32_t threads = kFewThreads * l.out_bytes < most ? kFewThreads * l.out_bytes : most;
  const Origin image_from =
      !t.plain ? Origin{values.bytes, t.stage.y * out, t.stage.c * out, ~0}
               : (copy ? Origin{image_beneath, q.image_y, q.image_c, ~0} : repeated(t.black));
  t.image_rows = make_rows(image_from, t.images, b.image_y, b.image_c, l.planes,
                           t.columns * t.stage.x * l.out_bytes, t.rows, threads,
                           image_to | (t.plain && copy ? image_bits : 0));
  const Origin mask_from = copy ? Origin{mask_beneath, q.mask_y, 0, ~0} : repeated(t.no_label);
  t.mask_rows = make_rows(mask_from, t.masks, b.mask_y, 0, 1, t.columns * b.mask_bytes, t.rows,
                          b.mask_bytes == 1 ? kFewThreads : kTileThreads / 2,
                          out_bits | (copy ? mask_bits : 0));
  if (!t.masks || !l.labels_gapless) t.mask_rows.threads = 0;
}

__device__ inline void make_tile(const Batch& b, const Layout& l, TilePlace at,
                                 const Source& source, const Sample& p, const Values& values,
                                 Tile& t) {
  t.source = frame_of(source, at.of.frame);
  t.frame = static_cast<uint32_t>(at.of.frame);
  t.p = p;
  t.y0 = at.y0;
  t.x0 = at.x0;
  t.rows = b.h - at.y0 < kTileRows ? b.h - at.y0 : kTileRows;
  t.columns = b.w - at.x0 < l.columns ? b.w - at.x0 : l.columns;
  t.stage = l.stage;
  t.images = b.images + at.of.s * b.image_n + at.of.frame * b.image_t + at.y0 * b.image_y +
             at.x0 * b.image_x;
  t.masks = b.masks ? b.masks + at.of.s * b.mask_n + at.of.frame * b.mask_t + at.y0 * b.mask_y +
                          at.x0 * b.mask_x
                    : nullptr;
  const Rectangle &window = p.window, &thumbnail = p.thumbnail;
  t.source.image += window.y * source.image_y + window.x * source.image_x;
  t.source.mask += window.y * source.mask_y + window.x * source.mask_x;

  auto within = [](int32_t v, int32_t most) { return v < 0 ? 0 : (v < most ? v : most); };
  t.left = within(thumbnail.x - t.x0, t.columns);
  t.right = within(thumbnail.x + thumbnail.width - t.x0, t.columns);
  t.top = within(thumbnail.y - t.y0, t.rows);
  t.bottom = within(thumbnail.y + thumbnail.height - t.y0, t.rows);
  if (t.top >= t.bottom || t.left >= t.right) t.left = t.right = t.top = t.bottom = 0;
  t.whole = t.right - t.left == t.columns && t.bottom - t.top == t.rows;

  const bool same_size = window.width == thumbnail.width && window.height == thumbnail.height;
  const bool antialias_x = shrinks_antialiased(b.antialias, window.width, thumbnail.width);
  const bool antialias_y = shrinks_antialiased(b.antialias, window.height, thumbnail.height);
  const bool black = t.left == t.right;  // then no table is read
  const int32_t columns = black ? 0 : (t.columns + kStrip - 1) / kStrip * kStrip;
  const bool integers = in_integers(b, window, thumbnail);
  t.scale[0] = {window.width,  thumbnail.width, antialias_x, integers, source.image_x,
                source.mask_x, t.left,          t.right,     columns,  t.x0 - thumbnail.x};
  t.scale[1] = {window.height,         thumbnail.height,  antialias_y, integers,
                source.image_y,        source.mask_y,     t.top,       t.bottom,
                black ? 0 : kTileRows, t.y0 - thumbnail.y};
  for (int32_t k = 0; k < 4; ++k) {
    t.black[k] = l.black;
    t.no_label[k] = 0;
  }
  t.resize = b.in_type == b.out_type && same_size ? Resize::none
             : integers                           ? Resize::integers
                                                  : Resize::bilinear;
  find_accesses(b, l, values, t, same_size);
  if (t.resize == Resize::bilinear && (antialias_x || antialias_y || !t.source_aligned)) {
    t.resize = Resize::filter;
  }
  // labels between gaps are written one by one, background too
  t.strips = l.labels_gapless ? make_strips(t.left, t.right, t.top, t.bottom)
                              : make_strips(0, t.columns, 0, t.rows);
}

// Calls work(column, row, channel) for the thread's share of the strips, in each channel.
template <class F>
__device__ void each_strip(const Strips& strips, int32_t channels, F work) {
  const int32_t all = strips.all;
  SASAUG_ROLLED
  for (int32_t i = threadIdx.x; i < channels * all; i += kTileThreads) {
    int32_t strip = i, channel = 0;
    SASAUG_ROLLED
    for (; strip >= all; strip -= all) ++channel;
    const int32_t down = static_cast<int32_t>(strip * strips.reciprocal >> 16);
    work(strips.column + (strip - down * strips.across) * kStrip, strips.row + down * kStrip,
         channel);
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
