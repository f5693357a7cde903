#!/usr/bin/env python3
"""Finds the coefficients in millrace/kernels/vector_math-inl.h: minimax fits, printed as C++.

Needs numpy and mpmath. Each fit minimises the greatest weighted error (Lawson's iteration on
Chebyshev points); the tests check what comes out in f32.
"""
import mpmath
import numpy as np


def minimax(function, low, high, degree, weight):
    """Coefficients, lowest first, of the polynomial nearest to `function` under `weight`."""
    points = 2000
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(points) + 0.5) / points)
    y = np.array([float(function(mpmath.mpf(v))) for v in x])
    w = np.array([float(weight(mpmath.mpf(v))) for v in x])
    powers = np.vander(x, degree + 1, increasing=True)
    share = np.full(points, 1 / points)
    for _ in range(200):
        scale = w * np.sqrt(share)
        coefficients = np.linalg.lstsq(powers * scale[:, None], y * scale, rcond=None)[0]
        error = np.abs((powers @ coefficients - y) * w)
        share *= error + 1e-30
        share /= share.sum()
    print(f"  greatest weighted error {error.max():.2e}")
    return coefficients


def show(name, coefficients):
    print(name, ", ".join(f"{np.float32(c):.9g}f" for c in coefficients))


mpmath.mp.dps = 40
half = float(mpmath.log(2)) / 2 * 1.0001
# exp(r) = 1 + r + r^2 P(r)
show("exp", minimax(lambda r: (mpmath.e**r - 1 - r) / r**2, -half, half, 4,
                    lambda r: r**2 / mpmath.e**r))
# erf(x) = x + x P(x^2) up to 1
show("erf near 0", minimax(lambda s: mpmath.erf(mpmath.sqrt(s)) / mpmath.sqrt(s) - 1, 1e-9, 1.0, 5,
                           lambda s: mpmath.sqrt(s) / mpmath.erf(mpmath.sqrt(s))))
# erf(x) = 1 - exp(-x P(x)) from 1 to 4
show("erf far", minimax(lambda x: -mpmath.log(mpmath.erfc(x)) / x, 1.0, 4.0, 6,
                        lambda x: x * mpmath.erfc(x) / mpmath.erf(x)))
# tanh(x) = x + x P(x^2) up to 0.625
show("tanh near 0", minimax(lambda s: mpmath.tanh(mpmath.sqrt(s)) / mpmath.sqrt(s) - 1, 1e-9,
                            0.390625, 5, lambda s: mpmath.sqrt(s) / mpmath.tanh(mpmath.sqrt(s))))
