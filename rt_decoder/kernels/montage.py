"""Kernels of the montage: power of the differences of channels, and what was exchanged."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["add_products", "likeness", "log_row", "mean_change", "median_row", "row_changes"]


# signal.Reason
R_REPAIRED, R_EYE, R_HEARTBEAT, R_REGRESSED = 4096, 8192, 16384, 32768
R_BAD = 0xFFFFFFFF ^ (R_REPAIRED | R_EYE | R_HEARTBEAT | R_REGRESSED)  # signal.BAD


@njit(**KERNEL)
def add_products(
    x: np.ndarray,
    flags: np.ndarray,
    picks: np.ndarray,
    first: int,
    stride: int,
    total: np.ndarray,
    n_bad: np.ndarray,
) -> int:
    """Add the products of channels to a sum, and return how many samples were used.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    flags : array of shape (n, c), uint32
        Reason bits.
    picks : array of shape (m,), int
        Channels.
    first, stride : int
        The samples ``first, first + stride, ...`` are used.
    total : array of shape (m, m)
        Added to, in its lower triangle.
    n_bad : array of shape (m,), int
        Samples of each channel with a bad bit; added to.

    Returns
    -------
    int
    """
    n = 0
    for t in range(first, x.shape[0], stride):
        for i in range(picks.shape[0]):
            value = x[t, picks[i]]
            n_bad[i] += int(flags[t, picks[i]]) & R_BAD != 0
            for j in range(i + 1):
                total[i, j] += value * x[t, picks[j]]
        n += 1
    return n


@njit(**KERNEL)
def log_row(
    total: np.ndarray, n: int, good: np.ndarray, a: int, sign: float, out: np.ndarray
) -> None:
    """Log power of channel `a` less (`sign` -1) or plus (+1) each other channel.

    Parameters
    ----------
    total : array of shape (m, m)
        Sums of products, lower triangle.
    n : int
        Samples in them.
    good : array of shape (m,), bool
        Channels whose samples count.
    a : int
        The channel.
    sign : float
        See above.
    out : array of shape (m,)
        Overwritten; NaN where a channel is not good, or nothing differs.
    """
    for b in range(total.shape[0]):
        cross = total[a, b] if a > b else total[b, a]
        power = total[a, a] + total[b, b] + 2.0 * sign * cross
        if a == b or n == 0 or not (good[a] and good[b]) or not power > 0.0:
            out[b] = np.nan
        else:
            out[b] = math.log(power / n)


@njit(**KERNEL)
def median_row(kept: np.ndarray, a: int, least: int, sorted_: np.ndarray, out: np.ndarray) -> None:
    """Median over time of row `a`, where at least `least` values are known; else NaN.

    Parameters
    ----------
    kept : array of shape (n, m, m)
        Values of `n` times.
    a : int
        Row.
    least : int
        Values that are needed.
    sorted_ : array of shape (n,)
        Overwritten.
    out : array of shape (m,)
        Overwritten.
    """
    for b in range(kept.shape[2]):
        n = 0
        for t in range(kept.shape[0]):
            value = kept[t, a, b]
            if value == value:
                place = n
                while place > 0 and sorted_[place - 1] > value:
                    sorted_[place] = sorted_[place - 1]
                    place -= 1
                sorted_[place] = value
                n += 1
        if n < max(least, 1):
            out[b] = np.nan
        else:
            out[b] = 0.5 * (sorted_[(n - 1) // 2] + sorted_[n // 2])


@njit(**KERNEL)
def mean_change(now: np.ndarray, usual: np.ndarray) -> float:
    """Mean difference of two maps (m, m) off the diagonal; NaN where fewer than half are known."""
    total, n = 0.0, 0
    for i in range(now.shape[0]):
        for j in range(i):
            value = now[i, j] - usual[i, j]
            if value == value:
                total += value
                n += 1
    least = now.shape[0] * (now.shape[0] - 1) // 4
    return total / n if n > least else np.nan


@njit(**KERNEL)
def likeness(now: np.ndarray, usual: np.ndarray, order: np.ndarray) -> float:
    """Correlation of two maps, one of them with its channels in another order.

    Parameters
    ----------
    now, usual : array of shape (m, m)
        Maps; unknown values are left out.
    order : array of shape (m,), int
        Channel of `usual` that stands in each place of `now`.

    Returns
    -------
    float
    """
    n, sx, sy, sxx, syy, sxy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(now.shape[0]):
        for j in range(i):
            x, y = now[i, j], usual[order[i], order[j]]
            if x == x and y == y:
                n += 1
                sx += x
                sy += y
                sxx += x * x
                syy += y * y
                sxy += x * y
    if n < 3:
        return np.nan
    spread = (sxx - sx * sx / n) * (syy - sy * sy / n)
    return (sxy - sx * sy / n) / math.sqrt(spread) if spread > 0.0 else np.nan


@njit(**KERNEL)
def row_changes(
    now: np.ndarray,
    difference: np.ndarray,
    plus: np.ndarray,
    shift: float,
    a: int,
    best: np.ndarray,
    place: np.ndarray,
) -> None:
    """Look at channel `a` for an exchange, an inversion and a bridge; keep the best of each.

    Parameters
    ----------
    now : array of shape (m, m)
        Log powers of differences.
    difference, plus : array of shape (m, m)
        Of differences and of sums, in calibration.
    shift : float
        By which all are larger now.
    a : int
        The channel.
    best : array of shape (3,)
        Largest gain by an exchange with a later channel, by an inversion, and largest fall of a
        difference; updated. A gain is in mean squared log power; an exchange must explain half of what
        differs, an inversion three quarters (a channel with more noise looks a little like one).
    place : array of shape (3, 2), int
        Channels of each; updated.
    """
    m = now.shape[0]
    before, after, n = 0.0, 0.0, 0
    for j in range(m):
        value = now[a, j] - shift
        if j != a and value == value and difference[a, j] == difference[a, j]:
            before += (value - difference[a, j]) ** 2
            after += (value - plus[a, j]) ** 2
            n += 1
            if j > a and difference[a, j] - value > best[2]:
                best[2] = difference[a, j] - value
                place[2, 0], place[2, 1] = a, j
    if n > m // 2 and after < 0.25 * before and (before - after) / n > best[1]:
        best[1] = (before - after) / n
        place[1, 0], place[1, 1] = a, a
    for b in range(a + 1, m):
        before, after, n = 0.0, 0.0, 0
        for j in range(m):
            x, y = now[a, j] - shift, now[b, j] - shift
            if j not in (a, b) and x == x and y == y:
                before += (x - difference[a, j]) ** 2 + (y - difference[b, j]) ** 2
                after += (x - difference[b, j]) ** 2 + (y - difference[a, j]) ** 2
                n += 2
        if n > m and after < 0.5 * before and (before - after) / n > best[0]:
            best[0] = (before - after) / n
            place[0, 0], place[0, 1] = a, b
