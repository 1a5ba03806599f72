"""The border to the array libraries: what they share, what is refused there, and their seeds."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

import sasaug
from cases import Case, cases, disc, numpy_state, same_bytes
from libraries import Exporter, Face
from sasaug import _frontends, _records

CPU, CUDA, METAL = 1, 2, 8  # DLPack's device types


def batch(dtype: str = "uint8"):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 20, 30)).astype(dtype), disc(3, 30)[:, 5:25]


def refused(error, message: str, images, masks, **options) -> None:
    with pytest.raises(error) as caught:
        sasaug.sas(images, masks, **{"seed": 0, **options})
    assert message in str(caught.value)


@given(case=cases())
def test_plans_of_one_library_are_for_all(face: Face, case: Case):
    theirs, ours = case.plan(face), case.plan()
    expected = sasaug.apply(ours, case.images, case.masks, dtype=case.dtype, check_values=False)
    there = face.apply(ours, case.images, case.masks, dtype=case.dtype, check_values=False)
    here = sasaug.apply(theirs, case.images, case.masks, dtype=case.dtype, check_values=False)
    assert theirs == ours
    for got in (there, here):
        assert same_bytes(got[0], expected[0]) and same_bytes(got[1], expected[1])


def test_channels_are_where_the_librarys_users_put_them(face: Face):
    images, masks = np.random.default_rng(0).random((2, 3, 4, 4), np.float32), disc(2, 4)
    first = face.library.frontend.name == "torch"
    place = "first" if first else "last"
    masks = masks if first else disc(2, 4)[:, :3]
    with face.library.running():
        given = face.to(images), face.to(masks)
        x, _ = sasaug.sas(*given, seed=1, p=1.0)
        plan = sasaug.SAS(p=1.0).plan(given[1], seed=1)
        again, _ = sasaug.apply(plan, *given)
    expected, _ = sasaug.sas(images, masks, seed=1, p=1.0, channels=place)
    assert same_bytes(face.back(x), expected) and same_bytes(face.back(again), expected)


# ---- arrays that do not belong together --------------------------------------------------------


def test_arrays_of_two_libraries(face: Face):
    name = face.library.frontend.name
    if face.library.frontend is _frontends.NUMPY:
        pytest.skip("the other library is numpy")
    images, masks = batch()
    x, y = face.to(images), face.to(masks)
    with face.library.running():
        refused(TypeError, f"masks must be of the images' library, {name}, got numpy", x, masks)
        refused(TypeError, f"masks must be of the images' library, numpy, got {name}", images, y)
        mixed = [face.to(images[0]), images[1]], [face.to(masks[0]), face.to(masks[1])]
        refused(TypeError, f"images[1] must be a {name} array of type uint8", *mixed)
        mixed = [images[0], face.to(images[1])], [masks[0], masks[1]]
        refused(TypeError, "images[1] must be a numpy array of type uint8", *mixed)
        for out in ((images.copy(), face.to(masks)), (face.to(images), masks.copy())):
            place = 0 if isinstance(out[0], np.ndarray) else 1
            message = f"out[{place}] must be a {name} uint8 array (3, 20, 30), got uint8"
            refused(ValueError, message, x, y, out=out)
        with pytest.raises(ValueError, match=f"out must be a {name} uint8 array"):
            sasaug.gaussian(x, y, 0.1, seed=0, out=images.copy())


def test_arrays_on_two_devices(face: Face):
    images, masks = batch()
    x, y = face.to(images), face.to(masks)
    away = face.library.elsewhere
    frontend = face.library.frontend
    names = [
        "the CPU" if number is None else f"cuda:{number}"
        for number in (frontend.device(x), frontend.device(away(x)))
    ]
    here, there = names
    with face.library.running():
        refused(ValueError, f"masks must be on the images' device, {here}, got {there}", x, away(y))
        lists = [face.to(images[0]), away(face.to(images[1]))], [face.to(m) for m in masks[:2]]
        message = f"images[1] must be on the device of the first, {here}, got {there}"
        refused(ValueError, message, *lists)
        for place in (0, 1):
            out = [face.to(images.copy()), face.to(masks.copy())]
            out[place] = away(out[place])
            message = f"out[{place}] must be on the images' device, {here}, got {there}"
            refused(ValueError, message, x, y, out=tuple(out))


def test_outputs_that_overlap_themselves(face: Face):
    images, masks = batch()
    memory = np.zeros(3000, np.uint8)
    shape = images.shape
    for strides in ((600, 30, 0), (0, 30, 1), (600, 29, 1), (600, 1, 2), (599, 30, 1)):
        view = np.lib.stride_tricks.as_strided(memory, shape, strides)
        for out in ((view, masks.copy()), (images.copy(), view)):
            place = 0 if out[0] is view else 1
            with pytest.raises(ValueError, match=rf"out\[{place}\] must not overlap itself, got"):
                face.sas(images, masks, seed=0, out=out)
    assert not memory.any()
    for strides in ((1, 3, 60), (600, 1, 20), (901, 30, 1)):  # odd, but each element by itself
        view = np.lib.stride_tricks.as_strided(memory, shape, strides)
        face.sas(images, masks, seed=0, out=(view, masks.copy()))
        assert same_bytes(view.copy(), sasaug.sas(images, masks, seed=0)[0])


# ---- torch -------------------------------------------------------------------------------------


def test_tensors_that_no_kernel_can_read():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(a) for a in batch("float32"))
    sparse = torch.zeros(20, 30).to_sparse()
    negated = torch.imag(torch.zeros(3, 20, 30, dtype=torch.complex64).conj())
    assert negated.is_neg()
    rule = "must be a dense tensor on the CPU or a CUDA device, got torch."
    message = "must not be a negated view: call resolve_neg(), got one"
    refused(TypeError, f"images {rule}sparse_coo on cpu", sparse, y[0])
    refused(TypeError, f"masks {rule}sparse_coo on cpu", x[0], sparse.bool())
    refused(TypeError, f"images {rule}strided on meta", x.to("meta"), y.to("meta"))
    refused(TypeError, f"masks {rule}strided on meta", x, y.to("meta"))
    refused(TypeError, f"out[0] {rule}strided on meta", x, y, out=(x.to("meta"), y.clone()))
    refused(TypeError, f"images[1] {rule}strided on meta", [x[0], x[1].to("meta")], [y[0], y[1]])
    refused(ValueError, f"images {message}", negated, y)
    refused(ValueError, f"out[0] {message}", x, y, out=(negated, y.clone()))
    resolved = sasaug.sas(negated.resolve_neg(), y, seed=0)[0]
    assert resolved.dtype == torch.float32


def test_tensors_that_require_a_gradient():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(a) for a in batch("float32"))
    x /= 255
    expected = sasaug.sas(x, y, seed=0, p=1.0)[0]
    wanting = x.clone().requires_grad_()
    message = "must not require a gradient, the augmentation has none: detach() it"
    refused(ValueError, f"images {message}, got requires_grad=True", wanting, y)
    refused(ValueError, f"out[0] {message}", x, y, out=(wanting, y.clone()))
    with torch.no_grad():
        got = sasaug.sas(wanting, y, seed=0, p=1.0)[0]
    assert torch.equal(got, expected) and not got.requires_grad
    assert torch.equal(sasaug.sas(wanting.detach(), y, seed=0, p=1.0)[0], expected)


def test_expanded_tensors():
    torch = pytest.importorskip("torch")
    image, mask = (torch.from_numpy(a[0]) for a in batch())
    many = image.expand(3, 20, 30), mask.expand(3, 20, 30)
    got = sasaug.sas(*many, seed=0, p=1.0)
    expected = sasaug.sas(*(a.contiguous() for a in many), seed=0, p=1.0)
    assert torch.equal(got[0], expected[0]) and torch.equal(got[1], expected[1])
    out = torch.zeros(20, 30, dtype=torch.uint8).expand(3, 20, 30), many[1].clone()
    refused(ValueError, "out[0] must not overlap itself, got strides (0, 30, 1)", *many, out=out)


# ---- libraries that sasaug does not know -------------------------------------------------------


class Elsewhere(Exporter):
    """Says that it lies on a device of another type."""

    device = METAL

    def __dlpack_device__(self):
        return self.device, 0


def test_dlpack_of_an_unknown_device():
    images, masks = batch()
    rule = "must be on the CPU or, with cupy or torch imported, a CUDA device, got DLPack device"
    refused(TypeError, f"images {rule} type 8", Elsewhere(images), masks)
    refused(TypeError, f"masks {rule} type 8", images, Elsewhere(masks))
    refused(TypeError, f"images[1] {rule} type 8", [images[0], Elsewhere(images[1])], [*masks[:2]])


def test_dlpack_of_a_gpu_that_no_imported_library_can_read():
    code = f"""if True:
        import numpy as np, sasaug
        class Far:
            def __dlpack__(self, **options): raise AssertionError("nobody can read it")
            def __dlpack_device__(self): return {CUDA}, 0
        try: sasaug.sas(Far(), np.zeros((2, 2), bool))
        except TypeError as error: print(error)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "images must be on the CPU or, with cupy or torch imported" in run.stdout, run.stderr
    assert "got DLPack device type 2" in run.stdout


class Failing(Exporter):
    def __dlpack__(self, **options):
        raise self._array

    def __dlpack_device__(self):
        return CPU, 0


@pytest.mark.parametrize("error", [BufferError, RuntimeError, TypeError, ValueError])
def test_dlpack_that_cannot_be_read(error):
    message = "images must be an array that numpy.from_dlpack takes, got bad news"
    refused(TypeError, message, Failing(error("bad news")), batch()[1])


def test_dlpack_of_types_that_numpy_has_not():
    torch = pytest.importorskip("torch")
    images, masks = batch()
    tensor = torch.from_numpy(images).to(torch.bfloat16)
    refused(
        TypeError,
        "images must be an array that numpy.from_dlpack takes, got",
        Exporter(tensor),
        masks,
    )
    refused(TypeError, "images must be of type uint8", Exporter(images.astype(np.complex64)), masks)


def test_gpu_arrays_without_cupy(monkeypatch):
    class Far:
        __cuda_array_interface__ = ()

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    message = "or a list of them (import cupy first), got test_frontends"
    refused(TypeError, message, Far(), np.zeros((2, 2), bool))


def test_bfloat16_without_ml_dtypes():
    code = """if True:
        import sys, numpy as np, sasaug
        x = np.zeros((2, 9, 9), np.float32)
        assert "ml_dtypes" not in sys.modules
        try: sasaug.sas(x, x > 0, seed=0, dtype="bfloat16")
        except TypeError as error: print(error)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = "dtype must be a type that numpy knows (bfloat16: import ml_dtypes), got 'bfloat16'"
    assert run.stdout.strip() == expected, run.stderr


def test_types_may_be_named_in_every_way(face: Face):
    images, masks = batch()
    names = ["bfloat16", np.dtype(ml_dtypes.bfloat16), ml_dtypes.bfloat16]
    if face.library.frontend.name == "torch":
        names.append(sys.modules["torch"].bfloat16)
    expected = sasaug.sas(images, masks, seed=0, dtype="bfloat16")[0]
    for name in names:
        with face.library.running():
            x, _ = sasaug.sas(face.to(images), face.to(masks), seed=0, dtype=name)
        assert same_bytes(face.back(x), expected)


# ---- seeds -------------------------------------------------------------------------------------


def generator_of(face: Face, seed: int):
    """One of the library's own random generators."""
    if face.library.frontend is _frontends.NUMPY:
        return np.random.default_rng(seed)
    if face.library.frontend.name != "torch":
        pytest.skip("no generator is taken")
    import torch

    return torch.Generator(face.library.place).manual_seed(seed)


def test_a_generator_as_the_seed(face: Face):
    images, masks = batch()
    aug = face.SAS(p=1.0)
    first, again = generator_of(face, 5), generator_of(face, 5)
    seeds = [aug.plan(masks, seed=first).seed for _ in range(20)]
    assert [aug.plan(masks, seed=again).seed for _ in range(20)] == seeds
    assert len(set(seeds)) == 20 and max(seeds) >= 2**32
    one, two = generator_of(face, 6), generator_of(face, 6)
    x, _ = aug(images, masks, seed=one)
    assert same_bytes(x, aug(images, masks, seed=aug.plan(masks, seed=two).seed)[0])


def test_a_generator_of_another_library(face: Face):
    torch = pytest.importorskip("torch")
    images, masks = batch()
    name = face.library.frontend.name
    others = [np.random.RandomState(0), random.Random(0)]
    if name != "numpy":
        others.append(np.random.default_rng(0))
    if name != "torch":
        others.append(torch.Generator())
    for other in others:
        rule = f"a generator of {name} or None, got"
        with pytest.raises(TypeError, match=rule):
            face.sas(images, masks, seed=other)


def states() -> list[object]:
    """Of every generator that a program shares."""
    found = [random.getstate(), numpy_state()]
    if torch := sys.modules.get("torch"):
        found.append(torch.get_rng_state().tolist())
        if torch.cuda.is_available():
            found.append(torch.cuda.get_rng_state().tolist())
    return found


def test_a_seed_leaves_every_shared_generator_alone(face: Face):
    images, masks = batch()

    def answer():
        plan = face.SAS(p=1.0).plan(masks, seed=3)
        noisy = face.gaussian(images, masks, 0.1, seed=3)
        return *face.sas(images, masks, seed=3), *face.apply(plan, images, masks), noisy

    before, first = states(), answer()
    assert states() == before
    random.random(), np.random.random()
    if torch := sys.modules.get("torch"):
        torch.rand(1)
    assert states() != before
    assert all(same_bytes(a, b) for a, b in zip(answer(), first, strict=True))


def test_torch_draws_the_seed_from_its_default_generator():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(a) for a in batch())
    aug = sasaug.SAS(p=1.0)

    def three():
        torch.manual_seed(8)
        shared = states()[:2]
        pairs = [aug(x, y)[0], sasaug.gaussian(x, y, 0.1), sasaug.sas(x, y, p=1.0)[0]]
        assert states()[:2] == shared
        return pairs, aug.plan(y).seed

    (first, seed), (again, same) = three(), three()
    assert seed == same and all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[2])
    torch.manual_seed(9)
    assert aug.plan(y).seed != seed


def test_numpys_seeds_come_from_the_system():
    _, masks = batch()
    seeds = set()
    for _ in range(3):
        np.random.seed(0)
        seeds.add(sasaug.SAS().plan(masks).seed)
    assert len(seeds) == 3
    np.random.seed(0)
    before = states()
    sasaug.SAS().plan(masks)
    assert states() == before


def test_a_library_whose_import_failed_is_none():
    """What a failed import may leave in sys.modules owns no array and stops no other's call."""
    code = """if True:
        import sys, types, numpy as np, sasaug
        sys.modules["cupy"] = sys.modules["torch"] = types.ModuleType("half")
        x = np.zeros((1, 8, 8), np.uint8)
        sasaug.sas(x, x, seed=1, ids=[1])
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(sasaug.cuda_available(), reason="there is a GPU")
def test_a_cuda_call_without_a_gpu_is_one_clear_error():
    source = _records.Source(h=8, w=8, frames=1)
    batch = _records.Batch(
        n=1, h=8, w=8, c=1, frames=1, sources=ctypes.addressof(source), stacked=True
    )  # fmt: skip
    with pytest.raises(RuntimeError, match=r"cudaError\w+, |built without CUDA"):
        sasaug._core.run_cuda(batch, _records.Inputs(), 0, 0)


def test_a_record_of_another_size_is_refused():
    with pytest.raises(ValueError, match="a record must have the size that C"):
        sasaug._core.run(bytes(7), None, 1)
