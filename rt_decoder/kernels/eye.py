"""Gated removal of a few spatial sources, fused: measure, gate, subtract and flag in one pass.

Each sample is computed alone, in a fixed order of additions, so the cuts between calls cannot
change a bit.

=========  ====  ===========================================================================
levels     unit  meaning (sizes of sources are in units of their scale at rest)
=========  ====  ===========================================================================
LOW              size at which a source's gate begins to open
HIGH             size at which its gate is fully open
WIDE             size of the largest source at which all gates are open; they begin at HIGH
HOLD             size below which a gate closes
STEP             decrease of a closing gate per sample
=========  ====  ===========================================================================
"""

from __future__ import annotations

import numpy as np

from rt_decoder.kernels.options import KERNEL, njit

__all__ = ["subtract_gated"]

LOW, HIGH, WIDE, HOLD, STEP = range(5)


@njit(**KERNEL)
def subtract_gated(
    x: np.ndarray,
    flags: np.ndarray,
    unmixing: np.ndarray,
    mixing: np.ndarray,
    levels: np.ndarray,
    drift_power: float,
    gate: np.ndarray,
    sources: np.ndarray,
    visible: float,
    reason: int,
    out: np.ndarray,
    out_flags: np.ndarray,
) -> None:
    """Subtract gated sources.

    Parameters
    ----------
    x : array of shape (n, c)
        Samples.
    flags : array of shape (n,), uint32
        Flags of the samples.
    unmixing : array of shape (r4, c)
        Measures the r sources and, in row r, the drift source; padded with rows of 0 to r4, the
        next multiple of four.
    mixing : array of shape (r + 1, c)
        How each source shows in the channels.
    levels : array of shape (5,)
        See the table of this file.
    drift_power : float
        Variance of the drift source while the first source has size 1; 0 for none.
    gate : array of shape (r,)
        State of each gate, from 0 (closed) to 1 (open); updated.
    sources : array of shape (r4,)
        Scratch.
    visible : float
        A sample is flagged if a gate is open further than this.
    reason : int
        The flag.
    out : array of shape (n, c)
        Written: the clean samples.
    out_flags : array of shape (n,), uint32
        Written: `flags` with `reason` added.
    """
    n, n_channels = x.shape
    low, high, wide = levels[LOW], levels[HIGH], levels[WIDE]
    hold, step = levels[HOLD], levels[STEP]
    for t in range(n):
        row, clean = x[t], out[t]
        _measure(row, unmixing, sources)
        largest = 0.0
        for j in range(len(gate)):
            largest = max(largest, abs(sources[j]))
        common = _smooth_step(largest, high, wide)
        for k in range(n_channels):
            clean[k] = row[k]
        is_open = False
        for j in range(len(gate)):
            size = abs(sources[j])
            p = gate[j]
            if size < hold:
                p = max(p - step, 0.0)
            p = max(p, max(common, _smooth_step(size, low, high)))
            gate[j] = p
            if p > 0.0:
                share, column = p * sources[j], mixing[j, :n_channels]
                for k in range(n_channels):
                    clean[k] -= share * column[k]
                is_open |= p > visible
        # the drift source, by the share of its variance that comes with the first source
        variance = drift_power * gate[0] * sources[0] * sources[0]
        if variance > 0.0:
            share = variance / (1.0 + variance) * sources[len(gate)]
            column = mixing[len(gate), :n_channels]
            for k in range(n_channels):
                clean[k] -= share * column[k]
        out_flags[t] = flags[t]
        if is_open:
            out_flags[t] |= reason


@njit(**KERNEL)
def _measure(row: np.ndarray, unmixing: np.ndarray, sources: np.ndarray) -> None:
    n_channels = len(row)
    n_fours = n_channels - n_channels % 4
    for j in range(0, len(unmixing), 4):
        w0, w1, w2, w3 = unmixing[j], unmixing[j + 1], unmixing[j + 2], unmixing[j + 3]
        # Sixteen sums side by side, because a single one waits for each addition; four sources
        # at once, because each value is then loaded once.
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
        d0 = d1 = d2 = d3 = e0 = e1 = e2 = e3 = 0.0
        for k in range(0, n_fours, 4):
            x0, x1, x2, x3 = row[k], row[k + 1], row[k + 2], row[k + 3]
            a0, a1 = a0 + x0 * w0[k], a1 + x1 * w0[k + 1]
            a2, a3 = a2 + x2 * w0[k + 2], a3 + x3 * w0[k + 3]
            b0, b1 = b0 + x0 * w1[k], b1 + x1 * w1[k + 1]
            b2, b3 = b2 + x2 * w1[k + 2], b3 + x3 * w1[k + 3]
            d0, d1 = d0 + x0 * w2[k], d1 + x1 * w2[k + 1]
            d2, d3 = d2 + x2 * w2[k + 2], d3 + x3 * w2[k + 3]
            e0, e1 = e0 + x0 * w3[k], e1 + x1 * w3[k + 1]
            e2, e3 = e2 + x2 * w3[k + 2], e3 + x3 * w3[k + 3]
        a, b = (a0 + a2) + (a1 + a3), (b0 + b2) + (b1 + b3)
        d, e = (d0 + d2) + (d1 + d3), (e0 + e2) + (e1 + e3)
        for k in range(n_fours, n_channels):
            a, b = a + row[k] * w0[k], b + row[k] * w1[k]
            d, e = d + row[k] * w2[k], e + row[k] * w3[k]
        sources[j], sources[j + 1], sources[j + 2], sources[j + 3] = a, b, d, e


@njit(**KERNEL)
def _smooth_step(value: float, low: float, high: float) -> float:
    if value <= low:
        return 0.0
    rise = min((value - low) / (high - low), 1.0)
    return rise * rise * (3.0 - 2.0 * rise)
