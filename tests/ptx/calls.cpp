// One job: the calls of cuda.h for Python's ctypes: records in, the text of an error out.
// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <string>

#include "cuda/cuda.h"

// Returns null where all went well.
extern "C" __attribute__((visibility("default"))) const char* ptx_run(
    const sasaug::Batch* batch, const sasaug::PlanInputs* inputs, int device, void* stream) {
  static std::string error;
  const sasaug::CudaStream at{device, stream};
  try {
    if (!batch->images) {
      sasaug::plan_cuda(*batch, *inputs, at);
    } else {
      sasaug::sas_cuda(*batch, inputs, at);
    }
  } catch (const std::exception& e) {
    return (error = e.what()).c_str();
  }
  return nullptr;
}
