"""sasaug.torch: the module and its ops, traced, compiled, seeded, pickled, in data loaders."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import sasaug
from cases import disc

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

import sasaug.torch  # noqa: E402  # only where there is a torch to import

# torch.compile warns of torch's own use of torch.jit
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
TYPES = ["uint8", "uint16", "float16", "bfloat16", "float32"]


def batch(n: int = 4, dtype: str = "uint8", channels: int = 1, size: int = 40):
    x = np.random.default_rng(0).random((n, channels, size, size))
    images = torch.from_numpy(x if "float" in dtype else x * 250).to(getattr(torch, dtype))
    return images, torch.from_numpy(disc(n, size)).long()


def same(a, b) -> bool:
    return all(
        p.dtype == q.dtype
        and p.shape == q.shape
        and bool((p.contiguous().view(torch.uint8) == q.contiguous().view(torch.uint8)).all())
        for p, q in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_module_gives_the_bytes_of_the_function(dtype):
    images, masks = batch(dtype=dtype, channels=3)
    augment = sasaug.torch.SAS(canvas=(48, 32), p=1.0, position="random")
    ids = [2**64 - 1, 3, 2**63, 0]
    windows = [[0, 0, 40, 40], [3, 4, 20, 30], [0, 0, 1, 1], [39, 0, 1, 40]]
    x, y = augment(images, masks, seed=2**64 - 2, ids=ids, windows=windows)
    expected = sasaug.sas(
        images, masks, seed=2**64 - 2, ids=np.array(ids, np.uint64), windows=windows,
        canvas=(48, 32), p=1.0, position="random",
    )  # fmt: skip
    assert same((x, y), expected)
    assert x.shape == (4, 3, 48, 32) and x.dtype == images.dtype and y.dtype == torch.int64


def test_evaluation_resizes_only():
    images, masks = batch(size=64)
    augment = sasaug.torch.SAS(canvas=48, p=1.0, position="random").eval()
    state = torch.get_rng_state()
    windows = torch.tensor([[0, 0, 64, 32]] * 4)
    x, y = augment(images, masks, windows=windows)
    assert torch.equal(torch.get_rng_state(), state)
    assert same((x, y), sasaug.thumbnail(images, masks, 48, canvas=48, windows=windows))
    assert same((x, y), augment(images, masks, seed=5, ids=[9, 8, 7, 6], windows=windows))
    assert not same((x, y), augment.train()(images, masks, seed=5, windows=windows))


def test_module_tells_and_keeps_its_settings():
    augment = sasaug.torch.SAS(canvas=256, thumbnail=(64, 256), p=0.25)
    assert repr(augment) == "SAS(canvas=(256, 256), thumbnail=(64, 256), p=0.25)"
    assert repr(sasaug.torch.SAS()) == "SAS()"
    images, masks = batch()
    expected = augment(images, masks, seed=1)
    for other in (
        pickle.loads(pickle.dumps(augment)),
        copy.deepcopy(augment),
        sasaug.torch.SAS(augment.settings),
    ):
        assert other.settings == augment.settings
        assert same(other(images, masks, seed=1), expected)
    assert sasaug.torch.SAS(augment.settings, p=1.0).settings.p == 1.0
    assert not list(augment.parameters()) and not augment.state_dict()
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\], got 2"):
        sasaug.torch.SAS(p=2)
    with pytest.raises(TypeError, match=r"settings must be a sasaug\.SAS, got float"):
        sasaug.torch.SAS(0.5)
    assert augment.plan(masks, seed=1) == augment.settings.plan(masks, seed=1)


def test_seeds_come_from_torch():
    images, masks = batch()
    augment = sasaug.torch.SAS(p=1.0)

    def draws(generator=None):
        return [augment(images, masks, seed=generator) for _ in range(2)]

    torch.manual_seed(3)
    first, second = draws()
    assert not same(first, second)
    torch.manual_seed(3)
    assert same(draws()[1], second)
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    state = torch.get_rng_state()
    assert all(same(a, b) for a, b in zip(draws(one), draws(other), strict=True))
    augment(images, masks, seed=9)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(TypeError, match="seed must be an integer"):
        augment(images, masks, seed=np.random.default_rng(0))
    with pytest.raises(ValueError, match="seed must be in"):
        augment(images, masks, seed=2**64)


def op_samples():
    images, masks = batch(channels=2)
    texts = [sasaug.SAS(p=1.0).to_json(), sasaug.SAS(canvas=(24, 30), channels="last").to_json()]
    yield torch.ops.sasaug.sas.default, ([images], [masks], False, texts[0], 5)
    last = (images.permute(0, 2, 3, 1), torch.arange(4))
    windows = torch.tensor([[0, 0, 9, 9]] * 4)
    yield (
        torch.ops.sasaug.sas.default,
        ([last[0]], [masks], False, texts[1], -1, None, last[1], windows, torch.float32),
    )
    ragged = [images[0, 0].float() / 255, images[1, 1, :20].float() / 255]
    yield (
        torch.ops.sasaug.sas.default,
        (ragged, [masks[0], masks[1, :20]], True, texts[1].replace('"last"', "null"), 5),
    )
    yield (
        torch.ops.sasaug.thumbnail.default,
        (images, masks, torch.tensor([9, 8, 7, 40]), "random", 5, None, None, [40, 50], None, True),
    )
    floats = images.float() / 255
    yield (
        torch.ops.sasaug.thumbnail.default,
        (floats, masks, torch.tensor(9), "center", 0, torch.tensor(2**62)),
    )
    yield (
        torch.ops.sasaug.noise.default,
        (images, masks, "speckle", torch.tensor(0.1), 5, None, None, [1], True, 0.5,
         [10.0, 200.0], None, torch.float16),
    )  # fmt: skip


@pytest.mark.parametrize("sample", range(6))
def test_ops_pass_opcheck(sample):
    op, arguments = list(op_samples())[sample]
    results = torch.library.opcheck(op, arguments)
    assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiles_to_one_graph(backend):
    images, masks = batch(dtype="float32")
    augment = sasaug.torch.SAS(p=1.0, canvas=32)

    def step(images, masks, seed):
        x, y = augment(images * 0.5, masks, seed=seed)
        x = sasaug.torch.noise(x, y, "gaussian", 0.1, seed=seed)
        x, y = sasaug.torch.thumbnail(x, y, 20, canvas=32, seed=seed)
        return x + 1, y

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for seed in (1, 2, 3):
        assert same(compiled(images, masks, seed), step(images, masks, seed))
    for few in (2, 3):  # the batch's size may change
        assert same(compiled(images[:few], masks[:few], 1), step(images[:few], masks[:few], 1))


@pytest.mark.parametrize("backend", ["inductor", "aot_eager_decomp_partition"])
def test_compiled_calls_without_a_seed_differ(backend):
    """Also where a graph that is to be differentiated merges what it takes for the same."""
    images, masks = batch()
    augment = sasaug.torch.SAS(p=1.0)
    weight = torch.ones((), requires_grad=True)

    def twice(images, masks):
        return weight * augment(images, masks)[0].float(), weight * augment(images, masks)[
            0
        ].float()

    compiled = torch.compile(twice, fullgraph=True, backend=backend)
    first, second = compiled(images, masks)
    assert not torch.equal(first, second)
    assert not torch.equal(compiled(images, masks)[0], first)
    torch.manual_seed(1)
    one = compiled(images, masks)
    torch.manual_seed(1)
    assert same(compiled(images, masks), one)


def test_lists_of_ids_are_compiled_once():
    images, masks = batch()
    module, graphs = sasaug.torch.SAS(p=1.0), []

    def count(graph, inputs):
        graphs.append(graph)
        return graph

    def step(images, masks, ids):
        return module(images, masks, seed=1, ids=ids)

    compiled = torch.compile(step, fullgraph=True, backend=count)
    for k in range(12):
        ids = list(range(4 * k, 4 * k + 4))
        assert same(compiled(images, masks, ids), step(images, masks, ids))
    assert len(graphs) <= 2  # for the first ids, and for any


def test_compiles_ragged_lists_and_evaluation():
    images, masks = batch()
    lists = [images[0], images[1, :, :30]], [masks[0], masks[1, :30]]
    augment = sasaug.torch.SAS(p=1.0, canvas=32)
    for module in (augment, augment.eval()):
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert same(compiled(*lists, seed=4), module(*lists, seed=4))


def test_exports():
    images, masks = batch()
    augment = sasaug.torch.SAS(p=1.0, canvas=32)
    program = torch.export.export(augment, (images, masks), {"seed": 6})
    assert same(program.module()(images, masks, seed=6), augment(images, masks, seed=6))


def test_autocast_changes_nothing():
    images, masks = batch(dtype="float32")
    augment = sasaug.torch.SAS(p=1.0)
    expected = augment(images, masks, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert same(augment(images, masks, seed=1), expected)


def test_asking_for_a_gradient_raises():
    images, masks = batch(dtype="float32")
    images.requires_grad_()
    x, _ = sasaug.torch.SAS(p=1.0)(images, masks, seed=1)
    x2, _ = sasaug.torch.thumbnail(images, masks, 20)
    for result in (x, x2, sasaug.torch.noise(images, masks, "gaussian", 0.1)):
        with pytest.raises(RuntimeError, match=r"has no gradient: detach\(\)"):
            result.sum().backward()
    with torch.no_grad():
        assert not sasaug.torch.SAS()(images, masks, seed=1)[0].requires_grad
    assert not sasaug.torch.SAS()(images.detach(), masks, seed=1)[0].requires_grad


def test_layouts_of_memory():
    """Views, expanded and channels-last tensors give the bytes of contiguous ones."""
    images, masks = batch(channels=3, size=48)
    augment = sasaug.torch.SAS(p=1.0)
    expected = augment(images, masks, seed=1)
    wide = torch.zeros(4, 3, 48, 96, dtype=torch.uint8)
    wide[..., ::2] = images
    for view in (
        images.to(memory_format=torch.channels_last),
        images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        wide[..., ::2],
    ):
        assert same(augment(view, masks, seed=1), expected)
    grey = images[:, :1]
    assert same(
        augment(grey.expand(4, 3, 48, 48), masks, seed=1),
        augment(grey.repeat(1, 3, 1, 1), masks, seed=1),
    )


# ---- data loaders --------------------------------------------------------------------------

SEED, SIZE = 7, 10


class Scans(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index: images of many sizes."""

    def __len__(self):
        return SIZE

    def __getitem__(self, id):
        rng = np.random.default_rng(id % SIZE)
        h, w = rng.integers(30, 60, 2)
        image = torch.from_numpy(rng.integers(0, 256, (1, h, w), np.uint8))
        mask = torch.zeros(h, w, dtype=torch.uint8)
        mask[h // 4 : -h // 4, w // 4 : -w // 4] = 1
        return image, mask, id


class Collate:
    def __init__(self, seed: int | None) -> None:
        self.seed, self.augment = seed, sasaug.torch.SAS(canvas=48, p=1.0)

    def __call__(self, samples):
        images, masks, ids = zip(*samples, strict=True)
        return *self.augment(list(images), list(masks), seed=self.seed, ids=list(ids)), ids


def pictures(ids, **options):
    """Of each sample id, from a data loader that is asked for these ids in this order."""
    options.setdefault("collate_fn", Collate(SEED))
    loader = DataLoader(Scans(), sampler=ids, **options)
    return {
        id: (x.numpy().tobytes(), y.numpy().tobytes())
        for images, masks, ids in loader
        for x, y, id in zip(images, masks, ids, strict=True)
    }


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (4, "fork"), (2, "spawn")])
def test_any_number_of_workers(workers, start):
    epochs = list(range(2 * SIZE))
    expected = pictures(epochs, batch_size=1)
    assert len(set(expected.values())) == 2 * SIZE
    with warnings.catch_warnings():  # torch's own advice about the machine's cores
        warnings.simplefilter("ignore", UserWarning)
        given = pictures(epochs, batch_size=3, num_workers=workers, multiprocessing_context=start)
    assert given == expected


def test_any_order_rank_or_resume():
    expected = pictures(list(range(2 * SIZE)), batch_size=4)
    shuffled = [int(i) for i in np.random.default_rng(0).permutation(2 * SIZE)]
    assert pictures(shuffled, batch_size=5) == expected
    ranks = [pictures(shuffled[rank::3], batch_size=2) for rank in range(3)]
    assert ranks[0] | ranks[1] | ranks[2] == expected
    resumed = pictures(shuffled[7:], batch_size=6)
    assert resumed == {id: expected[id] for id in shuffled[7:]}


def test_workers_without_a_seed_differ():
    same_image = [0] * 8
    options = {"batch_size": 1, "num_workers": 2, "collate_fn": Collate(None)}

    def draws():
        torch.manual_seed(2)
        loader = DataLoader(Scans(), sampler=same_image, **options)
        return [x.numpy().tobytes() for x, _, _ in loader]

    once = draws()
    assert len(set(once)) == 8
    assert draws() == once


def test_ops_take_a_value_range():
    images, masks = torch.full((2, 1, 32, 32), 100.0), torch.ones(2, 32, 32, dtype=torch.bool)
    x = sasaug.torch.noise(images, masks, "gaussian", 0.1, seed=1, value_range=(0, 255))
    expected = sasaug.gaussian(images, masks, 0.1, seed=1, value_range=(0, 255))
    assert torch.equal(x, expected) and 20 < float(x.std()) < 30
    x, _ = sasaug.torch.thumbnail(images, masks, 8, value_range=(-5, 255))
    assert float(x.min()) == -5
    x, _ = sasaug.torch.SAS(p=1.0, apply_to="all", value_range=(0, 255))(images, masks, seed=1)
    assert float(x.max()) > 100
    with pytest.raises(ValueError, match="value_range must hold the values of float images"):
        sasaug.torch.noise(images, masks, "gaussian", 0.1, seed=1)


def test_plain_calls_break_the_graph_of_a_compiled_step():
    images, masks = batch(dtype="float32")
    images = images / images.max()
    aug = sasaug.SAS(p=1.0)
    plan = aug.plan(masks, seed=1)
    for call in (
        lambda x, y: sasaug.sas(x * 1, y, seed=1)[0] * 2,
        lambda x, y: aug(x * 1, y, seed=1)[0] * 2,
        lambda x, y: sasaug.apply(plan, x * 1, y)[0] * 2,
        lambda x, y: sasaug.thumbnail(x * 1, y, 9)[0] * 2,
        lambda x, y: sasaug.speckle(x * 1, y, 0.1, seed=1) * 2,
    ):
        torch._dynamo.reset()
        assert torch.equal(torch.compile(call, backend="eager")(images, masks), call(images, masks))
