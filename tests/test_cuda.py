"""On a GPU: streams, graphs, no waiting, every element written. Skipped where there is none.

What the kernels compute is tested on every library by the other files; here is what only a real
device shows.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

import sasaug
from cases import disc

torch = pytest.importorskip("torch")
import sasaug.torch  # noqa: E402  # only where there is a torch to import

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (sasaug.cuda_available() and torch.cuda.is_available()),
        reason="no GPU, or sasaug or torch built without CUDA",
    ),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]

SETTINGS = {"p": 1.0, "position": "random"}


def batch(n: int = 16, size: int = 96, dtype: str = "uint8"):
    x = np.random.default_rng(0).random((n, size, size))
    return (x * 255).astype(np.uint8) if dtype == "uint8" else x.astype(dtype), disc(n, size)


def on_gpu(*arrays, device: str = "cuda"):
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def expect(given, images, masks, seed: int = 1, **options):
    x, y = sasaug.sas(images, masks, seed=seed, **{**SETTINGS, **options})
    assert given[0].cpu().numpy().tobytes() == x.tobytes()
    assert given[1].cpu().numpy().tobytes() == y.tobytes()


def busy(milliseconds: int = 20) -> None:
    """Keep the current stream occupied, so that work on another would overtake it."""
    torch.cuda._sleep(int(milliseconds * 1e6))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_every_noise_at_full_size(dtype, kind):
    images, masks = batch(64, 256, dtype)
    options = {"noise": {kind: sasaug.noise.KINDS[kind]["usual"]}}
    given = sasaug.sas(*on_gpu(images, masks), seed=1, **SETTINGS, **options)
    expect(given, images, masks, **options)


def test_poisson_over_its_whole_range():
    peaks = np.geomspace(0.01, 1e9, 200).astype(np.float32)
    images = np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32), (200, 16, 512)).copy()
    masks = np.ones((200, 16, 512), bool)
    given = sasaug.poisson(*on_gpu(images, masks), peak=peaks, seed=3)
    assert given.cpu().numpy().tobytes() == sasaug.poisson(images, masks, peaks, seed=3).tobytes()


def test_more_than_two_to_the_31_elements():
    n = 2**31 // (256 * 256) + 5
    if torch.cuda.mem_get_info()[0] < 12e9:
        pytest.skip("needs 12 GB of GPU memory")
    images, masks = batch(3, 256)
    wide = [torch.from_numpy(a).cuda().repeat(n // 3 + 1, 1, 1)[:n] for a in (images, masks)]
    x, y = sasaug.sas(*wide, seed=1, **SETTINGS)
    for s in (0, n // 2, n - 1):
        one = slice(s % 3, s % 3 + 1)
        expect((x[s : s + 1], y[s : s + 1]), images[one], masks[one], ids=[s])
    del x, y, wide
    torch.cuda.empty_cache()


def test_many_samples():
    """More than a grid's second dimension holds."""
    images, masks = batch(70_000, 8)
    expect(sasaug.sas(*on_gpu(images, masks), seed=1, **SETTINGS), images, masks)


def test_runs_on_the_callers_stream():
    images, masks = batch()
    x, y = on_gpu(images, masks)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        later = torch.zeros_like(x)
        stream.wait_stream(torch.cuda.default_stream())
        busy()
        later.copy_(x)  # on any other stream the kernels would read the zeros
        given = sasaug.sas(later, y, seed=1, **SETTINGS)
        stream.synchronize()
    expect(given, images, masks)


def test_memory_of_temporaries_outlives_the_call():
    """What the caller drops is used again by the stream only after the kernels have read it."""
    images, masks = batch()
    x, y = on_gpu(images, masks)
    ids = torch.arange(16, device="cuda") + 5
    torch.cuda.synchronize()
    busy(100)
    given = sasaug.sas(x, y, seed=1, ids=ids, **SETTINGS)
    del x, y, ids
    gc.collect()
    trash = [torch.full((2**k,), 255, dtype=torch.uint8, device="cuda") for k in range(6, 24)]
    torch.cuda.synchronize()
    assert trash
    expect(given, images, masks, ids=np.arange(16) + 5)


def test_never_waits_for_the_device():
    images, masks = batch()
    x, y = on_gpu(images, masks)
    ids, windows = torch.arange(16, device="cuda"), torch.tensor([[0, 0, 90, 80]] * 16).int().cuda()
    out = torch.empty_like(x), torch.empty_like(y)
    augment = sasaug.torch.SAS(**SETTINGS)
    strengths = torch.rand(16, device="cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        given = augment(x, y, seed=1)
        augment(x, y, seed=1, ids=ids, windows=windows)
        augment(x, y, seed=1, ids=list(range(16)), windows=[0, 0, 5, 5])
        augment(list(x), list(y), seed=1)
        augment(x, y)
        sasaug.sas(x, y, seed=1, out=out)
        sasaug.speckle(x, y, strengths, seed=1)
        plan = augment.plan(y, seed=1)
        sasaug.apply(plan, x, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expect(given, images, masks)


def kernels_of(call) -> list[str]:
    """Everything that one call makes the device do."""
    call()
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        torch.cuda.synchronize()
    device = torch.autograd.DeviceType.CUDA
    return [event.name for event in profile.events() if event.device_type == device]


def test_two_launches_and_nothing_else():
    x, y = on_gpu(*batch())
    ids = list(range(3, 19))
    launches = kernels_of(lambda: sasaug.sas(x, y, seed=1, ids=ids, **SETTINGS))
    assert len(launches) == 2, launches
    plan = sasaug.SAS(**SETTINGS).plan(y, seed=1)
    assert len(kernels_of(lambda: sasaug.apply(plan, x, y))) == 1
    assert plan.samples["transformed"].all()  # now the host's
    assert len(kernels_of(lambda: sasaug.apply(plan, x, y))) == 1
    ragged = list(x), list(y)
    assert len(kernels_of(lambda: sasaug.sas(*ragged, seed=1, **SETTINGS))) == 2
    clips = {"seed": 1, "frames": True, **SETTINGS}
    assert len(kernels_of(lambda: sasaug.sas(x[None], y[None], **clips))) == 2
    lengths = [x[:3], x[3:4]], [y[:3], y[3:4]]
    assert len(kernels_of(lambda: sasaug.sas(*lengths, **clips))) == 3


@pytest.mark.parametrize("module", [False, True])
def test_graph_draws_anew_when_its_ids_change(module):
    images, masks = batch()
    x, y = on_gpu(images, masks)
    ids = torch.arange(16, device="cuda")
    augment = (sasaug.torch.SAS if module else sasaug.SAS)(**SETTINGS)
    augment(x, y, seed=1, ids=ids)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        given = augment(x, y, seed=1, ids=ids)
    for first in (0, 100, 2**40):
        ids.copy_(torch.arange(first, first + 16))
        graph.replay()
        torch.cuda.synchronize()
        expect(given, images, masks, ids=np.arange(first, first + 16))
    x.fill_(9)
    graph.replay()
    torch.cuda.synchronize()
    expect(given, np.full_like(images, 9), masks, ids=np.arange(2**40, 2**40 + 16))


def test_graph_of_a_ragged_list_keeps_its_table():
    images, masks = batch(40)
    lists = [[t.clone() for t in side] for side in on_gpu(images, masks)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        given = sasaug.sas(*lists, seed=1, **SETTINGS)
    graph.replay()
    torch.cuda.synchronize()
    expect(given, images, masks)


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_element_is_written_and_no_other(dtype, offset):
    """A poisoned output inside a poisoned buffer, at any alignment."""
    images, masks = batch(5, 67, dtype)
    x, y = on_gpu(images, masks)
    outs, frames = [], []
    for like in (x, y):
        frame = torch.empty(like.numel() + 64, dtype=like.dtype, device="cuda")
        frame.view(torch.uint8).fill_(0xA5)
        frames.append(frame)
        outs.append(frame[offset : offset + like.numel()].view(like.shape))
    sasaug.sas(x, y, seed=1, out=tuple(outs), **SETTINGS)
    expect(outs, images, masks)
    for frame, like in zip(frames, (x, y), strict=True):
        bytes_ = frame.view(torch.uint8).cpu().numpy()
        size, first = like.element_size(), offset * like.element_size()
        assert (bytes_[:first] == 0xA5).all()
        assert (bytes_[first + like.numel() * size :] == 0xA5).all()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_the_tensors_device_not_the_current_one():
    images, masks = batch()
    with torch.cuda.device(0):
        given = sasaug.sas(*on_gpu(images, masks, device="cuda:1"), seed=1, **SETTINGS)
        assert torch.cuda.current_device() == 0
    assert given[0].device.index == 1
    expect(given, images, masks)
    with pytest.raises(ValueError, match="masks must be on the images' device"):
        sasaug.sas(*on_gpu(images), *on_gpu(masks, device="cuda:1"), seed=1)


def test_compiles_with_cuda_graphs():
    images, masks = batch()
    x, y = on_gpu(images, masks)
    augment = sasaug.torch.SAS(**SETTINGS)
    compiled = torch.compile(augment, fullgraph=True, mode="reduce-overhead")
    for first in (0, 7, 9):
        ids = torch.arange(first, first + 16, device="cuda")
        torch.compiler.cudagraph_mark_step_begin()
        expect(compiled(x, y, seed=1, ids=ids), images, masks, ids=ids.cpu().numpy())


def test_autocast_and_seeds_of_a_cuda_generator():
    images, masks = batch(dtype="float32")
    x, y = on_gpu(images, masks)
    with torch.autocast("cuda", torch.float16):
        expect(sasaug.torch.SAS(**SETTINGS)(x, y, seed=1), images, masks)
    draws = [torch.Generator("cuda").manual_seed(4) for _ in range(2)]
    a, b = (sasaug.sas(x, y, seed=draw, **SETTINGS)[0] for draw in draws)
    assert torch.equal(a, b)


def test_after_a_pinned_loader():
    images, masks = batch()
    pairs = list(zip(images, masks, range(16), strict=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=4, num_workers=2, pin_memory=True)
    augment = sasaug.torch.SAS(**SETTINGS)
    given = []
    for x, y, ids in loader:
        assert x.is_pinned()
        on_host = augment(x, y, seed=1, ids=ids)
        there = x.cuda(non_blocking=True), y.cuda(non_blocking=True), ids.cuda(non_blocking=True)
        given.append(augment(*there[:2], seed=1, ids=there[2]))
        assert torch.equal(given[-1][0].cpu(), on_host[0])
    expect([torch.cat(side) for side in zip(*given, strict=True)], images, masks)


def test_concurrent_streams_do_not_disturb_each_other():
    images, masks = batch(8, 128)
    x, y = on_gpu(images, masks)
    torch.cuda.synchronize()
    streams, given = [torch.cuda.Stream() for _ in range(4)], []
    for turn in range(40):
        with torch.cuda.stream(streams[turn % 4]):
            given.append(sasaug.sas(x, y, seed=turn, **SETTINGS))
    torch.cuda.synchronize()
    for seed, pair in enumerate(given):
        expect(pair, images, masks, seed=seed)


def test_a_cuda_error_has_its_name():
    """The call fails before anything runs, and the next one works."""
    nothing = (False, False, 0.5), (), ((0.03, 1.0, True, None, 0, ()), None, None, None, None)
    source = [(0, (8, 1, 1), 0, (8, 1), (8, 8))]
    with pytest.raises(RuntimeError, match="cudaErrorInvalidDevice"):
        sasaug._core.run(
            1, (8, 8, 1), (0, 0, 1), source, (64, 64), None, None, 0, 1, *nothing, (99, 0)
        )
    images, masks = batch()
    expect(sasaug.sas(*on_gpu(images, masks), seed=1, **SETTINGS), images, masks)


# ---- cupy ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy")


class OnlyInterface:
    """An array of no library: ``__cuda_array_interface__`` and nothing else."""

    def __init__(self, array, stream=None) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, "version": 3}
        if stream is not None:
            self.__cuda_array_interface__["stream"] = stream


def test_cupy_runs_on_its_current_stream(cupy):
    images, masks = batch()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        x, y = cupy.asarray(images), cupy.asarray(masks)
        given = sasaug.sas(x, y, seed=1, **SETTINGS)
        assert isinstance(given[0], cupy.ndarray)
        stream.synchronize()
    x, y = (cupy.asnumpy(side) for side in given)
    expected = sasaug.sas(images, masks, seed=1, **SETTINGS)
    assert x.tobytes() == expected[0].tobytes() and y.tobytes() == expected[1].tobytes()


def test_any_array_with_the_interface(cupy):
    images, masks = batch()
    x, y = cupy.asarray(images), cupy.asarray(masks)
    with cupy.cuda.Stream(non_blocking=True) as producer:
        late = cupy.zeros_like(x)
        late[...] = x
    given = sasaug.sas(OnlyInterface(late, producer.ptr), OnlyInterface(y), seed=1, **SETTINGS)
    assert isinstance(given[0], cupy.ndarray)
    expected = sasaug.sas(images, masks, seed=1, **SETTINGS)
    assert cupy.asnumpy(given[0]).tobytes() == expected[0].tobytes()


def test_cupy_ids_and_plan_on_the_device(cupy):
    images, masks = batch()
    x, y = cupy.asarray(images), cupy.asarray(masks)
    aug = sasaug.SAS(**SETTINGS)
    plan = aug.plan(y, seed=1, ids=cupy.arange(16, dtype=cupy.uint64) + 7)
    given = sasaug.apply(plan, x, y)
    expected = aug(images, masks, seed=1, ids=np.arange(16) + 7)
    assert cupy.asnumpy(given[0]).tobytes() == expected[0].tobytes()
    assert plan == aug.plan(masks, seed=1, ids=np.arange(16) + 7)
