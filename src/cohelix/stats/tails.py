"""Tail probabilities as −log10 p, two-sided, accurate where p itself is too small for a float."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import interpolate, special

from cohelix.core.arrays import BoolArray, FloatArray

_SMALL = 1e-280  # below it the logarithm is computed without the probability
_LN10 = np.log(10.0)
_STEPS_MAX = 100_000
_MANY = 20_000  # statistics with one number of degrees of freedom, from which on a curve is three times as fast
_CURVE_MAX, _CURVE_PIECES = 40.0, 2560  # pieces of 1/64: their error is below 1e-12
_CONVERGED = 1e-15


def neg_log10_p_normal(z: FloatArray) -> FloatArray:
    """−log10 of P(|Z| ≥ |z|) of a standard normal Z; any shape, NaN stays NaN."""
    return np.asarray(-(special.log_ndtr(-np.abs(z)) + np.log(2.0)) / _LN10 + 0.0, np.float64)


def neg_log10_p_t(t: FloatArray, df: FloatArray | float) -> FloatArray:
    """−log10 of P(|T| ≥ |t|) of Student's t.

    Parameters
    ----------
    t
        Any shape; NaN gives NaN.
    df
        Degrees of freedom > 0, of a shape that broadcasts to that of `t`.

    References
    ----------
    DLMF 8.17.22, the continued fraction of the incomplete beta function.
    """
    statistic = np.abs(np.asarray(t, np.float64))
    degrees = np.broadcast_to(np.asarray(df, np.float64), statistic.shape)
    if statistic.size < _MANY or (degrees != degrees.flat[0]).any() or not degrees.flat[0] >= 1:
        return _neg_log10_p_t(statistic, degrees)
    curve = _t_curve(float(degrees.flat[0]))
    result = np.asarray(curve(np.minimum(statistic, _CURVE_MAX)), np.float64)
    beyond = statistic > _CURVE_MAX
    result[beyond] = _neg_log10_p_t(statistic[beyond], degrees[beyond])
    return result


def neg_log10_p_chi2(x: FloatArray, df: FloatArray | float) -> FloatArray:
    """−log10 of P(X ≥ x) of a chi-square variable X with `df` degrees of freedom; x ≥ 0, NaN gives NaN.

    References
    ----------
    DLMF 8.9.2, the continued fraction of the incomplete gamma function.
    """
    statistic = np.asarray(x, np.float64)
    degrees = np.broadcast_to(np.asarray(df, np.float64), statistic.shape)
    p = special.gammaincc(degrees / 2, statistic / 2)
    return _filled(p, lambda far: _log_gamma_tail(degrees[far] / 2, statistic[far] / 2))


def _neg_log10_p_t(t: FloatArray, df: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        ratio = (t / np.sqrt(df)) ** 2
    p = special.betainc(df / 2, 0.5, 1 / (1 + ratio))
    # Close to p = 1 the other tail is the accurate one.
    central = ratio < np.minimum(1e-2, 1e-2 / df)
    small = np.where(central, ratio, 0.0)
    p = np.where(central, 1 - special.betainc(0.5, df / 2, small / (1 + small)), p)
    return _filled(p, lambda far: _log_t_tail(t[far], df[far]))


@lru_cache(maxsize=8)
def _t_curve(df: float) -> interpolate.PPoly:
    """−log10 p over |t| from 0 to `_CURVE_MAX`: polynomials that have its value and two derivatives at their ends."""
    t = np.linspace(0, _CURVE_MAX, _CURVE_PIECES + 1)
    value = _neg_log10_p_t(t, np.full_like(t, df))
    log_density = np.log(special.poch(df / 2, 0.5)) - 0.5 * np.log(np.pi * df) - (df + 1) / 2 * np.log1p(t**2 / df)
    first = 2 / _LN10 * np.exp(log_density + value * _LN10)
    second = first * (first * _LN10 - (df + 1) * t / (df + t**2))
    joined = interpolate.BPoly.from_derivatives(t, np.column_stack([value, first, second]))
    return interpolate.PPoly.from_bernstein_basis(joined)


def _filled(p: FloatArray, log_tail: Callable[[BoolArray], FloatArray]) -> FloatArray:
    """−log10 of p, and where it is too small of what `log_tail` (natural logarithm) gives there."""
    flat = np.atleast_1d(np.asarray(p, np.float64))
    far = flat < _SMALL
    result = np.empty(flat.shape)
    result[~far] = -np.log10(flat[~far])
    if far.any():
        result[far] = -log_tail(far.reshape(np.shape(p)) if np.ndim(p) else np.ones((), np.bool_)) / _LN10
    return np.asarray(result.reshape(np.shape(p)) + 0.0, np.float64)


def _log_t_tail(t: FloatArray, df: FloatArray) -> FloatArray:
    """Natural logarithm of the two-sided tail, (n,): I_x(df/2, 1/2) at x = df/(df + t²), which is below its mean here."""
    a, b = df / 2, 0.5
    log_ratio = 2 * np.log(t) - np.log(df)
    log_x, log_rest = -np.logaddexp(0, log_ratio), -np.logaddexp(0, -log_ratio)
    x = np.exp(log_x)

    def odd(m: int) -> FloatArray:
        return np.asarray(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), np.float64)

    def even(m: int) -> FloatArray:
        return np.asarray(m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), np.float64)

    fraction = _fraction(lambda k: (even(k // 2) if k % 2 == 0 else odd(k // 2)) if k else np.ones_like(x), lambda _: 1.0, x)
    log_beta = special.gammaln(b) - np.log(special.poch(a, b))
    return np.asarray(a * log_x + b * log_rest - np.log(a) - log_beta + np.log(fraction), np.float64)


def _log_gamma_tail(a: FloatArray, x: FloatArray) -> FloatArray:
    """Natural logarithm of Γ(a, x)/Γ(a), (n,), for x far above a."""
    fraction = _fraction(lambda k: -k * (k - a) if k else np.ones_like(x), lambda k: x + 1 - a + 2 * k, x)
    return np.asarray(a * np.log(x) - x - special.gammaln(a) + np.log(fraction), np.float64)


def _fraction(
    numerator: Callable[[int], FloatArray], denominator: Callable[[int], FloatArray | float], like: FloatArray
) -> FloatArray:
    """The continued fraction n₀/(d₀ + n₁/(d₁ + n₂/(d₂ + …))) of each element, by Lentz' method (Thompson and Barnett 1986)."""
    tiny = 1e-300
    value = np.full_like(like, tiny)
    above, below = value.copy(), np.zeros_like(like)
    for k in range(_STEPS_MAX):
        below = 1 / _not_zero(denominator(k) + numerator(k) * below, tiny)
        above = _not_zero(denominator(k) + numerator(k) / above, tiny)
        value = value * above * below
        if (np.abs(above * below - 1) < _CONVERGED).all():
            break
    return value


def _not_zero(values: FloatArray, tiny: float) -> FloatArray:
    return np.where(values == 0, tiny, values)
