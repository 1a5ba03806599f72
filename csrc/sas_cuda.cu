// One job: the whole operation for every pixel, on the GPU, on the caller's stream.
//
// Loops, launches and their errors only: what a thread does is in area.h and tile.h. Nothing is
// allocated, copied or waited for, so that the launches may be captured in a CUDA graph.
// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "sas_cuda.h"
#include "tile.h"

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
    check(cudaGetDevice(&before_), "asking for the current CUDA device");
    if (before_ != device) {
      check(cudaSetDevice(device), "choosing the arrays' CUDA device");
      changed_ = true;
    }
  }
  ~CurrentDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

// A block draws a sample. Its first warp draws it for a small and for a large ROI, while the
// others count which it is.
template <int kBytes>
__global__ void __launch_bounds__(kPlanThreads) plan(const __grid_constant__ Share<kBytes> share) {
  __shared__ Sample drawn[2];
  __shared__ int64_t areas[kPlanThreads / kWarp];
  const Batch& b = share.batch;
  const int32_t thread = static_cast<int32_t>(threadIdx.x), warp = thread / kWarp;
  for (int64_t s = blockIdx.x; s < b.n; s += gridDim.x) {
    const Source source = source_of(share, s);
    const int64_t enough = enough_area(share.drawing.settings, source);
    if (thread < 2) drawn[thread] = draw_one(share, s, source, roi_of(source, thread == 1));
    int64_t area = 0;
    if (warp > 0 && enough >= 0) area = roi_part(source, b, thread - kWarp, kPlanThreads - kWarp);
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      area += __shfl_down_sync(0xFFFFFFFFu, area, lanes);
    }
    if (thread % kWarp == 0) areas[warp] = area;
    __syncthreads();
    if (thread == 0) {
      for (int other = 1; other < kPlanThreads / kWarp; ++other) area += areas[other];
      b.plan[s] = drawn[area > enough ? 1 : 0];
    }
    __syncthreads();
  }
}

// A block fills a tile. Three blocks at once are enough threads to hide the memory behind, and
// leave each enough registers.
template <int kBytes>
__global__ void __launch_bounds__(kTileThreads, 3)
    pixels(const __grid_constant__ Share<kBytes> share) {
  __shared__ TileFacts facts;
  __shared__ Tables tables;
  const Batch& b = share.batch;
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  for (int64_t number = blockIdx.x; number < tile_count(b); number += gridDim.x) {
    if (thread == 0) {
      const TilePlace at = tile_place(b, number);
      facts = tile_facts(b, at, source_of(share, at.s), sample_of(share, at.s));
    }
    __syncthreads();
    const Tile tile(b, facts);
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
void launch_plan(const Share<kBytes>& share, cudaStream_t stream) {
  plan<<<blocks(share.batch.n), kPlanThreads, 0, stream>>>(share);
  check(cudaGetLastError(), "launching the kernel that draws the plan");
}

template <int kBytes>
void launch_pixels(const Share<kBytes>& share, cudaStream_t stream) {
  const Batch& b = share.batch;
  if (b.h == 0 || b.w == 0) return;
  pixels<<<blocks(tile_count(b)), kTileThreads, 0, stream>>>(share);
  check(cudaGetLastError(), "launching the kernel that fills the canvases");
}

}  // namespace

bool cuda_available() {
  int devices = 0;
  const bool found = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  cudaGetLastError();
  return found;
}

void plan_cuda(const Batch& batch, const Drawing& drawing, CudaStream at) {
  const CurrentDevice device(at.device);
  share_out<kSmallTable, kLargeTable>(batch, &drawing, [&](const auto& share) {
    launch_plan(share, static_cast<cudaStream_t>(at.stream));
  });
}

void sas_cuda(const Batch& batch, const Drawing* drawing, CudaStream at) {
  const CurrentDevice device(at.device);
  share_out<kSmallTable, kLargeTable>(batch, drawing, [&](const auto& share) {
    if (drawing) launch_plan(share, static_cast<cudaStream_t>(at.stream));
    launch_pixels(share, static_cast<cudaStream_t>(at.stream));
  });
}

}  // namespace sasaug
