// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cfenv>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <thread>

#include "cpu/cpu.h"
#include "cpu/loops.h"

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

std::atomic<const CpuLoops*>& chosen() {
  static std::atomic<const CpuLoops*> loops{first_choice().loops};
  return loops;
}

// The caller's rounding mode or flush-to-zero must not reach the arithmetic, nor ours the caller.
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() {
    std::fegetenv(&saved);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatEnvironment() { std::fesetenv(&saved); }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  std::fenv_t saved;
};

// Runs work(task, worker) for every task. Threads live for one call: nothing is left that a fork
// could break, and starting one costs some 20 microseconds.
template <class Work>
void run_tasks(int64_t tasks, int workers, Work work) {
  std::atomic<int64_t> next{0};
  auto loop = [&](int worker) {
    const DefaultFloatEnvironment environment;
    for (int64_t task = next++; task < tasks; task = next++) work(task, worker);
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(workers - 1));
  try {
    for (int worker = 1; worker < workers; ++worker) threads.emplace_back(loop, worker);
  } catch (const std::exception&) {
    // no further thread to be had: those running, and this one, do the work
  }
  loop(0);
  for (std::thread& thread : threads) thread.join();
}

int workers_for(int64_t tasks, int64_t pixels, int num_threads) {
  constexpr int64_t kPixelsPerThread = 1 << 15;  // some 50 microseconds: worth a thread's start
  int64_t workers = pixels / kPixelsPerThread;
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
    if (set.loops == chosen()) return set.name;
  }
  return "";
}

void use_instruction_set(const std::string& name) {
  chosen() = find(name, "instruction_set").loops;
}

void plan_cpu(const Batch& batch, const PlanInputs& inputs, int num_threads) {
  const CpuLoops* loops = chosen();
  const int64_t pixels =
      batch.n > 0 ? batch.n * batch.sources[0].h * int64_t{batch.sources[0].w} : 0;
  // counting reads a mask at memory speed: four times the pixels make a thread worth while
  run_tasks(batch.n, workers_for(batch.n, pixels / 4, num_threads),
            [&](int64_t s, int) { draw_one(*loops, batch, inputs, s); });
}

void sas_cpu(const Batch& batch, const PlanInputs* inputs, int num_threads) {
  const CpuLoops* loops = chosen();
  const int32_t bands = (batch.h + kBandRows - 1) / kBandRows;
  const int64_t pixels = batch.n * batch.h * int64_t{batch.w} * batch.c;

  // whole samples where there are enough of them, else bands of samples, not less than 16 rows
  const int64_t most = workers_for(batch.n * ((bands + 3) / 4), pixels, num_threads);
  const int64_t tasks_wanted = most == 1 ? 1 : 4 * most;
  int64_t parts = batch.n > 0 ? (tasks_wanted + batch.n - 1) / batch.n : 1;
  if (parts > (bands + 3) / 4) parts = bands > 0 ? (bands + 3) / 4 : 1;
  const int workers = workers_for(batch.n * parts, pixels, num_threads);
  const bool together = inputs && parts == 1;  // the mask is in the cache still
  if (inputs && !together) plan_cpu(batch, *inputs, num_threads);

  const size_t bytes = (loops->scratch_bytes(batch) + 63) & ~size_t{63};
  const std::unique_ptr<char[]> memory(new char[bytes * static_cast<size_t>(workers) + 64]);
  char* scratch = memory.get();
  scratch += (64 - reinterpret_cast<uintptr_t>(scratch) % 64) % 64;

  run_tasks(batch.n * parts, workers, [&](int64_t task, int worker) {
    const int64_t s = task / parts, part = task % parts;
    if (together) draw_one(*loops, batch, *inputs, s);
    loops->rows(batch, s, static_cast<int32_t>(bands * part / parts),
                static_cast<int32_t>(bands * (part + 1) / parts),
                scratch + bytes * static_cast<size_t>(worker));
  });
}

}  // namespace sasaug
