// One job: the whole operation for every pixel, on the GPU, on the caller's stream.
//
// Loops, launches and their errors only; README.md says what a block and a thread do.
// Nothing is allocated, copied or waited for, so that the launches may be captured in a CUDA graph.
// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "cuda/canvas.h"
#include "cuda/cuda.h"
#include "cuda/launch_parameters.h"
#include "cuda/noise_columns.h"
#include "cuda/roi_count.h"
#include "cuda/strips.h"

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

// A block draws a sample, both as a small and as a large one. Whether it is large decides if it is
// transformed, so the mask is counted where the two differ, and no others.
// One block a multiprocessor is enough, and leaves the draws their registers.
template <int kBytes>
__global__ void __launch_bounds__(kPlanThreads, 1)
    plan(const __grid_constant__ LaunchParameters<kBytes> parameters) {
  __shared__ Sample drawn[2];
  __shared__ Source source;
  __shared__ int64_t enough;
  __shared__ RoiArea area;
  const Batch& b = parameters.batch;
  const PlanSettings& settings = parameters.inputs.settings;
  const bool needs_area = settings.least_roi > 0;  // itself, not a comparison
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  for (int64_t s = blockIdx.x; s < b.n; s += gridDim.x) {
    if (thread < 2) {
      const Source own = source_of(parameters, s);
      drawn[thread] = draw_one(parameters, s, own, thread == 0 ? 0 : image_area(own));
      if (thread == 0) {
        source = own;
        enough = enough_area(settings, own);
        area = 0;
      }
    }
    __syncthreads();
    bool large = false;
    if (needs_area || drawn[0].transformed != drawn[1].transformed) {
      with_label(b.mask_bytes, [&](auto tag) {
        SASAUG_ROLLED
        for (int32_t frame = 0; frame < source.frames && !large; ++frame) {
          large = roi_exceeds<decltype(tag)>(frame_of(source, frame), b, enough, area);
        }
      });
    }
    if (thread == 0) {
      b.plan[s] = needs_area ? draw_one(parameters, s, source, static_cast<int64_t>(area))
                             : drawn[large ? 1 : 0];
    }
    __syncthreads();
  }
}

// What a phase needs, and the phases after it do not.
union Scratch {
  Tables tables;
  LowRates low;
};

// A block fills a tile, phase by phase.
template <int kBytes>
__global__ void __launch_bounds__(kTileThreads, 2)
    pixels(const __grid_constant__ LaunchParameters<kBytes> parameters) {
  __shared__ Tile tile;
  __shared__ Scratch scratch;
  __shared__ NoisyColumns noisy;
  __shared__ Values values;
  const Batch& b = parameters.batch;
  const Layout& l = parameters.layout;
  __shared__ int64_t number;
  if (threadIdx.x == 0) number = blockIdx.x;  // there are no more blocks than tiles
  do {
    if (threadIdx.x == 0) {
      const TilePlace at = tile_place(b, l, number);
      make_tile(b, l, at, source_of(parameters, at.of.s), sample_of(parameters, at.of.s), values,
                tile);
      number += gridDim.x;
      tile.more = number < l.tiles;
      noisy.count = 0;
    }
    __syncthreads();
    if (tile.plain) {
      fill_plain(tile);
    } else {
      fill_tables(tile, scratch.tables);
      fill_black(l, tile, values);
      __syncthreads();
      fill_strips(b, tile, scratch.tables, noisy, values);
      __syncthreads();
      if (noisy.count > 0) {
        add_noise(b, l, tile, noisy, values, scratch.low);
        __syncthreads();
      }
      write_canvas(b, l, tile, values);
    }
    const bool more = tile.more;
    __syncthreads();
    if (!more) return;
  } while (true);
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
  if (b.frames == 0 || b.h == 0 || b.w == 0) return;
  pixels<<<blocks(parameters.layout.tiles), kTileThreads, 0, stream>>>(parameters);
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
