"""One job: time whole SAS on a GPU beside its peers and a device-to-device copy, in one run.

    python benchmarks/gpu.py > benchmarks/results/NAME.md

Every batch is drawn once, half of its samples large enough to be transformed with p = 1, which is
the default's share. `time` is per call, calls queued one after another; `device` the same replayed
as a CUDA graph, without the host; `host` the processor's time to queue one call. Ratios are to the
copy of the same column. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch.utils.benchmark import Timer

import sasaug
import sasaug.torch

CASES = [(8, 256), (64, 256), (512, 256), (16, 1024)]
QUICK = [(8, 32)]
DTYPES = ("uint8", "float32")
P, LOW = 1.0, 0.25

Pair = tuple[torch.Tensor, torch.Tensor]
Contender = Callable[[torch.Tensor, torch.Tensor], Pair]


def batch(n: int, size: int, dtype: str, device: str) -> Pair:
    """Grey sectors; every second mask covers 15 % of the frame, the others 1 %."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    sector = ((x - 0.5).abs() < 0.15 + 0.4 * y).float()
    images = sector * torch.rand(n, 1, size, size, generator=generator)
    radius = torch.where(torch.arange(n) % 2 == 0, 0.22, 0.056)[:, None, None]
    masks = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < radius**2).to(torch.uint8)
    if dtype == "uint8":
        images = (images * 255).to(torch.uint8)
    return images.to(device), masks.to(device)


# ---- contenders ----------------------------------------------------------------------------


def copy() -> Contender:
    return lambda x, y: (x.clone(), y.clone())


def ours() -> Contender:
    aug = sasaug.SAS(p=P)
    return lambda x, y: aug(x, y, seed=7)


def ours_module() -> Contender:
    augment = sasaug.torch.SAS(p=P)
    return lambda x, y: augment(x, y, seed=7)


def full_scale(x: torch.Tensor) -> float:
    return 255.0 if x.dtype == torch.uint8 else 1.0


def noisy(v: torch.Tensor, kind: int) -> torch.Tensor:
    """One kind on a whole frame of values in [0, 1], strength drawn per sample."""
    low, high = sasaug.PRESETS["default"][sasaug.NOISES[kind]]
    strength = low + (high - low) * torch.rand(len(v), 1, 1, 1, device=v.device)
    if kind == 0:
        return v + strength * torch.randn_like(v)
    if kind == 1:
        return v + v * strength * torch.randn_like(v)
    if kind == 2:
        u = torch.rand_like(v)
        return torch.where(u < strength, (u < strength / 2).to(v.dtype), v)
    return torch.poisson(v * strength) / strength


def plain_torch() -> Contender:
    """As a careful user writes it: no loop over samples, no waiting for the device."""

    def run(x: torch.Tensor, y: torch.Tensor) -> Pair:
        n, _, size, _ = x.shape
        v, full = x.float() / full_scale(x), full_scale(x)
        large = y.flatten(1).ne(0).float().mean(1) > 0.03
        side = LOW * size + torch.rand(n, device=x.device) * (1 - LOW) * size
        scale = torch.where(large, size / side.round(), 1.0)
        theta = torch.zeros(n, 2, 3, device=x.device)
        theta[:, 0, 0] = theta[:, 1, 1] = scale
        grid = torch.nn.functional.affine_grid(theta, [n, 1, size, size], align_corners=False)
        sample = torch.nn.functional.grid_sample
        small = sample(v, grid, "bilinear", "zeros", align_corners=False)
        label = sample(y[:, None].float(), grid, "nearest", "zeros", align_corners=False)
        kind = torch.randint(0, 4, (n, 1, 1, 1), device=x.device)
        noise = sum(torch.where(kind == k, noisy(small, k), 0.0) for k in range(4))
        roi = (label != 0) & large[:, None, None, None]
        out = torch.where(roi, noise.clamp(0, 1), small) * full
        out = out.round().to(torch.uint8) if x.dtype == torch.uint8 else out
        return out, label[:, 0].to(y.dtype)

    return run


def torchvision_v2() -> Contender:
    """Its functions in a loop over the samples; it has no speckle and no Poisson noise."""
    from torchvision.transforms.v2 import functional as f

    def run(x: torch.Tensor, y: torch.Tensor) -> Pair:
        size = x.shape[-1]
        large = (y.flatten(1).ne(0).float().mean(1) > 0.03).tolist()
        sides = (LOW * size + torch.rand(len(x)) * (1 - LOW) * size).round().int().tolist()
        images, labels = [], []
        for image, mask, transformed, side in zip(x, y, large, sides, strict=True):
            if transformed:
                left = (size - side) // 2
                pad = [left, left, size - side - left, size - side - left]
                image = f.pad(f.resize(image, [side, side], antialias=False), pad)
                exact = f.InterpolationMode.NEAREST_EXACT
                mask = f.pad(f.resize(mask[None], [side, side], exact), pad)[0]
                image = torch.where(mask != 0, f.gaussian_noise(image, sigma=0.1), image)
            images.append(image)
            labels.append(mask)
        return torch.stack(images), torch.stack(labels)

    return run


def kornia_pipeline(compiled: bool = False) -> Contender:
    """RandomAffine and one of its two noises, kept inside the mask; float32 only."""
    import kornia.augmentation as k

    noise = k.AugmentationSequential(
        k.RandomGaussianNoise(0.0, 0.1, p=1.0), k.RandomSaltAndPepperNoise((0.01, 0.1), p=1.0),
        data_keys=["input"], random_apply=1,
    )  # fmt: skip
    zoom = k.AugmentationSequential(
        k.RandomAffine(0.0, scale=(LOW, 1.0), p=1.0),
        data_keys=["input", "mask"],
    )

    def run(x: torch.Tensor, y: torch.Tensor) -> Pair:
        if x.dtype == torch.uint8:
            raise TypeError("kornia takes floats")
        large = (y.flatten(1).ne(0).float().mean(1) > 0.03)[:, None, None, None]
        small, label = zoom(x, y[:, None].float())
        small, label = torch.where(large, small, x), torch.where(large, label, y[:, None])
        out = torch.where((label != 0) & large, noise(small).clamp(0, 1), small)
        return out, label[:, 0].to(y.dtype)

    return run


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "copy": copy,
    "sasaug": ours,
    "sasaug.torch.SAS": ours_module,
    "plain torch": plain_torch,
    "torchvision v2, a loop": torchvision_v2,
    "kornia, Gaussian or salt-and-pepper": kornia_pipeline,
}


# ---- clocks --------------------------------------------------------------------------------


def queued(call: Callable[[], Any], seconds: float) -> float:
    """Seconds per call, one after another: the median of blocks that end with the device idle."""
    timer = Timer("call()", globals={"call": call})
    return float(timer.blocked_autorange(min_run_time=seconds).median)


def replayed(call: Callable[[], Any], seconds: float) -> float:
    """Seconds on the device alone, as a CUDA graph; NaN for what cannot be captured."""
    if not torch.cuda.is_available():
        return math.nan
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            call()
    except Exception:  # whatever a peer does that a graph cannot hold
        torch.cuda.synchronize()
        return math.nan
    return queued(graph.replay, seconds)


def on_host(call: Callable[[], Any], calls: int) -> float:
    """Processor seconds to queue one call, the device's queue empty before."""
    times = []
    for _ in range(calls):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def check(name: str, x: torch.Tensor, y: torch.Tensor, pair: Pair) -> None:
    """The same kind of answer: types, shapes, a changed ROI, samples with small masks unchanged."""
    out, label = pair
    assert (out.shape, out.dtype, label.shape, label.dtype) == (x.shape, x.dtype, y.shape, y.dtype)
    if name != "copy":
        assert not torch.equal(out[0], x[0]) and label[::2].sum() < y[::2].sum(), name
    assert (out[1].float() - x[1].float()).abs().max() <= full_scale(x) / 255, name
    assert torch.equal(label[1], y[1]), name


def measure(n: int, size: int, dtype: str, device: str, seconds: float) -> None:
    x, y = batch(n, size, dtype, device)
    moved = 2 * (x.numel() * x.element_size() + y.numel() * y.element_size())
    print(f"\n## {n} x {size} x {size}, {dtype}\n")
    print(
        "| | time (us) | GB/s | times the copy | device (us) | GB/s | of the copy's | host (us) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    roof = device_roof = math.nan
    for name, make in CONTENDERS.items():
        try:
            torch.manual_seed(0)
            contender = make()
            check(name, x, y, contender(x, y))
        except (ImportError, TypeError) as reason:
            print(f"| {name} | left out: {reason} | | | | | | |")
            continue

        def call(contender: Contender = contender) -> Pair:
            return contender(x, y)

        for _ in range(3):
            call()
        host, wall, alone = on_host(call, 100), queued(call, seconds), replayed(call, seconds)
        if name == "copy":
            roof, device_roof = wall, alone
        print(
            f"| {name} | {1e6 * wall:.1f} | {1e-9 * moved / wall:.0f} | {wall / roof:.2f} "
            f"| {1e6 * alone:.1f} | {1e-9 * moved / alone:.0f} | {100 * device_roof / alone:.0f} % "
            f"| {1e6 * host:.0f} |"
        )


def installed(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} -"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="one tiny batch, to see that it runs")
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    packages = ("sasaug", "torch", "torchvision", "kornia")
    print(f"Device: {name}, CUDA {torch.version.cuda}, Python {platform.python_version()}  ")
    print("Versions: " + ", ".join(installed(package) for package in packages) + "  ")
    print(f"Commit: {git.stdout.strip() or '-'}, {time.strftime('%Y-%m-%d')}  ")
    print("Command: `python benchmarks/gpu.py`")
    for n, size in QUICK if options.quick else CASES:
        for dtype in DTYPES:
            measure(n, size, dtype, options.device, 0.01 if options.quick else 1.0)


if __name__ == "__main__":
    main()
