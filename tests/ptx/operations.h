// One job: the instructions of PTX as C++ functions of the same name, bit for bit as a GPU's.
//
// translate.py writes `r5 = add<s32>(r3, r4)` for `add.s32 %r5, %r3, %r4`. An instruction that has
// no function here does not compile: nothing is guessed. PTX ISA, chapters "Instruction Set" 9.7.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace ptx {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using b8 = u8;
using b16 = u16;
using b32 = u32;
using b64 = u64;
using f32 = float;
using f64 = double;
using pred = bool;

template <class To, class From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "a float has the size of its register");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// ---- operands: their instruction says how their bits are read ----------------------------------

template <class Bits>
struct Register {
  Bits bits;

  template <class T>
  operator T() const {
    if constexpr (std::is_floating_point<T>::value) {
      return bits_as<T>(bits);
    } else {
      static_assert(sizeof(T) <= sizeof(Bits), "a register is no smaller than what is read of it");
      return static_cast<T>(bits);
    }
  }

  // A narrower integer is extended by its own sign.
  template <class T>
  void operator=(T value) {
    static_assert(sizeof(T) <= sizeof(Bits), "a register holds all that is written to it");
    if constexpr (std::is_floating_point<T>::value) {
      bits = bits_as<Bits>(value);
    } else {
      bits = static_cast<Bits>(value);
    }
  }
};

struct Integer {
  u64 value;
  template <class T>
  operator T() const {
    static_assert(!std::is_floating_point<T>::value, "an integer is not read as a float");
    return static_cast<T>(value);
  }
};

template <class Bits>
struct Float {
  Bits bits;
  template <class T>
  operator T() const {
    return bits_as<T>(bits);
  }
};

// ---- integers: wrapped around, without C++'s undefined behaviour -------------------------------

template <class T>
using Twice = std::conditional_t<std::is_signed<T>::value, __int128, unsigned __int128>;
template <class T>
using Wide =
    std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed<T>::value, s32, u32>,
                       std::conditional_t<std::is_signed<T>::value, s64, u64>>;

// clang-format off
template <class T> T mov(T a) { return a; }
template <class T> T add(T a, T b) { return static_cast<T>(static_cast<u64>(a) + static_cast<u64>(b)); }
template <class T> T sub(T a, T b) { return static_cast<T>(static_cast<u64>(a) - static_cast<u64>(b)); }
template <class T> T mul_lo(T a, T b) { return static_cast<T>(static_cast<u64>(a) * static_cast<u64>(b)); }
template <class T> T mul_hi(T a, T b) { return static_cast<T>(static_cast<Twice<T>>(a) * b >> 8 * sizeof(T)); }
template <class T> Wide<T> mul_wide(T a, T b) { return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b); }
template <class T> T mad_lo(T a, T b, T c) { return add<T>(mul_lo<T>(a, b), c); }
template <class T> T mad_hi(T a, T b, T c) { return add<T>(mul_hi<T>(a, b), c); }
template <class T> Wide<T> mad_wide(T a, T b, Wide<T> c) { return add<Wide<T>>(mul_wide<T>(a, b), c); }
template <class T> T neg(T a) { return sub<T>(0, a); }
template <class T> T not_(T a) { return static_cast<T>(~a); }
template <> inline pred not_<pred>(pred a) { return !a; }
template <class T> T and_(T a, T b) { return a & b; }
template <class T> T or_(T a, T b) { return a | b; }
template <class T> T xor_(T a, T b) { return a ^ b; }
template <class T> u32 popc(T a) { return static_cast<u32>(__builtin_popcountll(a)); }
template <class T> u32 clz(T a) { return a ? static_cast<u32>(__builtin_clzll(a)) - 64 + 8 * sizeof(T) : 8 * sizeof(T); }
template <class T> u32 bfind(T a) { return a ? 63 - static_cast<u32>(__builtin_clzll(a)) : ~0u; }
// clang-format on

// A division by 0 is open; GPUs set all bits.
template <class T>
T div(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if (std::is_signed<T>::value && b == static_cast<T>(-1)) return neg<T>(a);
  return a / b;
}
template <class T>
T rem(T a, T b) {
  return b == 0 ? a : sub<T>(a, mul_lo<T>(div<T>(a, b), b));
}
template <class T>
T shl(T a, u32 n) {
  return n >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<u64>(a) << n);
}
template <class T>
T shr(T a, u32 n) {
  return n >= 8 * sizeof(T) ? static_cast<T>(a < T{0} ? -1 : 0) : static_cast<T>(a >> n);
}
template <class T>
u32 shf_l_wrap(T low, T high, u32 n) {
  return static_cast<u32>(((u64{high} << 32 | low) << (n & 31)) >> 32);
}
template <class T>
u32 shf_r_wrap(T low, T high, u32 n) {
  return static_cast<u32>((u64{high} << 32 | low) >> (n & 31));
}
template <class T>
T bfi(T field, T into, u32 at, u32 length) {
  at &= 255, length &= 255;
  const T ones = length >= 8 * sizeof(T) ? static_cast<T>(~T{0}) : (T{1} << length) - 1;
  const T place = shl<T>(ones, at);
  return (into & ~place) | (shl<T>(field, at) & place);
}
template <class T>
T bfe(T a, u32 at, u32 length) {
  at &= 255, length &= 255;
  const u32 bits = 8 * sizeof(T);
  if (length == 0) return 0;
  if (at + length >= bits) return shr<T>(a, at);  // the rest is the sign, or 0
  return shr<T>(shl<T>(a, bits - at - length), bits - length);
}
template <class T>
u32 prmt(T low, T high, u32 select) {
  const u64 bytes = u64{high} << 32 | low;
  u32 result = 0;
  for (int k = 0; k < 4; ++k) {
    const u32 which = select >> 4 * k & 15, byte = bytes >> 8 * (which & 7) & 255;
    result |= (which < 8 ? byte : (byte & 128 ? 255u : 0u)) << 8 * k;
  }
  return result;
}
template <class T>
T lop3(T a, T b, T c, u32 table) {
  T result = 0;
  for (u32 k = 0; k < 8; ++k) {
    if (table >> k & 1) result |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
  }
  return result;
}

// ---- floats: what rounds says so, and nothing is fused or flushed ------------------------------

inline bool is_nan(f32 a) { return (bits_as<u32>(a) & 0x7FFFFFFF) > 0x7F800000; }
inline bool is_nan(f64 a) { return (bits_as<u64>(a) << 1) > u64{0x7FF} << 53; }

// clang-format off
template <class T> T add_rn(T a, T b) { return a + b; }
template <class T> T sub_rn(T a, T b) { return a - b; }
template <class T> T mul_rn(T a, T b) { return a * b; }
template <class T> T div_rn(T a, T b) { return a / b; }
template <class T> T rcp_rn(T a) { return 1 / a; }
template <class T> T sqrt_rn(T a) { return std::sqrt(a); }
template <> inline f32 neg<f32>(f32 a) { return -a; }
template <> inline f64 neg<f64>(f64 a) { return -a; }
// clang-format on

template <class T>
T abs(T a) {
  if constexpr (std::is_floating_point<T>::value) return std::fabs(a);
  return a < 0 ? neg<T>(a) : a;
}
// The number beside a NaN; -0 is less than 0.
template <class T>
T min(T a, T b) {
  if constexpr (std::is_floating_point<T>::value) {
    if (is_nan(a)) return is_nan(b) ? bits_as<f32>(0x7FFFFFFFu) : b;
    if (is_nan(b)) return a;
    if (a == b) return std::signbit(a) ? a : b;
  }
  return a < b ? a : b;
}
template <class T>
T max(T a, T b) {
  if constexpr (std::is_floating_point<T>::value) {
    if (is_nan(a)) return is_nan(b) ? bits_as<f32>(0x7FFFFFFFu) : b;
    if (is_nan(b)) return a;
    if (a == b) return std::signbit(a) ? b : a;
  }
  return a < b ? b : a;
}

// ---- comparisons: lo, ls, hi, hs of unsigned; a trailing u is true for NaN ---------------------

// clang-format off
template <class T> pred setp_eq(T a, T b) { return a == b; }
template <class T> pred setp_ne(T a, T b) {
  if constexpr (std::is_floating_point<T>::value) return a < b || a > b;
  return a != b;
}
template <class T> pred setp_lt(T a, T b) { return a < b; }
template <class T> pred setp_le(T a, T b) { return a <= b; }
template <class T> pred setp_gt(T a, T b) { return a > b; }
template <class T> pred setp_ge(T a, T b) { return a >= b; }
template <class T> pred setp_equ(T a, T b) { return !(a < b || a > b); }
template <class T> pred setp_neu(T a, T b) { return !(a == b); }
template <class T> pred setp_ltu(T a, T b) { return !(a >= b); }
template <class T> pred setp_leu(T a, T b) { return !(a > b); }
template <class T> pred setp_gtu(T a, T b) { return !(a <= b); }
template <class T> pred setp_geu(T a, T b) { return !(a < b); }
template <class T> pred setp_num(T a, T b) { return !is_nan(a) && !is_nan(b); }
template <class T> pred setp_nan(T a, T b) { return is_nan(a) || is_nan(b); }
template <class T> T selp(T a, T b, pred first) { return first ? a : b; }
// clang-format on

// ---- conversions -------------------------------------------------------------------------------

// Out of range: the nearest. NaN: 0, but the highest bit alone in 64 bits or from a double.
template <class To, class From>
To saturated(From a) {
  using Limits = std::numeric_limits<To>;
  if (is_nan(a)) {
    return sizeof(From) == 8 || sizeof(To) == 8 ? static_cast<To>(u64{1} << (8 * sizeof(To) - 1))
                                                : To{0};
  }
  const From end = std::ldexp(From{1}, Limits::digits);
  if (a >= end) return Limits::max();
  if (a < (Limits::is_signed ? -end : From{0})) return Limits::min();
  return static_cast<To>(a);
}

// clang-format off
template <class To, class From> To cvt(From a) {
  static_assert(std::is_floating_point<To>::value == std::is_floating_point<From>::value, "");
  return static_cast<To>(a);
}
template <class To, class From> To cvt_rn(From a) {
  static_assert(std::is_floating_point<To>::value, "");
  return static_cast<To>(a);
}
template <class To, class From> To cvt_rzi(From a) { return saturated<To>(std::trunc(a)); }
template <class To, class From> To cvt_rni(From a) { return saturated<To>(std::nearbyint(a)); }
template <class To, class From> To cvt_rmi(From a) { return saturated<To>(std::floor(a)); }
template <class To, class From> To cvt_rpi(From a) { return saturated<To>(std::ceil(a)); }
// clang-format on

}  // namespace ptx
