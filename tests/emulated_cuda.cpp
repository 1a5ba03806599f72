// One job: stand in for sas_cuda.cu where there is no GPU: its kernels as loops on the host.
//
// Every function that a GPU's thread calls is called as it is there. What a GPU leaves open is made
// hostile: the threads of a phase come in a scrambled order, shared memory starts as garbage. A
// grid and a table far too small make the loops over tiles and shares turn.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <memory>

#include "sas_cuda.h"
#include "tile.h"

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

template <class Share>
void launch_plan(const Share& share) {
  const Batch& b = share.batch;
  for (int64_t block = 0; block < kMostBlocks; ++block) {
    for (int64_t s = block; s < b.n; s += kMostBlocks) {
      const Source source = source_of(share, s);
      const int64_t enough = enough_area(share.drawing.settings, source);
      Sample drawn[2];
      int64_t area = 0;
      poison(drawn);
      every_thread(kPlanThreads, [&](int32_t thread) {
        if (thread < 2) drawn[thread] = draw_one(share, s, source, roi_of(source, thread == 1));
        if (thread < kWarp || enough < 0) return;
        area += roi_part(source, b, thread - kWarp, kPlanThreads - kWarp);
      });
      b.plan[s] = drawn[area > enough ? 1 : 0];
    }
  }
}

template <class Share>
void launch_pixels(const Share& share) {
  const Batch& b = share.batch;
  if (b.h == 0 || b.w == 0) return;
  TileFacts facts;
  Tables tables;
  for (int64_t block = 0; block < kMostBlocks; ++block) {
    for (int64_t number = block; number < tile_count(b); number += kMostBlocks) {
      poison(tables);
      const TilePlace at = tile_place(b, number);
      facts = tile_facts(b, at, source_of(share, at.s), sample_of(share, at.s));
      const Tile tile(b, facts);
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
void share_out_tightly(const Batch& batch, const Drawing* drawing, Launch launch) {
  if (batch.n > kRealTables) {
    share_out<kSmallTable, kLargeTable>(batch, drawing, launch);
  } else {
    share_out<kTinyTable, kTightTable>(batch, drawing, launch);
  }
}

// Parameters are copied at the launch: nothing may point into them.
template <class Share>
std::unique_ptr<const Share> as_parameters(const Share& share) {
  static_assert(sizeof(Share) <= kMostParameterBytes, "CUDA refuses more");
  return std::make_unique<const Share>(share);
}

}  // namespace

bool cuda_available() { return true; }

void plan_cuda(const Batch& batch, const Drawing& drawing, CudaStream) {
  share_out_tightly(batch, &drawing, [](const auto& share) { launch_plan(*as_parameters(share)); });
}

void sas_cuda(const Batch& batch, const Drawing* drawing, CudaStream) {
  share_out_tightly(batch, drawing, [&](const auto& share) {
    if (drawing) launch_plan(*as_parameters(share));
    launch_pixels(*as_parameters(share));
  });
}

}  // namespace sasaug
