"""The clock line: smooth, causal, the same however it is cut; and the sample nearest to a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.timebase import TimeBase

SFREQ = 250.0


def stamps_of(kind: str, n: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """When samples were taken, and the stamps that they carry."""
    rng = np.random.default_rng(7)
    true = 1e5 + np.arange(n) / SFREQ
    if kind == "regular":
        return true, true
    if kind == "jitter":
        return true, true + rng.normal(0, 0.001, n)
    if kind == "delays":  # never early, often late
        return true, true + rng.exponential(0.002, n)
    if kind == "bursts":  # ten together, stamped at their arrival
        return true, np.repeat(true[9::10], 10)
    drifting = 1e5 + np.arange(n) / (SFREQ * 1.0002)
    return drifting, drifting + rng.normal(0, 0.001, n)


def run(stamps: np.ndarray, cuts=()) -> tuple[TimeBase, np.ndarray]:
    timebase = TimeBase(SFREQ, history=30.0)
    parts = np.split(stamps, sorted(cuts))
    return timebase, np.concatenate([timebase.update(part).copy() for part in parts])


@pytest.mark.parametrize(
    ("kind", "error"), [("regular", 1e-9), ("jitter", 5e-4), ("delays", 3e-3), ("drift", 5e-4)]
)
def test_times_are_those_of_the_samples(kind: str, error: float) -> None:
    true, stamps = stamps_of(kind)
    _, times = run(stamps)
    settled = slice(500, None)
    assert np.abs(times - true)[settled].max() < error
    assert np.abs(np.diff(times) - 1 / SFREQ)[settled].max() < 1e-3


def test_bursts_become_a_line() -> None:
    true, stamps = stamps_of("bursts")
    _, times = run(stamps)
    lag = (times - true)[1000:]
    assert np.ptp(lag) < 0.2 / SFREQ  # all but the constant delay of a burst is gone


@pytest.mark.parametrize("kind", ["regular", "jitter", "delays", "bursts", "drift"])
def test_time_never_runs_back(kind: str) -> None:
    stamps = stamps_of(kind)[1].copy()
    stamps[2000:] -= 0.05  # the sender's clock was set back
    _, times = run(stamps)
    assert (np.diff(times) > 0).all()


@given(st.lists(st.integers(0, 600), max_size=8), st.sampled_from(["jitter", "bursts"]))
@settings(max_examples=25, deadline=None)
def test_cuts_change_nothing(cuts: list[int], kind: str) -> None:
    stamps = stamps_of(kind, 600)[1]
    assert run(stamps, cuts)[1].tobytes() == run(stamps)[1].tobytes()


def test_the_past_does_not_know_the_future() -> None:
    stamps = stamps_of("jitter")[1]
    other = stamps.copy()
    other[1000:] += 0.3
    assert run(stamps)[1][:1000].tobytes() == run(other)[1][:1000].tobytes()


def test_reset_forgets() -> None:
    timebase, _ = run(stamps_of("drift")[1])
    timebase.reset()
    assert timebase.n_samples == 0
    assert timebase.newest == -np.inf
    stamps = stamps_of("jitter")[1]
    assert timebase.update(stamps).tobytes() == run(stamps)[1].tobytes()


@given(st.floats(-0.001, 11.9), st.sampled_from(["regular", "jitter", "bursts"]))
@settings(max_examples=60, deadline=None)
def test_the_nearest_sample(seconds: float, kind: str) -> None:
    timebase, times = run(stamps_of(kind, 3000)[1])
    time = times[0] + seconds
    index = timebase.index_of(time)
    if time > times[-1]:
        assert index is None
    else:
        assert abs(times[index] - time) == np.abs(times - time).min()


def test_what_is_not_there_is_refused() -> None:
    timebase = TimeBase(SFREQ, history=2.0)
    stamps = stamps_of("regular", 1000)[1]
    timebase.update(stamps)
    assert timebase.index_of(stamps[-1] + 1e-6) is None
    with pytest.raises(LookupError, match="too long ago"):
        timebase.index_of(stamps[400])
    assert timebase.index_of(stamps[501]) == 501
    short = TimeBase(SFREQ, history=10.0)
    short.update(stamps)
    with pytest.raises(LookupError, match="before the first sample"):
        short.index_of(stamps[0] - 0.01)
    assert short.index_of(stamps[0] - 0.4 / SFREQ) == 0
    assert TimeBase(SFREQ, 1.0).index_of(0.0) is None
