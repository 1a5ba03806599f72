// One job: the source pixels of one output pixel after the other, along one axis.
//
// method/thumbnail.h divides for each of them; here one step leads to the next.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/value.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

class Axis {
 public:
  // At output pixel `first`; both sizes are positive.
  Axis(int64_t source_size, int64_t size, int64_t first)
      : n_src(source_size),
        n_dst(size),
        step_whole(n_src / n_dst),
        step_rest(2 * (n_src % n_dst)),
        part(1.0 / static_cast<double>(2 * n_dst)) {
    whole = sasaug::nearest_exact(first, n_src, n_dst);
    rest = (2 * first + 1) * n_src - whole * (2 * n_dst);
  }

  void step() {
    rest += step_rest;
    const bool passed = rest >= 2 * n_dst;
    whole += step_whole + (passed ? 1 : 0);
    rest -= passed ? 2 * n_dst : 0;
  }

  int64_t nearest_exact() const { return whole; }

  Bilinear bilinear() const {
    const bool before = rest < n_dst;  // the centre of the pixel that holds the position
    const int64_t first = whole - (before ? 1 : 0);
    const int64_t beyond = rest + (before ? n_dst : -n_dst);
    if (first < 0) return {0, 0, 0};
    if (beyond == 0 || first + 1 >= n_src) return {first, first, 0};
    return {first, first + 1, beyond};
  }

  // The half keeps the product away from integers by more than its error.
  int32_t fixed_weight(Bilinear at) const {
    const double weight = (static_cast<double>((at.rest << 15) + n_dst) + 0.5) * part;
    return weight < 32767.0 ? static_cast<int32_t>(weight) : 32767;
  }

 private:
  int64_t n_src, n_dst;
  int64_t step_whole, step_rest;  // of the position, in pixels and in 1 / (2 * n_dst)
  double part;
  int64_t whole, rest;
};

// Where a row of the thumbnail lies in the window.
struct RowPlace {
  int64_t label;   // the labels' row
  Bilinear image;  // the pixels' two
  int32_t weight;  // fixed_weight of the second
};

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
