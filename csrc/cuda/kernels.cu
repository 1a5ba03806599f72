// One job: the whole operation for every pixel, on the GPU, on the caller's stream.
//
// Loops, launches and their errors only: what a thread does is in roi_count.h and tile_thread.h.
// Nothing is allocated, copied or waited for, so that the launches may be captured in a CUDA graph.
// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "cuda/cuda.h"
#include "cuda/tile_thread.h"

namespace sasaug {
namespace {

constexpr int64_t kMostBlocks = 0x7FFFFFFF;  // of a launch, along x

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or the next call would report it again
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorName(error) + ", " +
                           cudaGetErrorString(error));
}

// Makes the caller's device current, then the one that was.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    check(cudaGetDevice(&before), "asking for the current CUDA device");
    if (before != device) {
      check(cudaSetDevice(device), "choosing the arrays' CUDA device");
      changed = true;
    }
  }
  ~CurrentDevice() {
    if (changed) cudaSetDevice(before);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before = 0;
  bool changed = false;
};

// A block draws a sample. Its first warp draws it for a small and for a large ROI, while the
// others count which it is.
template <int kBytes>
__global__ void __launch_bounds__(kPlanThreads)
    plan(const __grid_constant__ LaunchParameters<kBytes> parameters) {
  __shared__ Sample drawn[2];
  __shared__ int64_t areas[kPlanThreads / kWarp];
  const Batch& b = parameters.batch;
  const int32_t thread = static_cast<int32_t>(threadIdx.x), warp = thread / kWarp;
  for (int64_t s = blockIdx.x; s < b.n; s += gridDim.x) {
    const Source source = source_of(parameters, s);
    const int64_t enough = enough_area(parameters.inputs.settings, source);
    if (thread < 2) drawn[thread] = draw_one(parameters, s, source, roi_of(source, thread == 1));
    int64_t area = 0;
    if (warp > 0 && enough >= 0) area = roi_part(source, b, thread - kWarp, kPlanThreads - kWarp);
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      area += __shfl_down_sync(0xFFFFFFFFu, area, lanes);
    }
    if (thread % kWarp == 0) areas[warp] = area;
    __syncthreads();
    if (thread == 0) {
      for (int other = 1; other < kPlanThreads / kWarp; ++other) area += areas[other];
      b.plan[s] = parameters.inputs.settings.least_roi > 0 ? draw_one(parameters, s, source, area)
                                                           : drawn[area > enough ? 1 : 0];
    }
    __syncthreads();
  }
}

// A block fills a tile. Three blocks at once are enough threads to hide the memory behind, and
// leave each enough registers.
template <int kBytes>
__global__ void __launch_bounds__(kTileThreads, 3)
    pixels(const __grid_constant__ LaunchParameters<kBytes> parameters) {
  __shared__ Tile facts;
  __shared__ Tables tables;
  const Batch& b = parameters.batch;
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  for (int64_t number = blockIdx.x; number < tile_count(b); number += gridDim.x) {
    if (thread == 0) {
      const TilePlace at = tile_place(b, number);
      facts = make_tile(b, at, source_of(parameters, at.s), sample_of(parameters, at.s));
    }
    __syncthreads();
    const TileThread tile(b, facts);
    if (tile.plain()) {
      tile.fill_plain(thread);
    } else {
      tile.fill_tables(thread, tables);
      __syncthreads();
      tile.fill_pixels(thread, tables);
    }
    __syncthreads();
  }
}

unsigned blocks(int64_t wanted) {
  return static_cast<unsigned>(wanted < kMostBlocks ? wanted : kMostBlocks);
}

template <int kBytes>
void launch_plan(const LaunchParameters<kBytes>& parameters, cudaStream_t stream) {
  plan<<<blocks(parameters.batch.n), kPlanThreads, 0, stream>>>(parameters);
  check(cudaGetLastError(), "launching the kernel that draws the plan");
}

template <int kBytes>
void launch_pixels(const LaunchParameters<kBytes>& parameters, cudaStream_t stream) {
  const Batch& b = parameters.batch;
  if (b.h == 0 || b.w == 0) return;
  pixels<<<blocks(tile_count(b)), kTileThreads, 0, stream>>>(parameters);
  check(cudaGetLastError(), "launching the kernel that fills the canvases");
}

}  // namespace

bool cuda_available() {
  int devices = 0;
  const bool found = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  cudaGetLastError();
  return found;
}

void plan_cuda(const Batch& batch, const PlanInputs& inputs, CudaStream at) {
  const CurrentDevice device(at.device);
  for_each_launch<kSmallTable, kLargeTable>(batch, &inputs, [&](const auto& parameters) {
    launch_plan(parameters, static_cast<cudaStream_t>(at.stream));
  });
}

void sas_cuda(const Batch& batch, const PlanInputs* inputs, CudaStream at) {
  const CurrentDevice device(at.device);
  for_each_launch<kSmallTable, kLargeTable>(batch, inputs, [&](const auto& parameters) {
    if (inputs) launch_plan(parameters, static_cast<cudaStream_t>(at.stream));
    launch_pixels(parameters, static_cast<cudaStream_t>(at.stream));
  });
}

}  // namespace sasaug
