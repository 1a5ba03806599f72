"""One job: fit the polynomial coefficients of draw.h and print them (needs numpy and scipy).

Every fit is weighted least squares, reweighted towards the worst error (Lawson), in float64; the
printed numbers are the nearest float32. `tests/test_draw.py` measures what they achieve.

    python tools/fit_coefficients.py
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammainc, gammaincc, ndtr
from scipy.stats import norm

LOWEST_RATE = 16.0  # below it, counts are found by summing the probabilities instead
WIDEST_NORMAL = 6.67  # sqrt(2 * 32 * ln 2): the largest |normal| that draw.h can produce


def fit(columns: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Coefficients c that nearly minimise max |weight * (columns @ c - target)|."""
    reweighted = weight.copy()
    for _ in range(60):
        c, *_ = np.linalg.lstsq(columns * reweighted[:, None], target * reweighted, rcond=None)
        error = np.abs(columns @ c - target) * weight
        reweighted *= np.sqrt(0.1 + error / error.max())
        reweighted *= weight.max() / reweighted.max()
    return c


def powers(x: np.ndarray, degree: int) -> np.ndarray:
    return np.stack([x**i for i in range(degree + 1)], -1)


def logarithm() -> np.ndarray:
    """Q in log(1 + f) = f - f^2 / 2 + f^3 Q(f), for 1 + f in [sqrt(1/2), sqrt(2)]."""
    f = np.linspace(np.sqrt(0.5) - 1, np.sqrt(2) - 1, 4001)
    f = f[np.abs(f) > 1e-3]
    return fit(powers(f, 7), (np.log1p(f) - f + f**2 / 2) / f**3, np.abs(f**3 / np.log1p(f)))


def exponential() -> np.ndarray:
    """E in exp(r) = 1 + r + r^2 E(r), for |r| <= ln(2) / 2."""
    r = np.linspace(-0.35, 0.35, 4000)
    return fit(powers(r, 4), (np.expm1(r) - r) / r**2, r**2)


def sine() -> np.ndarray:
    """S in sin(x) = x + x^3 S(x^2), for |x| <= pi/4."""
    x = np.linspace(0.01, np.pi / 4, 4000)
    return fit(powers(x**2, 2), (np.sin(x) - x) / x**3, x**2)


def cosine() -> np.ndarray:
    """C in cos(x) = 1 - x^2 / 2 + x^4 C(x^2), for |x| <= pi/4."""
    x = np.linspace(0.01, np.pi / 4, 4000)
    return fit(powers(x**2, 2), (np.cos(x) - 1 + x**2 / 2) / x**4, x**4)


def gamma_shape(z: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """The a with Q(a, rate) = Phi(z): floor(a) is the count that the normal z stands for."""
    low, high = np.full(z.shape, 1e-12), rate + 10 * np.sqrt(rate) + 60
    for _ in range(80):
        middle = (low + high) / 2
        below = np.where(
            z < 0, gammaincc(middle, rate) < ndtr(z), ndtr(-z) < gammainc(middle, rate)
        )
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def poisson() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P, C0, C1 in a = rate + z sqrt(rate) + z^2 P(s) + C0(s) + C1(s) / rate, s = z / sqrt(rate).

    The form is Temme's uniform expansion of the inverse incomplete gamma function (SIAM J. Math.
    Anal. 13, 1982), as Giles uses it for Poisson numbers (ACM TOMS 42, 2016).
    """
    u, z = np.meshgrid(
        np.linspace(0.005, 1 / np.sqrt(LOWEST_RATE), 50),
        np.linspace(-WIDEST_NORMAL, WIDEST_NORMAL, 269),
        indexing="ij",
    )
    rate, s = 1 / u**2, z * u
    a = gamma_shape(z, rate)
    use = a > 0.5
    z, rate, s, a = z[use], rate[use], s[use], a[use]
    columns = np.concatenate(
        [z[:, None] ** 2 * powers(s, 6), powers(s, 5), powers(s, 2) / rate[:, None]], -1
    )
    # the square root of the density: the tails keep a small relative error too
    c = fit(columns, a - rate - z * np.sqrt(rate), np.sqrt(norm.pdf(z) / rate))
    return c[:7], c[7:13], c[13:]


def main() -> None:
    names = ("poisson P", "poisson C0", "poisson C1")
    fits = {"log": logarithm(), "exp": exponential(), "sin": sine(), "cos": cosine()}
    fits.update(zip(names, poisson(), strict=True))
    for name, c in fits.items():
        print(f"{name:10s}", ", ".join(f"{np.float32(v)!s}f" for v in c))


if __name__ == "__main__":
    main()
