"""With ids, a run that is killed inside its second epoch and resumed sees the same images."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import samples
from samples import SETTINGS, picture
from sasaug.adapters.loader import SampleIds
from test_ranks import HOSTS, Scans

torch = pytest.importorskip("torch")

SIZE, BATCH, EPOCHS = 6, 2, 2
STEPS = SIZE // BATCH  # of an epoch
WITH_IDS = [*(host for host in HOSTS if host != "kornia"), "jax"]  # kornia passes none


class Ids(torch.utils.data.Dataset):
    """For a host that augments in the main process, where the batch is."""

    def __getitem__(self, id):
        return id


def batches(host, workers, *, first_epoch=0, done=0):
    """The run from one of its steps on, as a new process would start it."""
    seed = 1 + workers + 10 * done  # other states than those of the run that is resumed
    torch.manual_seed(seed)
    np.random.seed(seed)
    data = Ids() if host == "jax" else Scans(host, with_ids=True)
    ids = SampleIds(SIZE, first_epoch=first_epoch)
    options = {"num_workers": workers}
    if workers:
        options["multiprocessing_context"] = "fork"
    for _ in range(first_epoch, EPOCHS):
        left = list(torch.utils.data.BatchSampler(ids, BATCH, drop_last=False))[done:]
        done = 0
        for batch in torch.utils.data.DataLoader(data, batch_sampler=left, **options):
            x = in_jax(batch) if host == "jax" else batch
            yield [image.numpy().tobytes() for image in x]


def in_jax(ids):
    import jax.numpy as jnp

    from sasaug.adapters.jax import SAS

    image, mask = picture()
    frames, labels = (jnp.asarray(np.stack([array] * len(ids))) for array in (image[0], mask))
    x, _ = SAS(**SETTINGS)(frames, labels, 5, jnp.asarray(ids.numpy()))
    return torch.from_numpy(np.array(x))


@pytest.mark.parametrize("host", WITH_IDS)
def test_a_resumed_run_sees_the_images_of_one_that_was_not_killed(host):
    samples.host({**HOSTS, "jax": "jax"}[host])
    with warnings.catch_warnings():  # torch's own advice about the machine's cores
        warnings.filterwarnings("ignore", message=".*worker processes")
        whole = list(batches(host, 0))
        assert len(set(itertools.chain(*whole))) == EPOCHS * SIZE
        for workers in (1, 2, 4):
            killed = list(itertools.islice(batches(host, workers), STEPS + 1))
            assert killed == whole[: STEPS + 1], workers
            rest = list(batches(host, workers, first_epoch=1, done=1))
            assert rest == whole[STEPS + 1 :], workers
