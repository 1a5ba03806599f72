// One job: stand in for kernels.cu where there is no GPU: its kernels as loops on the host.
//
// Every function that a GPU's thread calls is called as it is there. What a GPU leaves open is made
// hostile: the threads of a phase come in a scrambled order, shared memory starts as garbage. A
// grid and a table far too small make the loops over tiles and shares turn.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <memory>

#include "cuda/cuda.h"
#include "cuda/tile_thread.h"

namespace sasaug {
namespace {

constexpr int64_t kMostBlocks = 3;
constexpr int kTinyTable = 192, kTightTable = 320;
constexpr int64_t kRealTables = 64;  // batches of more samples get the tables of a real launch

template <class Work>
void every_thread(int32_t threads, Work work) {
  for (int32_t k = 0; k < threads; ++k) work((k * 77 + 13) % threads);  // 77 shares no factor
}

template <class T>
void poison(T& memory) {
  memset(static_cast<void*>(&memory), 0xA5, sizeof memory);
}

template <class LaunchParameters>
void launch_plan(const LaunchParameters& parameters) {
  const Batch& b = parameters.batch;
  for (int64_t block = 0; block < kMostBlocks; ++block) {
    for (int64_t s = block; s < b.n; s += kMostBlocks) {
      const Source source = source_of(parameters, s);
      const int64_t enough = enough_area(parameters.inputs.settings, source);
      Sample drawn[2];
      int64_t area = 0;
      poison(drawn);
      every_thread(kPlanThreads, [&](int32_t thread) {
        if (thread < 2)
          drawn[thread] = draw_one(parameters, s, source, roi_of(source, thread == 1));
        if (thread < kWarp || enough < 0) return;
        area += roi_part(source, b, thread - kWarp, kPlanThreads - kWarp);
      });
      b.plan[s] = parameters.inputs.settings.least_roi > 0 ? draw_one(parameters, s, source, area)
                                                           : drawn[area > enough ? 1 : 0];
    }
  }
}

template <class LaunchParameters>
void launch_pixels(const LaunchParameters& parameters) {
  const Batch& b = parameters.batch;
  if (b.h == 0 || b.w == 0) return;
  Tile facts;
  Tables tables;
  for (int64_t block = 0; block < kMostBlocks; ++block) {
    for (int64_t number = block; number < tile_count(b); number += kMostBlocks) {
      poison(tables);
      const TilePlace at = tile_place(b, number);
      facts = make_tile(b, at, source_of(parameters, at.s), sample_of(parameters, at.s));
      const TileThread tile(b, facts);
      if (tile.plain()) {
        every_thread(kTileThreads, [&](int32_t thread) { tile.fill_plain(thread); });
        continue;
      }
      every_thread(kTileThreads, [&](int32_t thread) { tile.fill_tables(thread, tables); });
      every_thread(kTileThreads, [&](int32_t thread) { tile.fill_pixels(thread, tables); });
    }
  }
}

template <class Launch>
void for_each_tight_launch(const Batch& batch, const PlanInputs* inputs, Launch launch) {
  if (batch.n > kRealTables) {
    for_each_launch<kSmallTable, kLargeTable>(batch, inputs, launch);
  } else {
    for_each_launch<kTinyTable, kTightTable>(batch, inputs, launch);
  }
}

// Parameters are copied at the launch: nothing may point into them.
template <class LaunchParameters>
std::unique_ptr<const LaunchParameters> as_parameters(const LaunchParameters& parameters) {
  static_assert(sizeof(LaunchParameters) <= kMostParameterBytes, "CUDA refuses more");
  return std::make_unique<const LaunchParameters>(parameters);
}

}  // namespace

bool cuda_available() { return true; }

void plan_cuda(const Batch& batch, const PlanInputs& inputs, CudaStream) {
  for_each_tight_launch(batch, &inputs,
                        [](const auto& parameters) { launch_plan(*as_parameters(parameters)); });
}

void sas_cuda(const Batch& batch, const PlanInputs* inputs, CudaStream) {
  for_each_tight_launch(batch, inputs, [&](const auto& parameters) {
    if (inputs) launch_plan(*as_parameters(parameters));
    launch_pixels(*as_parameters(parameters));
  });
}

}  // namespace sasaug
