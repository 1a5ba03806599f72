// One job: carry what the host knows of each sample to the GPU, in a kernel's parameters.
//
// So no memory is allocated or copied and nothing has to live until the kernel runs; a CUDA graph
// keeps its parameters. A batch whose data does not fit is shared out among several launches.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

#include "cuda/layout.h"

namespace sasaug {

// Bytes for the samples' data. Parameters of up to 4 KB are the cheap ones to launch with; all of
// them may have 32,764 bytes from CUDA 12.1 and compute capability 7.0 on.
constexpr int kSmallTable = 2048, kLargeTable = 31744, kMostParameterBytes = 32764;

// Where in the table an array begins, in bytes; -1: it is not there.
struct Offsets {
  int32_t sources, plan, ids, windows, sides, strengths;
};

// The parameters of a kernel: some neighbouring samples of a batch, as a batch of their own.
// Addresses of the host are left out: what they hold is in the table.
template <int kBytes>
struct LaunchParameters {
  Batch batch;
  PlanInputs inputs;  // of no meaning where the plan is drawn already
  Layout layout;
  int64_t first;  // number of the first sample in the whole batch
  Offsets at;
  alignas(8) char table[kBytes];
};

static_assert(sizeof(LaunchParameters<kSmallTable>) <= 4096 &&
                  sizeof(LaunchParameters<kLargeTable>) <= kMostParameterBytes,
              "parameters of a kernel");

inline namespace SASAUG_VARIANT {

// ---- on the GPU: s counts from the launch's first sample --------------------------------------

template <class T>
SASAUG_HD const T* in_table(const char* table, int32_t at) {
  return reinterpret_cast<const T*>(table + at);
}

template <class T>
SASAUG_HD const T* given(PerSample<T> values, const char* table, int32_t at, int64_t s) {
  if (at >= 0) return in_table<T>(table, at) + s;
  return values.values ? values.values + s : nullptr;
}

template <int kBytes>
SASAUG_HD Source source_of(const LaunchParameters<kBytes>& parameters, int64_t s) {
  return source_of(parameters.batch, in_table<Source>(parameters.table, parameters.at.sources), s);
}

template <int kBytes>
SASAUG_HD const Sample& sample_of(const LaunchParameters<kBytes>& parameters, int64_t s) {
  const int32_t at = parameters.at.plan;
  return at >= 0 ? in_table<Sample>(parameters.table, at)[s] : parameters.batch.plan[s];
}

template <int kBytes>
SASAUG_HD Sample draw_one(const LaunchParameters<kBytes>& parameters, int64_t s,
                          const Source& source, int64_t roi_area) {
  const PlanInputs& d = parameters.inputs;
  const SampleInputs one{given(d.ids, parameters.table, parameters.at.ids, s),
                         given(d.windows, parameters.table, parameters.at.windows, s),
                         given(d.sides, parameters.table, parameters.at.sides, s),
                         given(d.strengths, parameters.table, parameters.at.strengths, s)};
  return draw_one(parameters.batch, d.settings, parameters.first + s, source, one, roi_area);
}

// ---- on the host -----------------------------------------------------------------------------

template <class T>
bool on_host(PerSample<T> values) {
  return values.values && !values.on_device;
}

// Bytes of the table that each sample of a batch needs.
inline int64_t bytes_per_sample(const Batch& b, const PlanInputs* d) {
  size_t bytes = (b.stacked ? 0 : sizeof(Source)) + (b.plan_on_device ? 0 : sizeof(Sample));
  if (d) {
    bytes +=
        (on_host(d->ids) ? sizeof(uint64_t) : 0) + (on_host(d->windows) ? sizeof(Rectangle) : 0) +
        (on_host(d->sides) ? sizeof(int32_t) : 0) + (on_host(d->strengths) ? sizeof(float) : 0);
  }
  return static_cast<int64_t>(bytes);
}

template <int kBytes>
class Packing {
 public:
  Packing(const Batch& b, const PlanInputs* d, int64_t first, int64_t count) {
    parameters.batch = b;
    parameters.inputs = d ? *d : PlanInputs{};
    parameters.first = first;
    Batch& part = parameters.batch;
    part.n = count;
    if (part.images) part.images += first * b.image_n;
    if (part.masks) part.masks += first * b.mask_n;
    parameters.layout = layout_of(part);

    // the larger alignments first, so that every array has its own
    if (b.stacked) {
      const Source source = source_of(b, first);
      parameters.at.sources = put(&source, 1);
    } else {
      parameters.at.sources = put(b.sources + first, count);
    }
    part.sources = nullptr;
    parameters.at.plan = b.plan_on_device ? -1 : put(b.plan + first, count);
    part.plan = b.plan_on_device ? b.plan + first : nullptr;
    parameters.at.ids = put(parameters.inputs.ids);
    parameters.at.windows = put(parameters.inputs.windows);
    parameters.at.sides = put(parameters.inputs.sides);
    parameters.at.strengths = put(parameters.inputs.strengths);
  }

  const LaunchParameters<kBytes>& result() const { return parameters; }

 private:
  template <class T>
  int32_t put(const T* values, int64_t count) {
    const int32_t place = used;
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    memcpy(parameters.table + place, values, bytes);
    used += static_cast<int32_t>(bytes);
    return place;
  }

  template <class T>
  int32_t put(PerSample<T>& values) {
    if (!values.values) return -1;
    const T* of_launch = values.values + parameters.first;
    values.values = values.on_device ? of_launch : nullptr;
    return values.on_device ? -1 : put(of_launch, parameters.batch.n);
  }

  LaunchParameters<kBytes> parameters;
  int32_t used = 0;
};

// Calls launch(LaunchParameters) for the samples of the batch: once, where they fit one table.
template <int kSmall, int kLarge, class Launch>
void for_each_launch(const Batch& b, const PlanInputs* d, Launch launch) {
  const int64_t each = bytes_per_sample(b, d);
  const int64_t common = b.stacked ? static_cast<int64_t>(sizeof(Source)) : 0;
  const int64_t most = each > 0 ? (kLarge - common) / each : b.n;
  for (int64_t first = 0; first < b.n; first += most) {
    const int64_t count = b.n - first < most ? b.n - first : most;
    if (common + count * each <= kSmall) {
      launch(Packing<kSmall>(b, d, first, count).result());
    } else {
      launch(Packing<kLarge>(b, d, first, count).result());
    }
  }
}

}  // namespace SASAUG_VARIANT
}  // namespace sasaug
