// One job: the CUDA runtime as nvcc's host code calls it, its launches run by machine.cpp.
//
// So what chooses the kernel, packs its parameters and sets grid and stream is the host half of
// kernels.cu as it is.
// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <cstring>
#include <map>
#include <vector>

#include "machine.h"

#define PTX_API extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kDevices = 2;
constexpr uintptr_t kFirstStream = 0x5EED0000;  // of device 0, as Python gives it; then the next's

struct Configuration {
  dim3 grid, block;
  size_t shared;
  void* stream;
};
std::vector<Configuration> pushed;
int current_device = 0;
cudaError_t last_error = cudaSuccess;
unsigned most_blocks = 3;  // a grid far too small makes the kernels' loops turn
int failing = 0;

std::map<const void*, const ptx::Kernel*>& kernels() {  // asked for before main
  static std::map<const void*, const ptx::Kernel*> by_host_function;
  return by_host_function;
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                   void* stream) {
  const auto found = kernels().find(function);
  if (found == kernels().end()) return result(cudaErrorInvalidDeviceFunction);
  const ptx::Kernel& k = *found->second;
  if (failing > 0 && --failing == 0) return result(cudaErrorLaunchOutOfResources);
  if (grid.x < 1 || grid.x > 0x7FFFFFFF || block.x < 1 || block.x > 1024 || block.x % 32 ||
      grid.y * grid.z * block.y * block.z != 1 || shared) {
    ptx::violation("a launch of a shape that is not run here: %u blocks of %u threads", grid.x,
                   block.x);
    return result(cudaErrorInvalidConfiguration);
  }
  if (block.x > k.threads || k.shared_bytes > 48 << 10) {
    ptx::violation("a launch beyond the kernel's bounds: %u threads, %u bytes of shared memory",
                   block.x, k.shared_bytes);
    return result(cudaErrorLaunchOutOfResources);
  }
  if (k.parameter_bytes > 32764) return result(cudaErrorInvalidValue);
  if (reinterpret_cast<uintptr_t>(stream) != kFirstStream + current_device) {
    ptx::violation("a launch on another stream than the caller's, or of another device");
  }
  ptx::launch(k, grid.x < most_blocks ? grid.x : most_blocks, block.x, arguments[0],
              current_device);
  return cudaSuccess;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle[1];
  return handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 0; }
void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  for (int i = 0; i < ptx::kKernelCount; ++i) {
    if (!strcmp(ptx::kKernels[i].name, name)) kernels()[function] = &ptx::kKernels[i];
  }
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void* stream) {
  pushed.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration last = pushed.back();
  pushed.pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  *static_cast<void**>(stream) = last.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               size_t shared, cudaStream_t stream) {
  return launch(reinterpret_cast<const void*>(kernel), grid, block, arguments, shared, stream);
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             size_t shared, cudaStream_t stream) {
  return launch(function, grid, block, arguments, shared, stream);
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return result(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetLastError(void) {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorLaunchOutOfResources ? "cudaErrorLaunchOutOfResources" : "cudaError";
}
const char* cudaGetErrorString(cudaError_t) { return "an error of the played device"; }

}  // extern "C"

PTX_API void ptx_set_most_blocks(unsigned blocks) { most_blocks = blocks; }
PTX_API void ptx_fail_launch(int number) { failing = number; }
PTX_API int ptx_current_device() { return current_device; }
