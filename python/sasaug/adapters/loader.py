"""One job: sample ids for torch's ``DataLoader``, which make every epoch's images its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._checks import is_integer

__all__ = ["SampleIds"]


class SampleIds:
    """A sampler of sample ids, ``epoch * length + index``, in a new order for each epoch.

    The data set's ``__getitem__(id)`` reads image ``id % length`` and hands the id on to the
    transform. The sampler runs in the main process and counts the epochs: the ids, and with them
    the images, are the same for any number of workers, forked, spawned or persistent.

    Parameters
    ----------
    length : int
        Number of images in the data set.
    seed : int
        Seed of the order; the augmentation has its own.
    rank, ranks : int
        This process's number in [0, ranks), and how many there are: each gets its share of every
        epoch, all shares of one size. A trainer that divides samplers itself needs neither.
    first_epoch : int
        Number of the first epoch, to resume a run.

    Raises
    ------
    ValueError, TypeError
        If a number is not an integer of its range.

    Examples
    --------
    >>> from sasaug.adapters.loader import SampleIds
    >>> ids = SampleIds(3)
    >>> sorted(ids), sorted(ids)
    ([0, 1, 2], [3, 4, 5])
    """

    def __init__(
        self, length: int, seed: int = 0, rank: int = 0, ranks: int = 1, first_epoch: int = 0
    ) -> None:
        given = {"length": length, "seed": seed, "rank": rank, "ranks": ranks}
        for name, value in {**given, "first_epoch": first_epoch}.items():
            if not is_integer(value):
                raise TypeError(f"{name} must be an integer, got {value!r}")
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if not rank < ranks:
            raise ValueError(f"rank must be in [0, ranks), got rank {rank} of {ranks}")
        self.length, self.seed, self.rank, self.ranks = length, seed, rank, ranks
        self.epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, as trainers do that know it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
        share = order[self.rank :: self.ranks][: len(self)]
        return iter((epoch * self.length + share).tolist())

    def __len__(self) -> int:
        """Return the number of ids in an epoch, which is the same on every rank."""
        return self.length // self.ranks
