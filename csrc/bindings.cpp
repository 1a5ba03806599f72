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

// What SAS.drawing in sas.py gives: the arguments of a plan that is to be drawn. `steps`: bytes
// from one sample's image and mask to the next in a stacked batch; else None.
struct Drawing {
  std::vector<Source> sources;
  std::vector<uint64_t> labels;
  py::array_t<int32_t, py::array::c_style> windows, sides;
  py::array_t<uint64_t, py::array::c_style> ids;
  py::array plan;
  PlanRequest request{};

  explicit Drawing(const py::tuple& t)
      : sources(sources_from(t[0].cast<py::list>())),
        labels(t[3].cast<std::vector<uint64_t>>()),
        ids(t[5].cast<py::array_t<uint64_t, py::array::c_style>>()),
        plan(t[9].cast<py::array>()) {
    request.n = plan.size();
    request.plan = static_cast<Sample*>(plan.mutable_data());
    request.sources = sources.data();
    request.stacked = !t[1].is_none();
    if (request.stacked) request.source_mask_n = t[1].cast<py::tuple>()[1].cast<int64_t>();
    request.mask_bytes = t[2].cast<int32_t>();
    request.label_count = static_cast<int32_t>(labels.size());
    request.labels = labels.data();
    if (!t[4].is_none()) {
      windows = t[4].cast<py::array_t<int32_t, py::array::c_style>>();
      request.windows = reinterpret_cast<const Rectangle*>(windows.data());
    }
    request.ids = ids.data();
    request.seed = t[6].cast<uint64_t>();
    settings_from(t[7].cast<py::dict>());
    if (!t[8].is_none()) {
      sides = t[8].cast<py::array_t<int32_t, py::array::c_style>>();
      request.sides = sides.data();
    }
  }

  void settings_from(const py::dict& settings) {
    PlanSettings& s = request.settings;
    const auto canvas = settings["canvas"].cast<py::tuple>();
    s.canvas_h = canvas[0].cast<int32_t>();
    s.canvas_w = canvas[1].cast<int32_t>();
    s.small_fraction = settings["small_fraction"].cast<double>();
    s.p = settings["p"].cast<float>();
    s.apply_to_all = settings["apply_to_all"].cast<bool>();
    s.resize = !settings["thumbnail"].is_none();
    if (s.resize) {
      const auto limits = settings["thumbnail"].cast<py::tuple>();
      s.fractions = py::isinstance<py::float_>(limits[0]);
      s.side_low = limits[0].cast<double>();
      s.side_high = limits[1].cast<double>();
    }
    s.position = static_cast<Position>(settings["position"].cast<int32_t>());
    for (const py::handle& item : settings["noise"].cast<py::list>()) {
      const auto noise = item.cast<py::tuple>();  // (number, low, high)
      s.noises[s.noise_count] = noise[0].cast<int32_t>();
      s.strength_low[s.noise_count] = noise[1].cast<float>();
      s.strength_high[s.noise_count] = noise[2].cast<float>();
      ++s.noise_count;
    }
  }
};

void draw_plan(const py::tuple& drawing, int num_threads) {
  const Drawing draw(drawing);
  const py::gil_scoped_release release;
  plan_cpu(draw.request, num_threads);
}

// `drawing` draws `plan` on the way, or is None: it is drawn. `images` and `masks` of the output:
// (address, strides (n, y, x[, c])); masks may be None.
void apply(const py::object& drawing, const py::list& source_list, const py::object& steps,
           int32_t in, int32_t out, int32_t mask_bytes, const py::tuple& canvas,
           const py::tuple& images, const py::object& masks, const py::array& plan, uint64_t seed,
           bool antialias, bool per_channel, float salt_vs_pepper,
           const std::vector<uint64_t>& labels, int num_threads) {
  const std::vector<Source> sources = sources_from(source_list);
  Batch b{};
  b.n = plan.size();
  b.h = canvas[0].cast<int32_t>();
  b.w = canvas[1].cast<int32_t>();
  b.c = canvas[2].cast<int32_t>();
  b.in = static_cast<PixelType>(in);
  b.out = static_cast<PixelType>(out);
  b.mask_bytes = mask_bytes;
  b.sources = sources.data();
  b.stacked = !steps.is_none();
  if (b.stacked) {
    const auto step = steps.cast<py::tuple>();
    b.source_image_n = step[0].cast<int64_t>();
    b.source_mask_n = step[1].cast<int64_t>();
  }
  b.images = address(images[0]);
  const auto image_strides = images[1].cast<py::tuple>();
  b.image_n = image_strides[0].cast<int64_t>();
  b.image_y = image_strides[1].cast<int64_t>();
  b.image_x = image_strides[2].cast<int64_t>();
  b.image_c = image_strides[3].cast<int64_t>();
  if (!masks.is_none()) {
    const auto pair = masks.cast<py::tuple>();
    const auto mask_strides = pair[1].cast<py::tuple>();
    b.masks = address(pair[0]);
    b.mask_n = mask_strides[0].cast<int64_t>();
    b.mask_y = mask_strides[1].cast<int64_t>();
    b.mask_x = mask_strides[2].cast<int64_t>();
  }
  b.plan = static_cast<const Sample*>(plan.data());
  b.seed = seed;
  b.antialias = antialias;
  b.per_channel = per_channel;
  b.salt_vs_pepper = salt_vs_pepper;
  b.label_count = static_cast<int32_t>(labels.size());
  for (size_t k = 0; k < labels.size(); ++k) b.labels[k] = labels[k];

  std::optional<Drawing> draw;
  if (!drawing.is_none()) draw.emplace(drawing.cast<py::tuple>());
  const py::gil_scoped_release release;
  sas_cpu(b, draw ? &draw->request : nullptr, num_threads);
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
  m.def("draw_plan", &draw_plan);
  m.def("largest_sides", &largest_sides, py::arg("windows"), py::arg("canvas"));
  m.def("apply", &apply);
  m.def("instruction_sets", &instruction_sets, "Those that this machine runs, slowest first.");
  m.def("instruction_set", &instruction_set, "The one in use.");
  m.def("use_instruction_set", &use_instruction_set, py::arg("name"));
}
