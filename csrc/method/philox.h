// One job: (key, counter) -> four random words, by Philox4x32-10.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/platform.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

struct Words {
  uint32_t w[4];
};

constexpr uint32_t kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;  // the paper's table 2
constexpr uint32_t kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;  // golden ratio, sqrt(3) - 1

SASAUG_HD Words philox4x32(Words c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxM0} * c.w[0];
    const uint64_t p1 = uint64_t{kPhiloxM1} * c.w[2];
    c = Words{{static_cast<uint32_t>(p1 >> 32) ^ c.w[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ c.w[3] ^ k1, static_cast<uint32_t>(p0)}};
    k0 += kPhiloxW0;
    k1 += kPhiloxW1;
  }
  return c;
}

// The counter space: word 0 is the block, words 1 and 2 the sample id, word 3 says what for, and
// for which frame of a clip in its upper half: frame 0 has the numbers of an image.
enum class Purpose : uint32_t { plan = 0, normal = 1, uniform = 2 };

SASAUG_HD Words counter(uint32_t block, uint64_t id, Purpose purpose, uint32_t channel,
                        uint32_t frame = 0) {
  return Words{{block, static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32),
                (frame << 16) | (static_cast<uint32_t>(purpose) << 8) | channel}};
}

SASAUG_HD Words philox4x32(Words c, uint64_t seed) {
  return philox4x32(c, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
