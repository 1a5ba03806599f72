// One job: Python -> Batch. Index of the compiled module; no arithmetic here.
// Python has checked every argument (sas.py); a wrong one here is a bug in the package.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "sas_cuda.h"
#include "threads.h"

namespace py = pybind11;
using namespace sasaug;

namespace {

constexpr int kStreamVersion = 1;

char* address(const py::handle& number) {
  return reinterpret_cast<char*>(number.cast<uintptr_t>());
}

// (image address, its strides (y, x, c), mask address, its strides (y, x), (h, w)); strides in
// bytes
Source source_from(const py::tuple& t) {
  const auto image = t[1].cast<py::tuple>();
  const auto mask = t[3].cast<py::tuple>();
  const auto size = t[4].cast<py::tuple>();
  Source s{};
  s.image = address(t[0]);
  s.image_y = image[0].cast<int64_t>();
  s.image_x = image[1].cast<int64_t>();
  s.image_c = image[2].cast<int64_t>();
  s.mask = address(t[2]);
  s.mask_y = mask[0].cast<int64_t>();
  s.mask_x = mask[1].cast<int64_t>();
  s.h = size[0].cast<int32_t>();
  s.w = size[1].cast<int32_t>();
  return s;
}

std::vector<Source> sources_from(const py::list& list) {
  std::vector<Source> sources;
  sources.reserve(list.size());
  for (const py::handle& item : list) sources.push_back(source_from(item.cast<py::tuple>()));
  return sources;
}

// Values of each sample: None, a numpy array, or an address on the device.
template <class T>
PerSample<T> per_sample(const py::handle& values) {
  if (values.is_none()) return {nullptr, false};
  if (py::isinstance<py::int_>(values)) {
    return {reinterpret_cast<const T*>(address(values)), true};
  }
  return {static_cast<const T*>(values.cast<py::array>().data()), false};
}

// (small_fraction, p, apply_to_all, thumbnail or None, position, [(noise, low, high)])
PlanSettings settings_from(const py::tuple& t, int32_t canvas_h, int32_t canvas_w) {
  PlanSettings s{};
  s.canvas_h = canvas_h;
  s.canvas_w = canvas_w;
  s.small_fraction = t[0].cast<double>();
  s.p = t[1].cast<float>();
  s.apply_to_all = t[2].cast<bool>();
  s.resize = !t[3].is_none();
  if (s.resize) {
    const auto limits = t[3].cast<py::tuple>();
    s.fractions = py::isinstance<py::float_>(limits[0]);
    s.side_low = limits[0].cast<double>();
    s.side_high = limits[1].cast<double>();
  }
  s.position = static_cast<Position>(t[4].cast<int32_t>());
  for (const py::handle& item : t[5].cast<py::tuple>()) {
    const auto noise = item.cast<py::tuple>();
    s.noises[s.noise_count] = noise[0].cast<int32_t>();
    s.strength_low[s.noise_count] = noise[1].cast<float>();
    s.strength_high[s.noise_count] = noise[2].cast<float>();
    ++s.noise_count;
  }
  return s;
}

// (settings, ids, windows, sides, strengths)
Drawing drawing_from(const py::tuple& t, const Batch& b) {
  return {per_sample<uint64_t>(t[1]), per_sample<Rectangle>(t[2]), per_sample<int32_t>(t[3]),
          per_sample<float>(t[4]), settings_from(t[0].cast<py::tuple>(), b.h, b.w)};
}

// Draws `plan` if there is a drawing, and fills `images` and `masks` unless `images` is None.
//   canvas          (h, w, channels)
//   types           numbers of the input's and output's pixel types, bytes of a label
//   steps           bytes from one sample's image and mask to the next in a stacked batch, or None
//   images, masks   of the output: (address, strides (n, y, x[, c])); masks may be None
//   plan            numpy array of SAMPLE, or the address of `n` of them on the device
//   options         (antialias, per_channel, salt_vs_pepper)
//   where           number of CPU threads, or (CUDA device, its stream)
void run(int64_t n, const py::tuple& canvas, const py::tuple& types, const py::list& source_list,
         const py::object& steps, const py::object& images, const py::object& masks,
         const py::object& plan, uint64_t seed, const py::tuple& options, const py::tuple& labels,
         const py::object& drawing, const py::object& where) {
  const std::vector<Source> sources = sources_from(source_list);
  Batch b{};
  b.n = n;
  b.h = canvas[0].cast<int32_t>();
  b.w = canvas[1].cast<int32_t>();
  b.c = canvas[2].cast<int32_t>();
  b.in = static_cast<PixelType>(types[0].cast<int32_t>());
  b.out = static_cast<PixelType>(types[1].cast<int32_t>());
  b.mask_bytes = types[2].cast<int32_t>();
  b.sources = sources.data();
  b.stacked = !steps.is_none();
  if (b.stacked) {
    const auto step = steps.cast<py::tuple>();
    b.source_image_n = step[0].cast<int64_t>();
    b.source_mask_n = step[1].cast<int64_t>();
  }
  if (!images.is_none()) {
    const auto pair = images.cast<py::tuple>();
    const auto strides = pair[1].cast<py::tuple>();
    b.images = address(pair[0]);
    b.image_n = strides[0].cast<int64_t>();
    b.image_y = strides[1].cast<int64_t>();
    b.image_x = strides[2].cast<int64_t>();
    b.image_c = strides[3].cast<int64_t>();
  }
  if (!masks.is_none()) {
    const auto pair = masks.cast<py::tuple>();
    const auto strides = pair[1].cast<py::tuple>();
    b.masks = address(pair[0]);
    b.mask_n = strides[0].cast<int64_t>();
    b.mask_y = strides[1].cast<int64_t>();
    b.mask_x = strides[2].cast<int64_t>();
  }
  b.plan_on_device = py::isinstance<py::int_>(plan);
  b.plan = b.plan_on_device ? reinterpret_cast<Sample*>(address(plan))
                            : static_cast<Sample*>(plan.cast<py::array>().mutable_data());
  b.seed = seed;
  b.antialias = options[0].cast<bool>();
  b.per_channel = options[1].cast<bool>();
  b.salt_vs_pepper = options[2].cast<float>();
  for (const py::handle& label : labels) b.labels[b.label_count++] = label.cast<uint64_t>();

  std::optional<Drawing> draw;
  if (!drawing.is_none()) draw = drawing_from(drawing.cast<py::tuple>(), b);
  const bool cuda = py::isinstance<py::tuple>(where);
  CudaStream at{};
  int threads = 0;
  if (cuda) {
    const auto pair = where.cast<py::tuple>();
    at = {pair[0].cast<int>(), address(pair[1])};
  } else {
    threads = where.cast<int>();
  }

  const py::gil_scoped_release release;
  const Drawing* how = draw ? &*draw : nullptr;
  if (!b.images && cuda) {
    plan_cuda(b, *how, at);
  } else if (!b.images) {
    plan_cpu(b, *how, threads);
  } else if (cuda) {
    sas_cuda(b, how, at);
  } else {
    sas_cpu(b, how, threads);
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

// A plan is an array of this; a rectangle is four numbers (x, y, width, height).
py::dtype sample_dtype() {
  py::list names, formats, offsets;
  auto field = [&](const char* name, const char* format, size_t offset) {
    names.append(name);
    formats.append(format);
    offsets.append(offset);
  };
  field("id", "u8", offsetof(Sample, id));
  field("transformed", "?", offsetof(Sample, transformed));
  field("window", "(4,)i4", offsetof(Sample, window));
  field("thumbnail", "(4,)i4", offsetof(Sample, thumbnail));
  field("noise", "i4", offsetof(Sample, noise));
  field("strength", "f4", offsetof(Sample, strength));
  return py::dtype(names, formats, offsets, sizeof(Sample));
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

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled part of sasaug: the CPU loops, and the facts that Python shares.";
  m.attr("STREAM_VERSION") = kStreamVersion;
  m.attr("SAMPLE") = sample_dtype();
  m.attr("NOISES") = noises();
  m.attr("MAX_LABELS") = kMaxLabels;
  m.attr("MAX_CHANNELS") = kMaxChannels;

  m.def("philox4x32", &philox, py::arg("counter"), py::arg("key"),
        "Philox4x32-10: counter [..., 4] and key [2], uint32, to words [..., 4].");
  m.def("largest_sides", &largest_sides, py::arg("windows"), py::arg("canvas"));
  m.def(
      "address", [](const py::array& array) { return reinterpret_cast<uintptr_t>(array.data()); },
      "Of a numpy array's first element; its own ways to tell it take microseconds.");
  m.def("run", &run);
  m.def("cuda_available", &cuda_available, "Whether there is a driver with a GPU.");
  m.def("instruction_sets", &instruction_sets, "Those that this machine runs, slowest first.");
  m.def("instruction_set", &instruction_set, "The one in use.");
  m.def("use_instruction_set", &use_instruction_set, py::arg("name"));
}
