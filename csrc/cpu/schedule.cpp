// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "cpu/cpu.h"
#include "cpu/loops.h"
#include "cpu/pool.h"

namespace sasaug {
namespace {

struct InstructionSet {
  const char* name;
  const CpuLoops* loops;
};

std::vector<InstructionSet> available() {
  std::vector<InstructionSet> sets{{"scalar", &scalar::kLoops}, {"baseline", &baseline::kLoops}};
#ifdef SASAUG_X86
  if (__builtin_cpu_supports("avx2")) sets.push_back({"avx2", &avx2::kLoops});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    sets.push_back({"avx512", &avx512::kLoops});
  }
#endif
  return sets;
}

InstructionSet find(const std::string& name, const char* argument) {
  std::string names;
  for (const InstructionSet& set : available()) {
    if (name == set.name) return set;
    names += (names.empty() ? "" : ", ") + std::string(set.name);
  }
  throw std::invalid_argument(std::string(argument) + " must be one that this machine runs (" +
                              names + "), got '" + name + "'");
}

InstructionSet first_choice() {
  const char* forced = std::getenv("SASAUG_ISA");
  return forced && *forced ? find(forced, "SASAUG_ISA") : available().back();
}

std::atomic<const CpuLoops*> chosen{nullptr};

// Without a lock, which a forked child could find held.
const CpuLoops* loops_in_use() {
  const CpuLoops* none = nullptr;
  if (!chosen) chosen.compare_exchange_strong(none, first_choice().loops);
  return chosen;
}

// Work is counted in pixels resized: about a nanosecond each.
constexpr int64_t kWorkPerThread = 1 << 14;  // from which on waking a thread pays
constexpr int64_t kBytesPerWork = 24;        // copied, cleared or compared in the time of one pixel
constexpr int64_t kWorkPerSample = 1 << 10;  // its draws, tables and row ends

int workers_for(int64_t tasks, int64_t work, int num_threads) {
  int64_t workers = work / kWorkPerThread;
  workers = workers < tasks ? workers : tasks;
  workers = workers < num_threads ? workers : num_threads;
  return workers > 1 ? static_cast<int>(workers) : 1;
}

void draw_one(const CpuLoops& loops, const Batch& b, const PlanInputs& inputs, int64_t s) {
  const Source source = source_of(b, s);
  const int64_t area = loops.roi_area(source, b.mask_bytes, b.label_count, b.labels,
                                      enough_area(inputs.settings, source));
  b.plan[s] = draw_one(b, inputs, s, source, area);
}

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const InstructionSet& set : available()) names.emplace_back(set.name);
  return names;
}

std::string instruction_set() {
  for (const InstructionSet& set : available()) {
    if (set.loops == loops_in_use()) return set.name;
  }
  return "";
}

void use_instruction_set(const std::string& name) { chosen = find(name, "instruction_set").loops; }

void plan_cpu(const Batch& batch, const PlanInputs& inputs, int num_threads) {
  const CpuLoops* loops = loops_in_use();
  const int64_t pixels = batch.n > 0 ? image_area(batch.sources[0]) : 0;
  // counting mostly stops within the first half of a mask
  const int64_t work = batch.n * pixels * batch.mask_bytes / (2 * kBytesPerWork);
  run_tasks(batch.n, workers_for(batch.n, work, num_threads),
            [&](int64_t s, int) { draw_one(*loops, batch, inputs, s); });
}

namespace {

int64_t bytes_per_pixel(const Batch& b) {
  return b.c * int64_t{pixel_bytes(b.out_type)} + b.mask_bytes;
}

// The most that a frame may cost: a thumbnail as large as the canvas, with noise.
int64_t most_work(const Batch& b) {
  const int64_t canvas = b.h * int64_t{b.w};
  return kWorkPerSample + canvas * b.c * 3 / 2 + canvas * bytes_per_pixel(b) / kBytesPerWork;
}

// What a frame of the sample costs.
int64_t work_of(const Batch& b, const Sample& p) {
  const Rectangle &window = p.window, &t = p.thumbnail;
  const int64_t thumbnail = t.width * int64_t{t.height} * b.c;
  const bool resized = window.width != t.width || window.height != t.height;
  int64_t work = kWorkPerSample + b.h * int64_t{b.w} * bytes_per_pixel(b) / kBytesPerWork;
  if (resized) work += b.antialias ? window.width * int64_t{window.height} * b.c : thumbnail;
  if (p.noise >= 0) work += thumbnail / 2;  // a pixel of the ROI costs four; an eighth may be ROI
  return work;
}

// sas_cpu without its first pass.
int64_t fill(const Batch& batch, const PlanInputs* inputs, int num_threads) {
  const CpuLoops* loops = loops_in_use();
  const int32_t bands = (batch.h + kBandRows - 1) / kBandRows;
  const int64_t frames = frame_count(batch);
  // where threads may not pay, the plan comes first: it tells how much there is to do; and before
  // the frames of a clip, which share it
  int64_t work = frames * most_work(batch);
  const bool few = batch.n <= 8 || work < 4 * kWorkPerThread * num_threads;
  const bool planned = !inputs || batch.frames != 1 || (num_threads > 1 && few);
  if (inputs && planned) plan_cpu(batch, *inputs, num_threads);
  if (planned) {
    work = 0;
    for (int64_t s = 0; s < batch.n; ++s) work += batch.frames * work_of(batch, batch.plan[s]);
  }

  // whole frames where there are enough of them, else bands of frames, not less than 16 rows
  const int64_t most = workers_for(frames * ((bands + 3) / 4), work, num_threads);
  const int64_t tasks_wanted = most == 1 ? 1 : 4 * most;
  int64_t parts = frames > 0 ? (tasks_wanted + frames - 1) / frames : 1;
  if (parts > (bands + 3) / 4) parts = bands > 0 ? (bands + 3) / 4 : 1;
  const int workers = workers_for(frames * parts, work, num_threads);
  const bool together = !planned && parts == 1;  // the mask is in the cache still
  if (!planned && !together) plan_cpu(batch, *inputs, num_threads);

  const size_t bytes = (loops->scratch_bytes(batch) + 63) & ~size_t{63};
  const std::unique_ptr<char[]> memory(new char[bytes * static_cast<size_t>(workers) + 64]);
  char* scratch = memory.get();
  scratch += (64 - reinterpret_cast<uintptr_t>(scratch) % 64) % 64;

  std::atomic<int64_t> first_unfit{batch.n};
  run_tasks(frames * parts, workers, [&](int64_t task, int worker) {
    const int64_t number = task / parts, part = task % parts;
    const FramePlace at = frame_place(batch, number);
    if (together) draw_one(*loops, batch, *inputs, at.s);
    const bool fits = loops->rows(batch, at, static_cast<int32_t>(bands * part / parts),
                                  static_cast<int32_t>(bands * (part + 1) / parts),
                                  scratch + bytes * static_cast<size_t>(worker));
    for (int64_t before = first_unfit; !fits && at.s < before;) {
      if (first_unfit.compare_exchange_weak(before, at.s)) break;
    }
  });
  return first_unfit < batch.n ? first_unfit.load() : -1;
}

}  // namespace

int64_t sas_cpu(const Batch& batch, const PlanInputs* inputs, int num_threads) {
  if (!batch.check_first) return fill(batch, inputs, num_threads);
  if (inputs) plan_cpu(batch, *inputs, num_threads);
  Batch dry = batch;
  dry.images = dry.masks = nullptr;
  const int64_t unfit = fill(dry, nullptr, num_threads);
  if (unfit >= 0) return unfit;
  Batch checked = batch;
  checked.check_values = false;
  return fill(checked, nullptr, num_threads);
}

}  // namespace sasaug
