// One job: run the CPU loops over a batch, on threads, with the chosen instruction set.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "sas.h"

namespace sasaug {

// Instruction sets that this machine runs, from slowest to fastest.
std::vector<std::string> instruction_sets();

// The one in use: the fastest, unless SASAUG_ISA in the environment or a call names another.
// Throws std::invalid_argument for one that this machine does not run.
std::string instruction_set();
void use_instruction_set(const std::string& name);

struct PlanRequest {
  int64_t n;
  Sample* plan;           // [n] to fill
  const Source* sources;  // [n] or, stacked, [1]: masks and sizes; images are not read
  bool stacked;
  int64_t source_mask_n;
  int32_t mask_bytes;
  int32_t label_count;
  const uint64_t* labels;
  const Rectangle* windows;  // [n], or null: whole images
  const int32_t* sides;      // [n] the thumbnails' longer sides; or null: drawn
  const uint64_t* ids;
  uint64_t seed;
  PlanSettings settings;
};

// One sample's plan from its mask, for each sample.
void plan_cpu(const PlanRequest& request, int num_threads);

// Fills batch.images and batch.masks; `request` draws the batch's plan on the way, or is null where
// batch.plan is drawn. num_threads >= 1 is the most that are used.
void sas_cpu(const Batch& batch, const PlanRequest* request, int num_threads);

}  // namespace sasaug
