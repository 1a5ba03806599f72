// SPDX-License-Identifier: Apache-2.0
#include "cpu/pool.h"

#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#ifndef _WIN32
#include <pthread.h>
#endif

namespace sasaug {
namespace {

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

using Work = std::function<void(int64_t, int)>;

class Pool {
 public:
  void run(int64_t tasks, int workers, const Work& call_work) {
    const std::unique_lock<std::mutex> call(one_call, std::try_to_lock);
    if (!call.owns_lock() || !open(tasks, workers, call_work)) return run_alone(tasks, call_work);
    loop(tasks, 0, call_work);
    close();
  }

  // On the calling thread alone.
  static void run_alone(int64_t tasks, const Work& call_work) {
    const DefaultFloatEnvironment environment;
    for (int64_t task = 0; task < tasks; ++task) call_work(task, 0);
  }

 private:
  // Offers the tasks to the threads; returns false if none can be had.
  bool open(int64_t tasks, int workers, const Work& call_work) {
    next = 0;
    {
      const std::lock_guard<std::mutex> lock(state);
      while (threads < workers - 1 && start_thread()) ++threads;
      if (threads == 0) return false;
      work = &call_work;
      task_count = tasks;
      places = workers - 1;
      joined = 0;
      ++number;
    }
    offered.notify_all();
    return true;
  }

  bool start_thread() {
    try {
      std::thread([this] { serve(); }).detach();
      return true;
    } catch (const std::exception&) {
      return false;  // the threads that run, and the caller, do the work
    }
  }

  // Waits for the threads that have taken part; others may no longer.
  void close() {
    std::unique_lock<std::mutex> lock(state);
    work = nullptr;
    finished.wait(lock, [this] { return active == 0; });
  }

  void serve() {
    uint64_t last = 0;  // a call is joined once
    std::unique_lock<std::mutex> lock(state);
    for (;;) {
      offered.wait(lock, [&] { return work && joined < places && number != last; });
      last = number;
      const Work& taken = *work;
      const int64_t tasks = task_count;
      const int worker = ++joined;
      ++active;
      lock.unlock();
      loop(tasks, worker, taken);
      lock.lock();
      if (--active == 0) finished.notify_one();
    }
  }

  void loop(int64_t tasks, int worker, const Work& taken) noexcept {
    const DefaultFloatEnvironment environment;
    for (int64_t task = next++; task < tasks; task = next++) taken(task, worker);
  }

  std::mutex one_call;  // held by the call that uses the threads
  std::mutex state;     // of all below, but `next`
  std::condition_variable offered, finished;
  std::atomic<int64_t> next{0};
  const Work* work = nullptr;  // null between calls
  uint64_t number = 0;         // of the call
  int64_t task_count = 0;
  int threads = 0, places = 0, joined = 0, active = 0;
};

// Never destroyed: at the end of the process its threads still wait for it.
alignas(Pool) unsigned char memory[sizeof(Pool)];
Pool* const pool = new (memory) Pool;

#ifndef _WIN32
// A forked child has none of the threads, and locks that nobody will release: it starts afresh.
const int registered = pthread_atfork(nullptr, nullptr, [] { new (memory) Pool; });
#endif

}  // namespace

void run_tasks(int64_t tasks, int workers, const Work& work) {
  if (workers <= 1 || tasks <= 1) return Pool::run_alone(tasks, work);
  pool->run(tasks, workers, work);
}

}  // namespace sasaug
