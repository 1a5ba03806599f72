// One job: the door from Python: records in, the GIL dropped, one call. No arithmetic here.
// Python has checked every argument (_checks.py, _arrays.py); a wrong one here is a bug of the
// package. SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include "cpu/cpu.h"
#include "cuda/cuda.h"
#include "records.h"

using namespace sasaug;

namespace {

constexpr int kStreamVersion = 2;

// Lets other Python threads run. When the interpreter ends, versions before 3.14 unwind a daemon
// thread that asks for its lock, and pybind11's own release would end the whole process for it
// (std::terminate): sleep instead, as 3.14 does.
class WithoutGil {
 public:
  WithoutGil() : thread(PyEval_SaveThread()) {}
  ~WithoutGil() {
#ifdef __GLIBCXX__
    try {
      PyEval_RestoreThread(thread);
    } catch (const abi::__forced_unwind&) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
#else
    PyEval_RestoreThread(thread);
#endif
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* thread;
};

std::optional<PlanInputs> inputs_from(const py::object& inputs) {
  if (inputs.is_none()) return std::nullopt;
  return record_from<PlanInputs>(inputs);
}

// Draws `batch.plan` where there are inputs, and fills the images and masks where there are any.
// Returns the first sample whose values are not of the value range's unit, or -1.
int64_t run(const py::object& batch_record, const py::object& inputs_record, int num_threads) {
  const Batch batch = record_from<Batch>(batch_record);
  const std::optional<PlanInputs> inputs = inputs_from(inputs_record);
  const WithoutGil released;
  if (!batch.images) {
    plan_cpu(batch, *inputs, num_threads);
    return -1;
  }
  return sas_cpu(batch, inputs ? &*inputs : nullptr, num_threads);
}

void run_cuda(const py::object& batch_record, const py::object& inputs_record, int device,
              uintptr_t stream) {
  const Batch batch = record_from<Batch>(batch_record);
  const std::optional<PlanInputs> inputs = inputs_from(inputs_record);
  const CudaStream at{device, reinterpret_cast<void*>(stream)};
  const WithoutGil released;
  if (!batch.images) {
    plan_cuda(batch, *inputs, at);
  } else {
    sas_cuda(batch, inputs ? &*inputs : nullptr, at);
  }
}

py::array_t<uint32_t> philox(
    const py::array_t<uint32_t, py::array::c_style | py::array::forcecast>& counter,
    const py::array_t<uint32_t, py::array::c_style | py::array::forcecast>& key) {
  if (counter.ndim() < 1 || counter.shape(counter.ndim() - 1) != 4) {
    throw std::invalid_argument("counter must have shape [..., 4]");
  }
  if (key.ndim() != 1 || key.shape(0) != 2) throw std::invalid_argument("key must have shape [2]");
  py::array_t<uint32_t> words(
      std::vector<py::ssize_t>(counter.shape(), counter.shape() + counter.ndim()));
  const uint32_t* in = counter.data();
  uint32_t* out = words.mutable_data();
  for (py::ssize_t i = 0; i < counter.size(); i += 4) {
    const Words r =
        philox4x32(Words{{in[i], in[i + 1], in[i + 2], in[i + 3]}}, key.data()[0], key.data()[1]);
    for (int j = 0; j < 4; ++j) out[i + j] = r.w[j];
  }
  return words;
}

py::tuple noises() {
  py::list list;
  Noises::for_each([&](auto kind) {
    using Kind = decltype(kind);
    py::dict noise;
    noise["name"] = Kind::name;
    noise["strength"] = Kind::strength;
    noise["formula"] = Kind::formula;
    noise["lowest"] = Kind::lowest;
    noise["highest"] = Kind::highest;
    noise["identity"] = Kind::identity;
    noise["usual"] = py::make_tuple(Kind::usual[0], Kind::usual[1]);
    list.append(noise);
  });
  return py::tuple(list);
}

// S of every window [n, 4] on a canvas (h, w).
py::array_t<int32_t> largest_sides(const py::array_t<int32_t, py::array::c_style>& windows,
                                   const py::tuple& canvas) {
  py::array_t<int32_t> sides(windows.shape(0));
  const auto* window = reinterpret_cast<const Rectangle*>(windows.data());
  for (py::ssize_t s = 0; s < windows.shape(0); ++s) {
    sides.mutable_data()[s] =
        largest_side(window[s], canvas[0].cast<int32_t>(), canvas[1].cast<int32_t>());
  }
  return sides;
}

// An enumeration's names -> numbers.
template <size_t kCount>
py::dict numbers(const char* const (&names)[kCount]) {
  py::dict result;
  for (size_t number = 0; number < kCount; ++number) result[names[number]] = number;
  return result;
}

}  // namespace

// All that calls share is guarded: the pool of threads by locks, the choice of loops by an atomic.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The compiled part of sasaug: the kernels, and the facts that Python shares.";
  m.attr("STREAM_VERSION") = kStreamVersion;
  m.attr("NOISES") = noises();
  m.attr("PIXEL_TYPES") = numbers(kPixelTypes);
  m.attr("POSITIONS") = numbers(kPositions);
  m.attr("MAX_LABELS") = kMaxLabels;
  m.attr("MAX_CHANNELS") = kMaxChannels;
  m.attr("MAX_FRAMES") = kMaxFrames;
  m.attr("MAX_NOISES") = kMaxNoises;
  // the records
  m.attr("SAMPLE") = dtype_of<Sample>();  // a plan is an array of these
  m.attr("SOURCE") = dtype_of<Source>();
  m.attr("BATCH") = dtype_of<Batch>();
  m.attr("INPUTS") = dtype_of<PlanInputs>();

  m.def("run", &run);
  m.def("run_cuda", &run_cuda);
  m.def("philox4x32", &philox, py::arg("counter"), py::arg("key"),
        "Philox4x32-10: counter [..., 4] and key [2], uint32, to words [..., 4].");
  m.def("largest_sides", &largest_sides, py::arg("windows"), py::arg("canvas"));
  m.def(
      "address", [](const py::array& array) { return reinterpret_cast<uintptr_t>(array.data()); },
      "Address of a numpy array's first element (faster than array.ctypes.data).");
  m.def("cuda_available", &cuda_available, "Whether there is a driver with a GPU.");
  m.def("instruction_sets", &instruction_sets,
        "The instruction sets that this machine runs, slowest first.");
  m.def("instruction_set", &instruction_set, "The instruction set in use.");
  m.def("use_instruction_set", &use_instruction_set, py::arg("name"));
}
