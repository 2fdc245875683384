"""Percentiles of durations in fixed memory."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.latency import Histogram, Stopwatch


@given(st.lists(st.floats(100, 1e12), min_size=1, max_size=300), st.floats(1, 99))
@settings(max_examples=50, deadline=None)
def test_percentiles_are_within_a_bin(durations: list[float], q: float) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(int(duration))
    exact = np.percentile([int(d) for d in durations], q, method="inverted_cdf")
    assert histogram.percentile(q) == pytest.approx(exact, rel=0.026)
    assert histogram.max_ns == int(max(durations))
    assert histogram.n == len(durations)
    assert histogram.percentile(q) <= histogram.max_ns


def test_an_empty_histogram_has_no_percentiles() -> None:
    histogram = Histogram()
    assert histogram.summary(1e3) == {"p50": None, "p95": None, "p99": None, "max": None}
    histogram.add(-5)
    histogram.add(10**15)  # beyond the last bin
    assert histogram.n == 2
    assert histogram.summary(1e6)["max"] == 1e9
    histogram.reset()
    assert histogram.n == 0


def test_laps_add_up(monkeypatch) -> None:
    now = [0]
    monkeypatch.setattr("rt_decoder.latency.perf_counter_ns", lambda: now[0])
    watch = Stopwatch(["a", "b", "never"])
    for round_ in range(100):
        watch.start()
        now[0] += 1000
        watch.lap("a")
        now[0] += 2000 + round_
        watch.lap("b")
        now[0] += 10**9  # between rounds, nobody's
    rows = watch.summary_us()
    assert rows.keys() == {"a", "b"}
    assert rows["a"]["p50"] == pytest.approx(1.0, rel=0.03)
    assert rows["b"]["max"] == 2.099
    watch.reset()
    assert watch.summary_us() == {}


def test_laps_are_counted_though_nobody_asks(monkeypatch) -> None:
    """Laps wait for `count`; where it is never called they are few."""
    watch = Stopwatch(["a"])
    watch.start()
    for _ in range(2500):
        watch.lap("a")
    assert watch.histograms["a"].n == 2496
    watch.count()
    assert watch.histograms["a"].n == 2500
    watch.lap("a")
    watch.reset()
    watch.count()
    assert watch.histograms["a"].n == 0


def test_a_lap_costs_little() -> None:
    watch = Stopwatch(["a"])
    watch.start()
    began = time.perf_counter()
    for _ in range(10_000):
        watch.lap("a")
    assert (time.perf_counter() - began) / 10_000 < 50e-6  # about 1 us on a quiet machine
