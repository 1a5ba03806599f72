// One job: run the CPU loops over a batch, on threads, with the chosen instruction set.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "method/value.h"

namespace sasaug {

// Instruction sets that this machine runs, from slowest to fastest.
std::vector<std::string> instruction_sets();

// The one in use: the fastest, unless SASAUG_ISA in the environment or a call names another.
// Throws std::invalid_argument for one that this machine does not run.
std::string instruction_set();
void use_instruction_set(const std::string& name);

// Draws batch.plan, each sample from its mask. num_threads >= 1 is the most that are used.
void plan_cpu(const Batch& batch, const PlanInputs& inputs, int num_threads);

// Fills batch.images and batch.masks. `inputs` draws the batch's plan too; null: it is drawn
// already. With batch.check_values, returns the first sample that has pixels of another unit than
// the value range's where it gets noise, or -1.
int64_t sas_cpu(const Batch& batch, const PlanInputs* inputs, int num_threads);

}  // namespace sasaug
