// One job: the noise kinds, and the list of them.
//
// To add one: write its struct here, name it in `Noises`, and write its twin in reference.py.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "method/pixel.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

// The random numbers that a kind needs for each pixel; the caller draws no others.
enum Draws : int { kNormal = 1, kUniform = 2 };

// The random numbers of N pixels: n ~ N(0, 1), and a uniform word independent of it.
struct Random {
  const float* n;        // [N], where the kind draws kNormal
  const uint32_t* word;  // [N], where the kind draws kUniform
};

struct Noise {
  float strength;        // in the kind's own unit, below
  float salt_vs_pepper;  // share of the hit pixels that become full scale
};

// A kind changes N values x in place; x and `full` are in the stored unit (grey levels, or 1 for
// floats). The caller clips to [0, full] and rounds. `lowest` and `highest` are the strengths
// allowed; `usual` is the default range of SAS.

// x + std * full * n. std: of full scale. 0 is the identity.
struct Gaussian {
  static constexpr const char* name = "gaussian";
  static constexpr const char* strength = "std";
  static constexpr const char* formula = "v + std * n, n ~ N(0, 1)";
  static constexpr double lowest = 0, highest = 1e30, identity = 0;
  static constexpr double usual[2] = {0.05, 0.15};
  static constexpr int draws = kNormal;

  template <int N>
  SASAUG_HD static void apply(float* x, Random random, float full, Noise noise) {
    const float std = noise.strength * full;
    for (int i = 0; i < N; ++i) x[i] = x[i] + std * random.n[i];
  }
};

// x + x * std * n. std: relative to the pixel, no unit. 0 is the identity.
struct Speckle {
  static constexpr const char* name = "speckle";
  static constexpr const char* strength = "std";
  static constexpr const char* formula = "v + v * std * n, n ~ N(0, 1)";
  static constexpr double lowest = 0, highest = 1e30, identity = 0;
  static constexpr double usual[2] = {0.05, 0.25};
  static constexpr int draws = kNormal;

  template <int N>
  SASAUG_HD static void apply(float* x, Random random, float, Noise noise) {
    const float std = noise.strength;
    for (int i = 0; i < N; ++i) x[i] = x[i] + x[i] * (std * random.n[i]);
  }
};

// With probability `amount` a pixel becomes full scale (share salt_vs_pepper) or 0.
struct SaltPepper {
  static constexpr const char* name = "salt_pepper";
  static constexpr const char* strength = "amount";
  static constexpr const char* formula =
      "with probability amount, v becomes 1 (probability salt_vs_pepper) or 0";
  static constexpr double lowest = 0, highest = 1, identity = 0;
  static constexpr double usual[2] = {0.01, 0.1};
  static constexpr int draws = kUniform;

  template <int N>
  SASAUG_HD static void apply(float* x, Random random, float full, Noise noise) {
    const float hit = noise.strength, salt = noise.strength * noise.salt_vs_pepper;
    for (int i = 0; i < N; ++i) {
      const float u = uniform(random.word[i]);
      const float extreme = u < salt ? full : 0.0f;
      x[i] = u < hit ? extreme : x[i];
    }
  }
};

// Poisson(peak * x / full) / peak * full. peak: expected photons at full scale.
// Infinity is the identity. x is clipped to [0, full] first: a rate is not negative.
struct Poisson {
  static constexpr const char* name = "poisson";
  static constexpr const char* strength = "peak";
  static constexpr const char* formula = "Poisson(peak * v) / peak";
  static constexpr double lowest = 1e-6, highest = kHighestRate, identity = HUGE_VAL;
  static constexpr double usual[2] = {32, 256};
  static constexpr int draws = kNormal | kUniform;

  // Which draws `apply` uses for the chosen of N values: the word for low rates, n for others.
  template <int N>
  SASAUG_HD static int used(const float* x, const uint8_t* chosen, float full, Noise noise) {
    if (!(noise.strength <= kHighestRate)) return 0;
    const float photons = noise.strength / full;
    int32_t any_high = 0, any_low = 0;
    for (int i = 0; i < N; ++i) {
      const int32_t is_low = clip(x[i], full) * photons < kLowestRate ? 1 : 0;
      any_low |= is_low & chosen[i];
      any_high |= (1 - is_low) & chosen[i];
    }
    return (any_high != 0 ? kNormal : 0) | (any_low != 0 ? kUniform : 0);
  }

  template <int N>
  SASAUG_HD static void apply(float* x, Random random, float full, Noise noise) {
    if (!(noise.strength <= kHighestRate)) return;
    const float photons = noise.strength / full, photon = full / noise.strength;
    float rate[N], low_rate[N];
    int32_t high[N], low[N];
    int32_t any_high = 0, any_low = 0;
    // separate loops: the compiler vectorises each of them, but not one loop that does all
    for (int i = 0; i < N; ++i) rate[i] = clip(x[i], full) * photons;
    for (int i = 0; i < N; ++i) {
      any_high |= rate[i] < kLowestRate ? 0 : 1;
      any_low |= rate[i] < kLowestRate ? 1 : 0;
      low_rate[i] = rate[i] < kLowestRate ? rate[i] : 0.0f;
      high[i] = low[i] = 0;
    }
    if (any_high != 0) {
      for (int i = 0; i < N; ++i) {
        high[i] = poisson_high(rate[i] > kLowestRate ? rate[i] : kLowestRate, random.n[i]);
      }
      for (int i = 0; i < N; ++i) high[i] = rate[i] < kLowestRate ? 0 : high[i];
    }
    if (any_low != 0) poisson_low<N>(low_rate, random.word, low);
    for (int i = 0; i < N; ++i) x[i] = static_cast<float>(high[i] + low[i]) * photon;
  }
};

template <class... K>
struct NoiseList {
  static constexpr int count = sizeof...(K);

  // Calls f(K{}) for the kind whose place in the list is `kind`; ignores other numbers.
  template <class F>
  SASAUG_HD static void visit(int kind, F&& f) {
    int place = 0;
    ((place++ == kind ? f(K{}) : void()), ...);
  }

  template <class F>
  static void for_each(F&& f) {
    (f(K{}), ...);
  }
};

// A kind's number is its place here; appending keeps the numbers, and with them the random stream.
using Noises = NoiseList<Gaussian, Speckle, SaltPepper, Poisson>;

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
