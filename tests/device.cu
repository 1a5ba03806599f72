// One job: make a device compiler read every function that a CUDA launch will call.
// SPDX-License-Identifier: Apache-2.0
#include "sas.h"

using namespace sasaug;

__global__ void draw(PlanSettings settings, uint64_t seed, Rectangle window, Sample* plan) {
  plan[threadIdx.x] = draw_sample(settings, seed, threadIdx.x, window, 0, 1000, 10000);
}

template <class In, class Out>
__global__ void pixels(Batch b, float* values) {
  const Source source = source_of(b, blockIdx.x);
  const Sample sample = b.plan[blockIdx.x];
  const Bilinear x = bilinear(threadIdx.x, sample.window.width, sample.thumbnail.width);
  const Triangle t = triangle(threadIdx.x, sample.window.width, sample.thumbnail.width);
  const auto* row = reinterpret_cast<const In*>(source.image);
  const float value = lerp(Pixel<In>::load(row[x.first]), Pixel<In>::load(row[x.second]), x.weight);
  values[threadIdx.x] = triangle_sum(threadIdx.x, t, sample.window.width, sample.thumbnail.width);

  Out out[kBandRows];
  for (int r = 0; r < kBandRows; ++r) out[r] = Pixel<Out>::store(rescale<In, Out>(value));
  const uint32_t block = noise_block(blockIdx.y, threadIdx.x, b.w);
  const Words w = philox4x32(counter(block, sample.id, Purpose::normal, 0), b.seed);
  float n[kBandRows];
  normal_pair(w.w[0], w.w[1], n[0], n[1]);
  normal_pair(w.w[2], w.w[3], n[2], n[3]);
  const bool roi = in_roi(source.mask[nearest_exact(threadIdx.x, 9, 7)], b.label_count, b.labels);
  Noises::visit(roi ? sample.noise : -1, [&](auto kind) {
    noisy<decltype(kind), Out, kBandRows>(out, out, Random{n, w.w},
                                          Noise{sample.strength, b.salt_vs_pepper});
  });
  reinterpret_cast<Out*>(b.images)[threadIdx.x] = out[threadIdx.y];
}

template __global__ void pixels<uint8_t, float>(Batch, float*);
template __global__ void pixels<float, uint8_t>(Batch, float*);
template __global__ void pixels<uint16_t, Half>(Batch, float*);
template __global__ void pixels<Half, uint16_t>(Batch, float*);
