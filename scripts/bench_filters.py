"""Time the filters, per hop, against `scipy.signal.sosfilt` with the same six sections.

The sections are a band-pass of order 4 and two notches, in float64, on one thread, with hops of 20
samples. "chain" is guard, filter and rereference. The last line is one JSON object: median us per
hop, and how many times slower scipy is.

    python scripts/bench_filters.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
from scipy import signal

from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import FilterBank, Rereference, SosFilter
from rt_decoder.cleaning.guard import Guard
from rt_decoder.signal import FLAGS, Chunk, SignalInfo

SFREQ, N_HOP, N_HOPS = 1000.0, 20, 3000
BANDS = ((4.0, 8.0), (8.0, 13.0), (13.0, 30.0))


def median_us(function: Callable[[Chunk], object], hop: Chunk) -> float:
    """Median time in us over `N_HOPS` consecutive hops."""
    took = np.empty(N_HOPS)
    for k in range(-100, N_HOPS):
        at = hop._replace(index=hop.index + (k + 100) * N_HOP)
        start = time.perf_counter()
        function(at)
        took[k] = time.perf_counter() - start
    return 1e6 * float(np.median(took))


def bench(n_channels: int) -> dict[str, object]:
    """Measure one number of channels."""
    names = tuple(f"E{i}" for i in range(n_channels))
    info = SignalInfo(SFREQ, names, ("eeg",) * n_channels, ("V",) * n_channels)
    data = 1e-5 * np.random.default_rng(0).standard_normal((N_HOP, n_channels))
    hop = Chunk(
        data,
        np.arange(N_HOP) / SFREQ,
        0,
        np.zeros(N_HOP, FLAGS),
        np.zeros((N_HOP, n_channels), FLAGS),
    )
    sos = design_sos(SFREQ, 0.5, 40.0, 4, notch=(50.0, 100.0))
    state = signal.sosfilt_zi(sos)[:, :, None] * data[0]

    def with_scipy(chunk: Chunk) -> None:
        nonlocal state
        _, state = signal.sosfilt(sos, chunk.data, axis=0, zi=state)

    guard, stage, reference = Guard(info), SosFilter(info, sos), Rereference(info, "average")
    bank = FilterBank(info, BANDS)
    us = {
        "scipy": median_us(with_scipy, hop),
        "filter": median_us(stage.process, hop),
        "chain": median_us(lambda at: reference.process(stage.process(guard.process(at))), hop),
        "bank": median_us(bank.process, hop),
    }
    return {
        "n_channels": n_channels,
        "us": {name: round(value, 2) for name, value in us.items()},
        "ratio": {name: round(us["scipy"] / us[name], 2) for name in ("filter", "chain")},
    }


def main() -> None:
    rows = [bench(n_channels) for n_channels in (8, 64, 306)]
    for row in rows:
        times = "  ".join(f"{name} {value:.1f}" for name, value in row["us"].items())
        print(f"{row['n_channels']:>4} channels: {times} us a hop of {N_HOP} samples")
    print(json.dumps({"bench": "filters", "n_sections": 6, "n_hop": N_HOP, "rows": rows}))


if __name__ == "__main__":
    main()
