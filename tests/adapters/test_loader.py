"""sasaug.adapters.loader, and random states that workers have copies of."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import warnings

import numpy as np
import pytest

import samples
from samples import SETTINGS, picture
from sasaug.adapters._origin import Origin
from sasaug.adapters.loader import SampleIds

torch = pytest.importorskip("torch")

LENGTH = 16


def test_ids_name_epoch_and_image():
    ids = SampleIds(LENGTH)
    epochs = [list(ids) for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [
        list(range(k * LENGTH, (k + 1) * LENGTH)) for k in range(3)
    ]
    assert len({tuple(np.array(epoch) % LENGTH) for epoch in epochs}) == 3  # orders
    assert list(SampleIds(LENGTH, first_epoch=2)) == epochs[2]
    ids.set_epoch(1)
    assert list(ids) == epochs[1] and all(type(id) is int for id in epochs[0])
    assert list(SampleIds(LENGTH, seed=5)) != epochs[0]


@pytest.mark.parametrize(("length", "ranks"), [(16, 1), (16, 2), (17, 4), (3, 4)])
def test_ranks_share_an_epoch_evenly(length, ranks):
    for _ in range(2):
        shares = [list(SampleIds(length, rank=rank, ranks=ranks)) for rank in range(ranks)]
        every = [id for share in shares for id in share]
        assert len(set(every)) == len(every) == length // ranks * ranks
        assert {len(share) for share in shares} == {len(SampleIds(length, 0, 0, ranks))}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"length": -1}, ValueError, "length must be at least 0, got -1"),
        ({"length": 2.0}, TypeError, r"length must be an integer, got 2\.0"),
        ({"length": 2, "rank": 2, "ranks": 2}, ValueError, r"rank must be in \[0, ranks\), got ra"),
    ],
)
def test_numbers_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        SampleIds(**arguments)


class Scans(torch.utils.data.Dataset):
    """The same image again and again: what differs is drawn."""

    def __init__(self, host, seed_each=False):
        samples.host(host)
        self.host, self.seed_each = host, seed_each
        if host == "albumentations":
            import albumentations as A

            from sasaug.adapters.albumentations import SAS

            self.pipeline = A.Compose([SAS(**SETTINGS)], seed=7)
        else:
            from monai.transforms import Compose

            from sasaug.adapters.monai import RandSASd

            how = {**SETTINGS, "prob": SETTINGS["p"]}
            del how["p"]
            self.pipeline = Compose([RandSASd("image", "label", **how)]).set_random_state(7)

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        image, mask = picture()
        if self.host == "albumentations":
            if self.seed_each:
                self.pipeline.set_random_seed(index)
            return torch.from_numpy(self.pipeline(image=image[0], mask=mask)["image"])
        if self.seed_each:
            self.pipeline.set_random_state(index)
        return self.pipeline({"image": image, "label": mask[None]})["image"].as_tensor()


def epochs(dataset, **options) -> list[list[bytes]]:
    with warnings.catch_warnings():  # torch's own advice about the machine's cores
        warnings.filterwarnings("ignore", message=".*worker processes")
        loader = torch.utils.data.DataLoader(dataset, batch_size=4, **options)
        return [[x.numpy().tobytes() for batch in loader for x in batch] for _ in range(2)]


HOSTS = ["albumentations", "monai"]  # whose random states are kept in transforms
WORKERS = [
    {"num_workers": 0},
    {"num_workers": 2, "multiprocessing_context": "fork"},
    {"num_workers": 2, "multiprocessing_context": "fork", "persistent_workers": True},
]
#: Spawned workers import the host, which takes MONAI ten seconds; both hosts' states are pickled.
SPAWNED = {"num_workers": 2, "multiprocessing_context": "spawn", "persistent_workers": True}


@pytest.mark.parametrize(
    ("host", "options"),
    [*((host, options) for host in HOSTS for options in WORKERS), ("albumentations", SPAWNED)],
    ids=str,
)
def test_workers_and_epochs_differ_and_a_seed_repeats_them(host, options):
    def draws():
        torch.manual_seed(3)
        return epochs(Scans(host), **options)

    first, second = draws()
    assert len(set(first + second)) == 2 * LENGTH
    if options.get("multiprocessing_context") != "spawn":
        assert draws() == [first, second]


@pytest.mark.parametrize("host", HOSTS)
def test_a_pickled_state_is_known_for_a_copy(host):
    """So that a spawned worker, to which it is pickled, draws apart as a forked one does."""

    def origin(dataset):
        (step,) = dataset.pipeline.transforms
        return step._origin if host == "albumentations" else step.rand_sas._origin

    dataset = Scans(host)
    assert origin(dataset).process == os.getpid()
    origin(dataset).process = -1
    assert origin(pickle.loads(pickle.dumps(dataset))).process == -1


@pytest.mark.parametrize("host", HOSTS)
def test_a_state_seeded_in_the_worker_is_left_alone(host):
    """The same images for any number of workers, where the data set seeds every sample."""
    alone = epochs(Scans(host, seed_each=True), num_workers=0)
    assert epochs(Scans(host, seed_each=True), num_workers=2) == alone
    assert len(set(alone[0])) == LENGTH


def in_a_process(dataset, seeded, queue):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if seeded and dataset.host == "albumentations":
            dataset.pipeline.set_random_seed(1)
        elif seeded:
            dataset.pipeline.set_random_state(1)
        for k in range(3):
            dataset[k]
    queue.put([str(one.message) for one in seen if "random state" in str(one.message)])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("seeded", [False, True])
def test_other_processes_are_told_that_their_state_is_a_copy(host, seeded):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=in_a_process, args=(Scans(host), seeded, queue))
    process.start()
    told = queue.get()
    process.join()
    assert len(told) == (not seeded)
    assert all("processes that copy the same state repeat one another" in text for text in told)


def test_a_pipeline_loaded_by_a_program_of_its_own_is_no_copy():
    origin = Origin()
    origin.process = -1  # it was pickled elsewhere
    assert origin.seed(5) == 5  # and no warning, which would be an error
