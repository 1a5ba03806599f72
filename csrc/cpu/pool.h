// One job: threads that outlive a call and share out its tasks.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>

namespace sasaug {

// Runs work(task, worker) for every task of 0 .. tasks - 1, on this thread and on up to workers - 1
// others; worker is in [0, workers). This thread starts at once and never waits for one that has
// not: where there is little to do, threads cost the few microseconds of waking them. A call that
// finds the threads taken by another does all its work itself. work must not throw.
void run_tasks(int64_t tasks, int workers, const std::function<void(int64_t, int)>& work);

}  // namespace sasaug
