// One job: random words -> uniform, normal and Poisson numbers.
//
// Everything is float32 with separate multiply and add in the order written, so that every
// compiler, instruction set, GPU and NumPy give the same bits. The coefficients are fitted by
// tools/fit_coefficients.py. Each draw consumes a fixed number of words.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "method/philox.h"

namespace sasaug {
inline namespace SASAUG_VARIANT {

SASAUG_HD float bits_to_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

SASAUG_HD uint32_t float_to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

// Multiples of 2^-24 in [0, 1): `uniform(w) < p` is never true for p = 0 and always for p = 1.
SASAUG_HD float uniform(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// 0 .. n - 1, each with probability 1/n up to 2^-32.
SASAUG_HD int32_t uniform_integer(uint32_t word, int32_t n) {
  return static_cast<int32_t>((uint64_t{word} * static_cast<uint32_t>(n)) >> 32);
}

// ln(u) for u in [2^-32, 1]; relative error below 2e-7.
SASAUG_HD_INLINED float natural_log(float u) {
  const uint32_t bits = float_to_bits(u);
  const int32_t exponent = static_cast<int32_t>(bits - 0x3F3504F3u) >> 23;  // 1 + f >= sqrt(1/2)
  const float f = bits_to_float(bits - (static_cast<uint32_t>(exponent) << 23)) - 1.0f;
  float q = -0.07634532f;
  q = q * f + 0.12761737f;
  q = q * f - 0.1316025f;
  q = q * f + 0.14201744f;
  q = q * f - 0.1662335f;
  q = q * f + 0.20001227f;
  q = q * f - 0.25000823f;
  q = q * f + 0.3333333f;
  const float f2 = f * f;
  return static_cast<float>(exponent) * 0.6931472f + (f + (f2 * f * q - 0.5f * f2));
}

// exp(-x) for x in [0, 80]; relative error below 2e-7.
SASAUG_HD_INLINED float exp_negative(float x) {
  const int32_t halvings = static_cast<int32_t>(x * 1.442695f + 0.5f);
  const float n = static_cast<float>(halvings);
  const float r = (n * 0.693359375f - x) - n * 2.1219444e-4f;  // n ln 2 - x, in two exact parts
  float e = 0.0013951706f;
  e = e * r + 0.008369586f;
  e = e * r + 0.041666187f;
  e = e * r + 0.16666514f;
  e = e * r + 0.5f;
  const float power = 1.0f + (r + r * r * e);
  return power * bits_to_float(static_cast<uint32_t>(127 - halvings) << 23);
}

// Two independent N(0, 1) from two words: Box and Muller (Ann. Math. Stat. 29, 1958).
// |n| <= 6.67; the angle has 2^30 steps a quadrant, the radius 2^31 levels.
SASAUG_HD_INLINED void normal_pair(uint32_t radius_word, uint32_t angle_word, float& n0,
                                   float& n1) {
  const float u = (static_cast<float>(static_cast<int32_t>(radius_word >> 1)) + 0.5f) * 0x1p-31f;
  const float radius = sqrtf(-2.0f * natural_log(u));

  const uint32_t quadrant = (angle_word + 0x20000000u) >> 30;
  const float x = static_cast<float>(static_cast<int32_t>(angle_word - (quadrant << 30))) *
                  1.4629181e-9f;  // pi/2 * 2^-30: |x| <= pi/4
  const float x2 = x * x;
  const float sine = x + x * x2 * ((-0.00019517346f * x2 + 0.008332179f) * x2 - 0.16666655f);
  const float cosine =
      (1.0f - 0.5f * x2) + x2 * x2 * ((2.4438472e-05f * x2 - 0.0013887368f) * x2 + 0.041666646f);

  // a quarter turn swaps them, a half turn changes both signs
  const bool swap = (quadrant & 1u) != 0;
  const uint32_t sign0 = ((quadrant + 1u) & 2u) << 30, sign1 = (quadrant & 2u) << 30;
  n0 = radius * bits_to_float(float_to_bits(swap ? sine : cosine) ^ sign0);
  n1 = radius * bits_to_float(float_to_bits(swap ? cosine : sine) ^ sign1);
}

// Poisson counts. Above kLowestRate a count is the inverse distribution function at the normal's
// quantile, by Temme's uniform expansion (tools/fit_coefficients.py): |CDF error| < 2e-6 for every
// rate. Below, the probabilities are summed in units of 2^-30 until they pass the word.
constexpr float kLowestRate = 16.0f;
constexpr float kHighestRate = 0x1p30f;

SASAUG_HD_INLINED int32_t poisson_high(float rate, float n) {
  const float root = sqrtf(rate);
  const float inverse_root = 1.0f / root;
  const float s = n * inverse_root;
  float p = 0.0005536106f;
  p = p * s - 0.00060310937f;
  p = p * s - 2.244667e-05f;
  p = p * s - 0.0011438316f;
  p = p * s + 0.003935096f;
  p = p * s - 0.013940902f;
  p = p * s + 0.1666515f;
  float c0 = 0.0010448179f;
  c0 = c0 * s + 0.0016097039f;
  c0 = c0 * s - 0.0032304614f;
  c0 = c0 * s + 0.008402437f;
  c0 = c0 * s - 0.027741786f;
  c0 = c0 * s + 0.3333432f;
  const float c1 =
      ((-0.012865625f * s + 0.017709587f) * s - 0.019826496f) * (inverse_root * inverse_root);
  const int32_t whole = static_cast<int32_t>(rate);  // apart, so that large rates lose nothing
  const float rest = (rate - static_cast<float>(whole)) + (n * root + (n * n * p + (c0 + c1)));
  const int32_t truncated = static_cast<int32_t>(rest);
  const int32_t floored = truncated - (rest < static_cast<float>(truncated) ? 1 : 0);
  const int32_t count = whole + floored;
  return count > 0 ? count : 0;
}

constexpr int32_t kMostCounts = 64;  // 2^-30 P(k) vanishes before, for rates below kLowestRate

// Lanes advance together, so that the CPU's vectors and a GPU thread's pixels share this loop.
// A lane is finished once its word is passed; the others' further steps leave it unchanged.
template <int N>
SASAUG_HD void poisson_low(const float* rate, const uint32_t* word, int32_t* count) {
  float probability[N];
  int32_t sum[N];
  for (int i = 0; i < N; ++i) {
    probability[i] = exp_negative(rate[i]) * 0x1p30f;
    sum[i] = 0;
    count[i] = 0;
  }
  int32_t unfinished = 1;
  for (int start = 1; start <= kMostCounts && unfinished != 0; start += 4) {
    // four steps for each test, which costs as much as one
    for (int step = start; step < start + 4; ++step) {
      const float reciprocal = 1.0f / static_cast<float>(step);
      unfinished = 0;
      for (int i = 0; i < N; ++i) {
        const int32_t part = static_cast<int32_t>(probability[i]);
        sum[i] += part;
        const int32_t more = (static_cast<int32_t>(word[i] >> 2) >= sum[i] && part > 0) ? 1 : 0;
        count[i] += more;
        unfinished |= more;
        probability[i] *= rate[i] * reciprocal;
      }
    }
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
