// One job: small kernels with one fault each, for test_ptx.py: the played GPU must find every one.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

struct Arrays {
  const int32_t* in;  // [64]
  int32_t* out;       // [64]
};

#define KERNEL(name) extern "C" __global__ void __launch_bounds__(64) name(const Arrays a)

KERNEL(no_fault) {
  __shared__ int32_t kept[64];
  kept[threadIdx.x] = a.in[threadIdx.x];
  __syncthreads();
  int32_t v = kept[63 - threadIdx.x];
  v += __shfl_down_sync(0xFFFFFFFFu, v, 1) & 0;
  a.out[threadIdx.x] = v;
}

KERNEL(missing_barrier) {
  __shared__ int32_t kept[64];
  kept[threadIdx.x] = a.in[threadIdx.x];
  a.out[threadIdx.x] = *reinterpret_cast<volatile int32_t*>(&kept[63 - threadIdx.x]);
}

KERNEL(written_twice_in_shared_memory) {
  __shared__ int32_t kept[64];
  kept[threadIdx.x / 2] = static_cast<int32_t>(threadIdx.x);
  __syncthreads();
  a.out[threadIdx.x] = kept[threadIdx.x / 2];
}

KERNEL(shared_memory_not_set) {
  __shared__ int32_t kept[64];
  if (threadIdx.x != 5) kept[threadIdx.x] = a.in[threadIdx.x];
  __syncthreads();
  a.out[threadIdx.x] = kept[threadIdx.x];
}

KERNEL(outside_shared_memory) {
  __shared__ int32_t kept[64];
  kept[threadIdx.x] = a.in[threadIdx.x];
  __syncthreads();
  a.out[threadIdx.x] = *reinterpret_cast<volatile int32_t*>(&kept[threadIdx.x + 1]);
}

KERNEL(read_past_an_array) { a.out[threadIdx.x] = a.in[threadIdx.x + 1]; }

KERNEL(write_past_an_array) { a.out[threadIdx.x + 1] = a.in[threadIdx.x]; }

KERNEL(write_to_an_input) { const_cast<int32_t*>(a.in)[threadIdx.x] = 1; }

KERNEL(output_read_before_it_is_written) { a.out[threadIdx.x] += 1; }

KERNEL(misaligned) {
  const char* at = reinterpret_cast<const char*>(a.in) + 2;
  a.out[threadIdx.x] = *reinterpret_cast<const int32_t*>(at + 4 * (threadIdx.x % 32));
}

KERNEL(written_by_two_threads) { a.out[threadIdx.x / 2] = a.in[threadIdx.x]; }

KERNEL(written_by_two_blocks) { a.out[threadIdx.x] = static_cast<int32_t>(blockIdx.x); }

KERNEL(barrier_that_some_leave_out) {
  if (a.in[threadIdx.x] < 32) __syncthreads();
  a.out[threadIdx.x] = 1;
}

KERNEL(shuffle_that_some_leave_out) {
  int32_t v = a.in[threadIdx.x];
  if (v < 16) v = __shfl_down_sync(0xFFFFFFFFu, v, 1);
  a.out[threadIdx.x] = v;
}

KERNEL(loop_without_end) {
  while (*reinterpret_cast<const volatile int32_t*>(a.in) == 0) {
  }
  a.out[threadIdx.x] = 1;
}
