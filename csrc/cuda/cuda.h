// One job: what the GPU offers to bindings.cpp, built with CUDA (kernels.cu) or without
// (absent.cpp).
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "method/batch.h"

namespace sasaug {

struct CudaStream {
  int device;
  void* stream;  // the caller's cudaStream_t
};

// Whether there is a driver with a GPU.
bool cuda_available();

// As plan_cpu and sas_cpu, on the stream, without waiting for it. Throw std::runtime_error with
// CUDA's name and text of an error.
void plan_cuda(const Batch& batch, const PlanInputs& inputs, CudaStream at);
void sas_cuda(const Batch& batch, const PlanInputs* inputs, CudaStream at);

}  // namespace sasaug
