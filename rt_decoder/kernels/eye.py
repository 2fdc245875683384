"""Gated removal of a few spatial sources, fused: measure, gate, subtract and flag in one pass.

Each sample is computed alone, in a fixed order of additions, so how a stream is cut into calls
cannot change a bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["subtract_gated"]

# Without numba's runtime nothing can be allocated, and neither views nor arguments are counted.
KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False, "error_model": "numpy"}


@njit(**KERNEL)
def subtract_gated(
    x: np.ndarray,
    flags: np.ndarray,
    unmixing: np.ndarray,
    mixing: np.ndarray,
    levels: np.ndarray,
    gate: np.ndarray,
    sources: np.ndarray,
    visible: float,
    reason: int,
    out: np.ndarray,
    out_flags: np.ndarray,
) -> None:
    """Subtract gated sources from `x` (n, c) into `out` (n, c).

    `unmixing` and `mixing` are (r, c); `levels` is (low, high, wide, hold, step): the gate of a
    source opens at once as its size passes from `low` to `high`, and closes by `step` a sample
    while its size is below `hold`; a size from `high` to `wide` opens the gates of all. `gate` (r,)
    is the state, `sources` (r,) scratch. `out_flags` (n,) are `flags` with `reason` where a gate is
    open further than `visible`.
    """
    n, n_channels = x.shape
    n_eights = n_channels - n_channels % 8
    low, high, wide, hold, step = levels[0], levels[1], levels[2], levels[3], levels[4]
    for t in range(n):
        row, clean = x[t], out[t]
        largest = 0.0
        for j in range(len(gate)):
            w = unmixing[j]
            # eight sums side by side: a single one waits for each addition, 4 times slower
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
            for k in range(0, n_eights, 8):
                s0 += row[k] * w[k]
                s1 += row[k + 1] * w[k + 1]
                s2 += row[k + 2] * w[k + 2]
                s3 += row[k + 3] * w[k + 3]
                s4 += row[k + 4] * w[k + 4]
                s5 += row[k + 5] * w[k + 5]
                s6 += row[k + 6] * w[k + 6]
                s7 += row[k + 7] * w[k + 7]
            source = ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
            for k in range(n_eights, n_channels):
                source += row[k] * w[k]
            sources[j] = source
            largest = max(largest, abs(source))
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
        out_flags[t] = flags[t]
        if is_open:
            out_flags[t] |= reason


@njit(**KERNEL)
def _smooth_step(value: float, low: float, high: float) -> float:
    if value <= low:
        return 0.0
    rise = min((value - low) / (high - low), 1.0)
    return rise * rise * (3.0 - 2.0 * rise)
