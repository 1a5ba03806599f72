"""Words to numbers: accuracy of the polynomials, and goodness of fit of 10^6 draws.

The draws are taken from the NumPy reference, whose bits test_reference.py finds in the kernels.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sasaug import reference

f32 = np.float32
LOWEST_P = 1e-4  # seeds are fixed: a draw this unlikely was looked for and not found


def words(seed: int, rows: int = 1000, columns: int = 1000):
    return reference.canvas_words(seed, 5, reference.UNIFORM, 0, rows, columns)


def test_logarithm_is_accurate():
    u = np.concatenate([2.0 ** -np.linspace(0, 32, 100_001), 1 - np.logspace(-7, -1, 999)])
    u = u.astype(f32)
    u = u[u < 1]
    exact = np.log(u.astype(float))
    assert np.abs(reference.natural_log(u) / exact - 1).max() < 2.5e-7


def test_exponential_is_accurate():
    x = np.linspace(0, 16, 100_001).astype(f32)
    assert np.abs(reference.exp_negative(x) / np.exp(-x.astype(float)) - 1).max() < 2.5e-7


def test_normals_are_box_and_mullers():
    w = np.random.default_rng(0).integers(0, 2**32, (2, 10**6), dtype=np.uint32)
    w[:, :4] = [[0, 2**32 - 1, 0, 2**32 - 1], [0, 0, 2**32 - 1, 2**31]]
    n0, n1 = reference.normal_pair(*w)
    u = ((w[0] >> 1).astype(np.int32).astype(f32) + f32(0.5)) * f32(2.0**-31)  # as it is drawn
    radius = np.sqrt(-2 * np.log(u.astype(float)))
    angle = w[1].astype(float) / 2**32 * 2 * np.pi
    for n, exact in ((n0, radius * np.cos(angle)), (n1, radius * np.sin(angle))):
        assert np.abs(n - exact).max() < 2e-6
        assert np.isfinite(n).all() and np.abs(n).max() < 6.67


def test_uniform_is_uniform():
    u = reference.uniform(words(1)).ravel()
    assert u.min() >= 0 and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > LOWEST_P


def test_normals_are_normal_and_independent():
    n = reference.canvas_normals(3, 2**40, 0, 1000, 1000)
    assert stats.kstest(n.ravel(), "norm").pvalue > LOWEST_P
    assert abs(n.mean()) < 4e-3 and abs(n.std() - 1) < 3e-3
    # neighbours of every kind: in a block, across blocks, across bands; linear and in size
    for a, b in (
        (n[::4], n[1::4]),
        (n[1::4], n[2::4]),
        (n[:, :-1], n[:, 1:]),
        (n[3:-1:4], n[4::4]),
    ):
        for x, y in ((a, b), (a**2, b**2)):
            assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_purposes_channels_ids_and_seeds_are_independent():
    drawn = [
        reference.uniform(reference.canvas_words(*where, 200, 200)).ravel()
        for where in ((1, 1, 1, 0), (1, 1, 2, 0), (1, 1, 1, 1), (1, 2, 1, 0), (2, 1, 1, 0),
                      (1, 1 + 2**32, 1, 0), (1 + 2**32, 1, 1, 0))
    ]  # fmt: skip
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 5 / 200


@pytest.mark.parametrize(
    "rate", [16, 16.5, 17.3, 20, 25.4, 37, 60, 100, 255, 1000.7, 1e4, 1e6, 1e7]
)
def test_high_rates_have_the_exact_distribution_function(rate):
    """Every step of the count, found by bisection in the normal, is where the exact one is."""
    deviation = np.sqrt(rate)
    counts = np.unique(
        np.linspace(max(0, rate - 5.5 * deviation), rate + 6 * deviation, 3000).astype(int)
    )
    low, high = np.full(counts.shape, -6.67), np.full(counts.shape, 6.67)
    rates = np.full(counts.shape, rate, f32)
    for _ in range(40):
        middle = (low + high) / 2
        above = reference.poisson_high(rates, middle.astype(f32)) > counts
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    exact = stats.poisson.cdf(counts, float(f32(rate)))
    assert np.abs(stats.norm.cdf(low) - exact).max() < 2e-6


@pytest.mark.parametrize("rate", [0, 1e-6, 0.01, 0.5, 1, 3.3, 7, 9.9, 12, 15.999])
def test_low_rates_have_the_exact_distribution_function(rate):
    low, high = np.zeros(64, np.int64), np.full(64, 2**32 - 1)
    counts = np.arange(64)
    rates = np.full(64, rate, f32)
    for _ in range(33):
        middle = (low + high) // 2
        above = reference.poisson_low(rates, middle.astype(np.uint32)) > counts
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    exact = stats.poisson.cdf(counts, float(f32(rate)))
    assert np.abs(high / 2**32 - exact).max() < 1e-6


@pytest.mark.parametrize("rate", [0, 0.01, 1, 9.9, 10, 37, 255, 1000, 10_000])
def test_poisson_fits(rate):
    peak = f32(max(rate, 1))
    x = np.full((1000, 1000), f32(rate) / peak, f32)
    n = reference.canvas_normals(21, 9, 0, *x.shape)
    counts = reference.poisson(x, n, words(21), f32(1), peak, f32(0)) * peak
    counts = np.rint(counts).astype(int).ravel()
    if rate == 0:
        assert not counts.any()
        return
    mean = float(f32(rate) / peak * peak)
    assert abs(counts.mean() - mean) < 5 * np.sqrt(mean / counts.size)
    assert abs(counts.var() / mean - 1) < 5 * np.sqrt((2 + 1 / mean) / counts.size)
    # chi-square over cells of about equal probability, each expected at least 50 times
    edges = np.unique(stats.poisson.ppf(np.linspace(0, 1, 200)[1:-1], mean))
    expected = np.diff(np.concatenate([[0], stats.poisson.cdf(edges, mean), [1]])) * counts.size
    seen = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    keep = expected >= 50
    seen = np.append(seen[keep], seen[~keep].sum())
    expected = np.append(expected[keep], expected[~keep].sum())
    seen, expected = seen[expected > 0], expected[expected > 0]
    assert stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > LOWEST_P
