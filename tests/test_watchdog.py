"""Whether a stream is alive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_decoder.live.watchdog import State, Watchdog


def feed(dog: Watchdog, interval: float, n: int, start: float = 0.0) -> float:
    dog.connected(start)
    for k in range(1, n + 1):
        assert dog.arrived(start + k * interval) is None
    return start + n * interval


@pytest.mark.parametrize(
    ("hop", "interval", "limit"), [(0.01, 0.004, 0.2), (0.2, 0.004, 0.6), (0.01, 0.128, 0.384)]
)
def test_stale_by_the_longest_of_three_limits(hop: float, interval: float, limit: float) -> None:
    dog = Watchdog(hop)
    end = feed(dog, interval, 200)
    assert dog.state is State.LIVE
    assert not dog.silent(end + limit - 1e-6)
    assert dog.silent(end + limit + 0.001)
    assert dog.state is State.STALE
    assert not dog.silent(end + 99.0), "said once"
    assert dog.arrived(end + 100.0) == pytest.approx(100.0)
    assert dog.state is State.LIVE
    assert dog.limit == pytest.approx(limit, rel=0.01), "an outage does not make it patient"


def test_lost_and_returned() -> None:
    dog = Watchdog(0.01)
    assert dog.state is State.RETURNED
    feed(dog, 0.004, 10)
    dog.lost()
    assert dog.state is State.LOST
    dog.connected(50.0)
    assert dog.state is State.RETURNED
    assert not dog.silent(50.1)
    assert dog.silent(50.3), "a stream that returns and says nothing is stale too"
    assert dog.arrived(60.0) == pytest.approx(10.0)


@given(st.lists(st.floats(1e-4, 0.19), min_size=1, max_size=60))
def test_never_stale_while_samples_come(gaps: list[float]) -> None:
    dog, now = Watchdog(0.01), 0.0
    dog.connected(now)
    for gap in gaps:
        now += gap
        assert not dog.silent(now)
        assert dog.arrived(now) is None
