// One job: stand in for kernels.cu where there is no CUDA compiler.
// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>

#include "cuda/cuda.h"

namespace sasaug {
namespace {

[[noreturn]] void refuse() {
  throw std::runtime_error(
      "this sasaug was built without CUDA; install it from source where nvcc is found");
}

}  // namespace

bool cuda_available() { return false; }
void plan_cuda(const Batch&, const PlanInputs&, CudaStream) { refuse(); }
void sas_cuda(const Batch&, const PlanInputs*, CudaStream) { refuse(); }

}  // namespace sasaug
