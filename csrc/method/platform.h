// One job: let one source compile for host and device.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __CUDACC__
#define SASAUG_HD __host__ __device__ inline
#else
#define SASAUG_HD inline
#endif

// For functions that loops call for each pixel: a call that is left in a loop keeps it from
// becoming vectors, and GCC leaves some where a source file is large.
#if defined(__GNUC__) && !defined(__CUDACC__)
#define SASAUG_HD_INLINED SASAUG_HD __attribute__((always_inline))
#else
#define SASAUG_HD_INLINED SASAUG_HD
#endif

// The CPU loop is compiled once per instruction set. Each copy of the headers' functions lives in a
// namespace of its own, or the linker would merge them and run AVX-512 code on a machine without.
#ifndef SASAUG_VARIANT
#define SASAUG_VARIANT baseline
#endif
