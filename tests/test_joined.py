"""Auxiliary streams joined to the main one: values, cuts, dropouts, lateness, loss, the record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.channels import same_layout
from rt_decoder.files.read import read_recording
from rt_decoder.kernels.join import join, join_state
from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.live.session import Session
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import FLAGS, Readout, Reason, SignalInfo, StreamLost
from rt_decoder.sinks.outlets import data_outlet
from rt_decoder.sinks.record import Recorder
from rt_decoder.sources.auxiliary.joined import JoinedSource
from rt_decoder.sources.auxiliary.stream import AuxiliaryStream
from rt_decoder.sources.streams import LslStreams, ReferenceChoice
from tests.contract import allocated
from tests.lsl_loopback import wait_for
from tests.small import random_model, small_recipe, small_recording, timeless

MAIN = SignalInfo(250.0, ("Cz", "Pz"), ("eeg", "eeg"), ("microvolts", "microvolts"))
OFFSET = -3.25e5  # s: the reference's clock was started at another time
SKEW = 2e-4  # and runs faster


class Clock:
    """What time it is; moved by the test."""

    now = 0.0


class Fake:
    """A source that delivers samples once they have arrived, up to `most` at once.

    `times` are true times, `arrive` when each sample arrives; stamps are on a clock of its own.
    """

    def __init__(
        self, info: SignalInfo, clock: Clock, times: np.ndarray, values: np.ndarray,
        *, stamps: np.ndarray | None = None, arrive: np.ndarray | None = None, most: int = 10**9,
        offset: float = 0.0, skew: float = 0.0, name: str = "fake",
    ) -> None:  # fmt: skip
        self.name, self.info, self._clock = name, info, clock
        stamps = times if stamps is None else stamps
        self._stamps = stamps * (1.0 + skew) + offset
        self._offset, self._skew = offset, skew
        self._arrive = np.maximum.accumulate(times if arrive is None else arrive)
        self._values = values.reshape(len(times), info.n_channels)
        self._at, self._most = 0, most
        self.lost_at = np.inf
        self.closed = False

    def open(self, timeout: float = 5.0) -> None:
        pass

    def pull(self, timeout: float, n: int = 1) -> tuple[np.ndarray, np.ndarray, float]:
        if self._clock.now >= self.lost_at:
            raise StreamLost(f"stream {self.name!r} is lost")
        there = int(np.searchsorted(self._arrive, self._clock.now, side="right"))
        a, b = self._at, min(there, self._at + self._most)
        self._at = max(a, b)
        return self._values[a:b].copy(), self._stamps[a:b].copy(), self._clock.now

    def waiting(self) -> int:
        return 0

    def correction(self, timeout: float = 5.0) -> float:
        # of the moment, as a measurement of the offset gives it: the skew is in it
        return -(self._offset + self._skew * self._clock.now)

    def close(self) -> None:
        self.closed = True


def wave(times: np.ndarray, freq: float = 1.3) -> np.ndarray:
    return np.sin(2 * np.pi * freq * times) + 0.5 * np.cos(2 * np.pi * 0.3 * freq * times)


def reference_info(sfreq: float, *ch_types: str) -> SignalInfo:
    types = ch_types or ("resp",)
    return SignalInfo(
        sfreq, tuple(f"R{i}" for i in range(len(types))), types, ("n/a",) * len(types)
    )


def run(joined: JoinedSource, clock: Clock, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pull at each of `ticks`; gives all data and stamps."""
    got = []
    for clock.now in ticks:
        while True:
            data, stamps, _ = joined.pull(0.0)
            if not len(stamps):
                break
            got.append((data.copy(), stamps.copy()))
    return np.concatenate([d for d, _ in got]), np.concatenate([s for _, s in got])


class Case:
    """A main stream and one reference of one column, on fake clocks."""

    def __init__(
        self, sfreq: float, seconds: float, *, jitter: float = 0.0, drop: tuple[float, float] = (0, 0),
        packet: int = 1, late: Callable[[np.ndarray], np.ndarray] | None = None, seed: int = 0,
        ch_types: tuple[str, ...] = ("resp",), freq: float = 1.3, **kwargs: Any,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        self.clock = Clock()
        self.main_times = 10.0 + np.arange(round(seconds * 250)) / 250
        times = 9.0 + 0.0013 + np.arange(round((seconds + 1) * sfreq)) / sfreq
        sent = np.arange(len(times)) // packet * packet + packet - 1  # a packet waits for its last
        kept = (times < drop[0]) | (times >= drop[1])
        arrive = (times[0] + sent / sfreq + 0.002)[kept]
        times = self.times = times[kept]
        if late is not None:
            arrive = late(arrive)
        values = np.repeat(wave(times, freq)[:, None], len(ch_types), axis=1)
        noise = jitter * rng.standard_normal(len(self.main_times))
        main_values = np.column_stack((np.arange(len(self.main_times)),) * 2).astype(float)
        self.main = Fake(
            MAIN,
            self.clock,
            self.main_times,
            main_values,
            stamps=self.main_times + noise,
            name="main",
        )
        self.source = Fake(
            reference_info(sfreq, *ch_types), self.clock, times, values,
            stamps=times + jitter * rng.standard_normal(len(times)), arrive=arrive,
            offset=OFFSET, skew=SKEW, name="belt",
        )  # fmt: skip
        self.reference = AuxiliaryStream(self.source, **kwargs)
        self.joined = JoinedSource(self.main, [self.reference])
        self.joined.open()

    def run(self, step: float = 0.004, **kwargs: Any) -> np.ndarray:
        """Joined column at each main sample."""
        ticks = np.append(np.arange(9.0, self.main_times[-1] + 1.0, step), self.main_times[-1] + 1)
        data, _ = run(self.joined, self.clock, ticks)
        np.testing.assert_array_equal(data[:, 0], np.arange(len(self.main_times)))
        return data[:, 2:]


@pytest.mark.parametrize("sfreq", [50.0, 100.0, 250.0])
def test_a_smooth_reference_is_interpolated_at_the_delay(sfreq: float) -> None:
    case = Case(sfreq, 40.0)
    got = case.run()[:, 0]
    asked = case.main_times - case.reference.delay
    oracle = np.interp(asked, case.times, wave(case.times))
    settled = case.main_times > 13.0  # the line has learned the rate
    assert not np.isnan(got).any()
    # the clocks are known to .05 sample; the wave's steepest slope is 2 pi 1.3 (1 + .15)
    assert np.abs(got - oracle)[settled].max() < 2 * np.pi * 1.5 * 0.05 / min(sfreq, 250.0)
    # linear interpolation itself: (2 pi f)^2 / 8 sfreq^2
    bound = (2 * np.pi * 1.3) ** 2 * 1.05 / 8 / sfreq**2
    assert np.abs(oracle - wave(asked)).max() < bound
    assert case.reference.n_missing == case.reference.n_late == 0
    assert case.joined.take_events() == []


@pytest.mark.parametrize("sfreq", [pytest.param(50.0, marks=pytest.mark.slow), 100.0, 1000.0])
def test_jitter_of_4_ms_is_smoothed_on_both_streams(sfreq: float) -> None:
    case = Case(sfreq, 40.0, jitter=0.004)
    got = case.run()[:, 0]
    settled = case.main_times > 15.0
    error = np.abs(got - wave(case.main_times - case.reference.delay))[settled]
    slope = 2 * np.pi * 1.3 * 1.15
    assert not np.isnan(got).any()
    assert np.quantile(error, 0.99) < 1.5e-3 * slope  # raw stamps: 13 ms
    assert case.reference.n_missing == case.reference.n_late == 0


@pytest.mark.parametrize("sfreq", [50.0, 100.0, 1000.0])
@pytest.mark.parametrize("seconds", [0.3, pytest.param(60.0, marks=pytest.mark.slow)])
def test_missing_exactly_where_it_dropped_out(sfreq: float, seconds: float) -> None:
    case = Case(sfreq, 20.0 + seconds, drop=(18.0, 18.0 + seconds))
    got = case.run()[:, 0]
    asked = case.main_times - case.reference.delay
    last, first = case.times[case.times < 18.0][-1], case.times[case.times > 18.0][0]
    # where nothing is known of the line yet, stamps count: their skew is that of one second
    margin = 3e-4 + (case.reference.span - 1) / sfreq
    inside = (asked > last + 3e-4) & (asked < first - 3e-4)
    around = (asked > last - margin) & (asked < first + margin)
    assert np.isnan(got[inside]).all()
    assert not np.isnan(got[~around]).any()
    assert case.reference.n_missing == np.isnan(got).sum() >= 0.9 * seconds * 250
    right = np.abs(got - wave(asked))[~around & (case.main_times > 13.0)]
    assert right.max() < 0.01 + (2 * np.pi * 1.3 / sfreq) ** 2 / 8
    events = [event for event, _ in case.joined.take_events()]
    assert events == ["reference_stale", "reference_live_again"]
    assert case.reference.n_late == 0


@pytest.mark.parametrize(
    "ch_types",
    [
        pytest.param(("resp",), marks=pytest.mark.slow),
        ("resp", "stim"),
        pytest.param(("stim",), marks=pytest.mark.slow),
    ],
)
def test_chunking_changes_no_bit(ch_types: tuple[str, ...]) -> None:
    """Whatever arrives in time gives the same columns, dropouts, jitter and averaging included."""
    columns = []
    for i, (packet, most_main, most, step) in enumerate(
        [(1, 10**9, 10**9, 0.004), (7, 3, 2, 0.1), (30, 10**9, 1, 0.7), (1, 250, 333, 30.0)]
    ):
        case = Case(1000.0, 30.0, jitter=0.002, drop=(20.0, 20.3), packet=packet, ch_types=ch_types)
        case.main._most, case.source._most = most_main, most
        # the correction is measured at moments that depend on the chunks; here it is constant
        case.source.correction = lambda timeout=0.0: -OFFSET
        got = case.run(step)
        columns.append(got)
        assert 0 < np.isnan(got).sum() < 0.4 * 250 * len(ch_types)
        np.testing.assert_array_equal(got, columns[0], err_msg=str(i))


def test_a_late_reference_is_missing_and_counted() -> None:
    def late(arrive: np.ndarray) -> np.ndarray:
        return arrive + np.where((arrive > 20.0) & (arrive < 21.0), 0.5, 0.0)

    case = Case(100.0, 20.0, late=late)
    got = case.run()[:, 0]
    missing = case.main_times[np.isnan(got)]
    assert missing.min() == pytest.approx(20.04, abs=0.02)
    assert missing.max() == pytest.approx(21.46, abs=0.03)
    assert case.reference.n_missing == len(missing) == pytest.approx(355, abs=12)
    assert case.reference.n_late == pytest.approx(142, abs=8)
    events = case.joined.take_events()
    assert [event for event, _ in events] == [
        "reference_stale", "reference_live_again", "reference_late"
    ]  # fmt: skip
    assert events[2][1]["stream"] == "belt"
    assert events[2][1]["n_samples"] > 0


def test_a_longer_delay_waits_for_bursts() -> None:
    burst = Case(100.0, 10.0, packet=32)
    assert np.isnan(burst.run()).sum() > 250
    assert burst.reference.n_late > 100
    patient = Case(100.0, 10.0, packet=32, delay=0.35)
    assert not np.isnan(patient.run()).any()
    assert patient.reference.n_late == 0


def test_stim_channels_hold_the_last_sample() -> None:
    case = Case(100.0, 10.0, ch_types=("stim",), drop=(14.0, 14.5))
    case.source._values = np.arange(len(case.times), dtype=float)[:, None]
    got = case.run()[:, 0]
    asked = case.main_times - case.reference.delay
    near = np.abs(asked[:, None] - case.times[None, :]).min(1) < 5e-4  # within the clocks' error
    held = np.searchsorted(case.times, asked, side="right") - 1
    gone = asked - case.times[held]
    kept = ~near & (gone < case.reference.limit - 5e-4)
    np.testing.assert_array_equal(got[kept], held[kept])
    assert np.isnan(got[gone > case.reference.limit + 5e-4]).all()
    assert kept.sum() > 2000
    assert np.isnan(got).sum() == case.reference.n_missing == pytest.approx(0.46 * 250, abs=3)


def test_a_faster_reference_is_averaged_against_aliasing() -> None:
    """250 +- 2 Hz would come out at 2 Hz; nothing is lost of what the main rate can carry."""
    case = Case(1000.0, 20.0, freq=248.0)
    assert case.reference.span == 4
    got = case.run()[:, 0]
    picked = Case(1000.0, 20.0, freq=248.0)
    picked.reference.span = 1
    picked.reference._ring = (*picked.reference._ring[:2], picked.reference._ring[1])
    alias = picked.run()[:, 0]
    late = case.main_times > 13.0
    fast = np.sin(2 * np.pi * 2.0 * case.main_times[late])
    slow = np.cos(2 * np.pi * 2.0 * case.main_times[late])
    for column, least, most in ((alias, 0.5, 1.0), (got, 0.0, 0.01)):
        at_2_hz = 2 * np.hypot(np.mean(column[late] * fast), np.mean(column[late] * slow))
        assert least < at_2_hz < most
    # the other component, .5 at 74.4 Hz, is passed: sinc(74.4 / 250) = .86, less interpolation
    assert np.std(got[late]) == pytest.approx(0.86 * 0.5 * np.sqrt(0.5), rel=0.1)


def test_a_nan_of_the_reference_stays_where_it_is() -> None:
    case = Case(100.0, 5.0)
    case.source._values[300] = np.nan
    got = case.run()[:, 0]
    asked = case.main_times - case.reference.delay
    where = np.isnan(got)
    np.testing.assert_array_less(np.abs(asked[where] - case.times[300]), 0.0103)
    assert 3 <= where.sum() <= 6
    assert case.reference.n_missing == 0


@pytest.mark.parametrize("jump", [5.0, -5.0, 0.5])
def test_a_reference_clock_that_is_set_costs_a_second(jump: float) -> None:
    case = Case(100.0, 30.0)
    case.source._stamps[1500:] += jump  # at 24 s; the offset is measured anew at once
    case.source.correction = lambda timeout=0.0: (
        -OFFSET - SKEW * case.clock.now - (jump if case.clock.now > 24.0 else 0.0)
    )
    got = case.run()[:, 0]
    late = case.main_times > 25.2
    assert not np.isnan(got[late]).any()
    error = np.abs(got - wave(case.main_times - case.reference.delay))[late]
    assert error.max() < 0.01


def test_nothing_is_joined_before_there_is_a_sample() -> None:
    case = Case(100.0, 6.0, drop=(0.0, 12.0))
    got = case.run()[:, 0]
    asked = case.main_times - case.reference.delay
    np.testing.assert_array_equal(np.isnan(got), asked < case.times[0] - 1e-4)
    assert case.reference.n_late == 0


def looked_up(times: np.ndarray, values: np.ndarray, asked: np.ndarray, *, span: int = 1):
    """The kernel alone, on samples whose stamps count, with no delay."""
    ring, state = np.zeros((64, 1)), join_state(True)
    averaged = ring if span == 1 else ring.copy()
    held = [np.full(len(x), Reason.HELD, FLAGS) for x in (asked, times)]
    out = np.zeros((len(asked), 1))
    done = join(
        asked, asked, held[0], 0, False, 0.0, np.inf, values[:, None].copy(), times, times, held[1],
        span, 0.05, np.array([False]), np.zeros((64, 2)), ring, averaged, state, out, 0,
    )  # fmt: skip
    assert done == len(asked)
    return out[:, 0]


def test_stamps_out_of_order_are_put_in_order() -> None:
    times = np.array([0.0, 0.01, 0.008, 0.009, 0.02, 0.03])
    values = np.arange(6.0)
    asked = np.linspace(0.0, 0.03, 50)[:-1]
    asked = asked[(asked < 0.0095) | (asked > 0.0105)]
    ordered = np.maximum.accumulate(times)
    np.testing.assert_allclose(
        looked_up(times, values, asked), np.interp(asked, ordered, values), atol=1e-12
    )


def test_a_clock_that_was_set_back_starts_afresh() -> None:
    """What is kept is of another time: it is never mixed with what comes."""
    times = np.array([5.0, 5.01, 5.02, 1.0, 1.01, 1.02])
    got = looked_up(times, np.arange(6.0), np.array([5.005, 5.03, 1.005, 1.015, 5.005]))
    np.testing.assert_allclose(got, [0.5, np.nan, 3.5, 4.5, np.nan], atol=1e-9)


def test_a_lookup_at_the_time_of_a_sample_returns_that_sample() -> None:
    """Also at the edge of a dropout, and beside a NaN."""
    times = np.array([0.0, 0.01, 0.02, 0.5])
    values = np.array([1.0, 2.0, np.nan, 4.0])
    asked = np.array([0.0, 0.01, 0.02, 0.3, 0.5])
    np.testing.assert_array_equal(looked_up(times, values, asked), [1.0, 2.0, np.nan, np.nan, 4.0])


def test_an_average_never_reaches_across_a_dropout() -> None:
    times = np.append(np.arange(20) / 1000, 1.0 + np.arange(20) / 1000)
    values = np.repeat([0.0, 100.0], 20)
    got = looked_up(times, values, np.append(times[1:17], times[21:37]), span=4)
    np.testing.assert_array_equal(got, np.repeat([0.0, 100.0], 16))


# --- the main stream's side


def test_a_pull_allocates_no_array_once_warm() -> None:
    """Hops of 32 samples of 64 channels: 16 KiB each; a reference of 4 channels at 250 Hz."""
    clock = Clock()
    info = SignalInfo(1000.0, tuple(f"E{i}" for i in range(64)), ("eeg",) * 64, ("V",) * 64)
    blocks = [
        (info, np.arange(32) / 1000, np.ones((32, 64))),
        (reference_info(250.0, *("resp",) * 4), np.arange(8) / 250, np.ones((8, 4))),
    ]

    class Endless:
        def __init__(self, info: SignalInfo, times: np.ndarray, data: np.ndarray) -> None:
            self.name, self.info, self._data = "endless", info, data
            self._times, self._none, self._n_given = times, (data[:0], times[:0]), 0

        def pull(self, timeout: float, n: int = 1) -> tuple[np.ndarray, np.ndarray, float]:
            if self._n_given == n_blocks:
                return *self._none, clock.now
            self._n_given += 1
            self._times += 0.032
            return self._data, self._times, clock.now

        def open(self, timeout: float = 5.0) -> None: ...

        def waiting(self) -> int:
            return 0

        def correction(self, timeout: float = 5.0) -> float:
            return 0.0

        def close(self) -> None: ...

    main, source = (Endless(*block) for block in blocks)
    joined = JoinedSource(main, [AuxiliaryStream(source)])
    joined.open()

    n_blocks = 0

    def step() -> None:
        nonlocal n_blocks
        n_blocks += 1
        clock.now += 0.032
        data, _, _ = joined.pull(0.0)
        assert data[0, 64] == 1.0 or n_blocks < 4

    stays, peak = allocated(step, 1000)
    assert stays < 512
    assert peak < 2048


def test_main_samples_are_untouched_and_memory_is_kept() -> None:
    case = Case(100.0, 5.0)
    case.clock.now = 12.0
    first, _, arrival = case.joined.pull(0.0)
    assert arrival == 12.0
    assert first.shape == (501, 3)
    case.clock.now = 12.5
    second, stamps, _ = case.joined.pull(0.0)
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(stamps, case.main_times[501:626])
    empty, stamps, _ = case.joined.pull(0.0)
    assert empty.shape == (0, 3)
    assert len(stamps) == 0


def test_main_stamps_at_a_wrong_rate_do_not_stop_the_join() -> None:
    case = Case(100.0, 20.0)
    case.main._stamps = 10.0 + (case.main_times - 10.0) * 1.1
    case.main._arrive = case.main._stamps
    clock = case.clock
    data, _ = run(case.joined, clock, np.arange(9.0, 31.0, 0.01))
    assert len(data) == len(case.main_times) - np.sum(case.main._stamps > clock.now)
    joined = case.main._stamps[: len(data)] < 29.0
    assert not np.isnan(data[joined, 2]).any()


# --- loss and return


class Returning:
    """What looks for a lost stream: gives each of `sources` once, after `wait` s."""

    def __init__(self, clock: Clock, wait: float, *sources: Any) -> None:
        self.clock, self.wait, self.sources, self.since = clock, wait, list(sources), np.nan

    def __call__(self, gone: bool) -> Any:
        self.gone = gone
        if np.isnan(self.since):
            self.since = self.clock.now
        if self.clock.now - self.since < self.wait or not self.sources:
            return None
        self.since, found = self.clock.now, self.sources.pop(0)
        if isinstance(found, ValueError):
            raise found
        return found

    def close(self) -> None:
        self.wait = np.inf


def test_a_lost_reference_is_missing_until_it_is_back() -> None:
    case = Case(100.0, 20.0, ch_types=("resp", "ecg"))
    case.source.lost_at = 16.0
    info = case.source.info
    wrong = Fake(replace(info, sfreq=200.0), case.clock, np.empty(0), np.empty(0), name="belt")
    turned = Fake(
        SignalInfo(100.0, ("more", "R1", "R0"), ("misc", "ecg", "resp"), ("n/a",) * 3), case.clock,
        case.times, np.column_stack((0 * case.times, -wave(case.times), wave(case.times))),
        arrive=case.times, name="belt",
    )  # fmt: skip
    turned._at = int(np.searchsorted(case.times, 19.0))  # a new inlet: what is pushed from now on
    again = Returning(case.clock, 1.0, wrong, ValueError("need a known unit"), turned)
    case.reference._again = again
    got = case.run()
    missing = case.main_times[np.isnan(got).any(1)]
    assert missing.min() == pytest.approx(16.0, abs=0.05)
    assert missing.max() == pytest.approx(19.04, abs=0.6)
    asked = case.main_times - case.reference.delay
    back = case.main_times > missing.max()
    assert back.sum() > 2500
    np.testing.assert_allclose(got[back, 0], wave(asked[back]), atol=0.02)
    np.testing.assert_allclose(got[back, 1], -wave(asked[back]), atol=0.02)
    told = [(event, details.get("reason", "")) for event, details in case.joined.take_events()]
    assert [event.removeprefix("reference_") for event, _ in told] == [
        "lost", "refused", "refused", "returned"
    ]  # fmt: skip
    assert "is lost" in told[0][1]
    assert "need the stream back at 100 Hz, got 200 Hz" in told[1][1]
    assert wrong.closed
    assert case.reference.state == "open"


def test_a_reference_at_another_rate_than_declared_is_refused() -> None:
    case = Case(100.0, 30.0)
    case.source._stamps = 9.0 + (np.arange(len(case.times)) / 97.0)
    case.source.correction = lambda timeout=0.0: 0.0
    got = case.run()[:, 0]
    events = case.joined.take_events()
    assert [event for event, _ in events if "stale" not in event and "again" not in event][-1] == (
        "reference_refused"
    )
    assert "declared 100 Hz, got 97" in events[-1][1]["reason"]
    assert np.isnan(got[case.main_times > 30.0]).all()
    assert case.source.closed


def test_references_outlive_the_main_stream() -> None:
    """After a loss a new source takes the same references over; nothing of the gap is decoded."""
    case = Case(100.0, 20.0)
    run(case.joined, case.clock, np.arange(9.0, 15.0, 0.01))
    later = case.main_times[case.main_times > 25.0]
    main = Fake(MAIN, case.clock, later, np.zeros((len(later), 2)), name="main")
    case.clock.now = 25.0
    joined = JoinedSource(main, [case.reference])
    joined.open()
    data, _ = run(joined, case.clock, np.arange(25.0, 29.0, 0.01))
    asked = later[: len(data)] - case.reference.delay
    np.testing.assert_allclose(data[:, 2], wave(asked), atol=0.02)
    assert joined.take_events() == []
    assert case.reference.n_missing == case.reference.n_late == 0


# --- what is refused


def test_channels_of_the_same_name_are_refused() -> None:
    case = Case(100.0, 1.0)
    with pytest.raises(ValueError, match=r"got R0 in 'belt' and 'belt': rename"):
        JoinedSource(case.main, [case.reference, case.reference])
    with pytest.raises(ValueError, match="at least one reference"):
        JoinedSource(case.main, [])


def test_info_is_main_then_references() -> None:
    case = Case(100.0, 1.0, ch_types=("resp", "ecg"))
    main = Fake(replace(MAIN, positions=np.ones((2, 3))), case.clock, np.empty(0), np.empty(0))
    info = JoinedSource(main, [case.reference]).info
    assert info.ch_names == ("Cz", "Pz", "R0", "R1")
    assert info.ch_types == ("eeg", "eeg", "resp", "ecg")
    assert info.sfreq == 250.0
    np.testing.assert_array_equal(np.isnan(info.positions).any(1), [False, False, True, True])
    assert case.reference.describe() == {
        "stream": "belt", "channels": ["R0", "R1"], "sfreq": 100.0, "delay_ms": 40.0,
        "limit_ms": 50.0, "averaged": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"delay": -0.1}, "need a delay of 0 to 5000 ms .* got -100 ms"),
        ({"delay": 6.0}, "got 6000 ms"),
        ({"delay": np.nan}, "need a delay"),
        ({"limit": 0.005}, "need a limit above a sampling interval of 10 ms"),
    ],
)
def test_bad_settings_are_refused(kwargs: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Case(100.0, 1.0, **kwargs)


def test_defaults_follow_a_slow_reference() -> None:
    reference = Case(10.0, 1.0).reference
    assert (reference.delay, reference.limit) == pytest.approx((0.2, 0.3))


def test_a_returning_stream_must_have_the_same_layout() -> None:
    want = reference_info(100.0, "resp", "ecg")
    columns = same_layout(want.pick([1, 0]), want)
    assert columns is not None
    assert columns.tolist() == [1, 0]
    with pytest.raises(ValueError, match="back as it was, got no R1"):
        same_layout(want.pick([0]), want)
    with pytest.raises(ValueError, match="got R0 in volts instead of n/a"):
        same_layout(replace(want, units=("volts", "n/a")), want)


# --- law 3: the record of a joined session


@pytest.mark.lsl
@pytest.mark.slow
def test_a_record_decodes_to_what_was_read_out_live(source_id: str, tmp_path: Path) -> None:
    """Two outlets on clocks of their own; the reference falters, is lost, and is back."""
    recording = small_recording(seconds=14.0)
    belt = SignalInfo(100.0, ("BELT",), ("resp",), ("n/a",))
    info = recording.info
    joined_info = SignalInfo(
        info.sfreq, (*info.ch_names, "BELT"), (*info.ch_types, "resp"), (*info.units, "n/a")
    )
    values = np.sin(np.arange(len(recording.data)) / 200)[:, None]
    known = replace(recording, data=np.hstack((recording.data, values)), info=joined_info)
    model = random_model(known, small_recipe(stream={"picks": ["eeg", "BELT"]}))

    outlets: dict[str, Any] = {
        "main": data_outlet(source_id, info, source_id),
        "belt": data_outlet(f"{source_id}-belt", belt, f"{source_id}-b"),
    }
    streams = LslStreams(
        {"source_id": source_id}, references=(ReferenceChoice(f"{source_id}-belt", 0.05),)
    )
    source = streams.samples()
    assert isinstance(source, JoinedSource)
    path = tmp_path / "record.xdf"
    record = Recorder(path, source.info, source.name, "")
    answers: list[Readout] = []
    sinks = Sinks(recorder=record, on_readout=answers.append)
    session = Session(model, source, LiveOptions(continuous=True), sinks=sinks)
    stop = threading.Event()
    thread = threading.Thread(target=session.run, args=(stop.is_set,))
    thread.start()
    try:
        wait_for(lambda: outlets["main"].have_consumers() and outlets["belt"].have_consumers())
        start, sent = local_clock(), 0
        for row in range(0, 3400, 20):
            second = row / 250
            if second == 7.04:
                outlets["belt"] = None
            if second == 8.0:
                outlets["belt"] = data_outlet(f"{source_id}-belt", belt, f"{source_id}-b2")
            stop_belt = round((second + 0.08) * 100)
            times = np.arange(sent, stop_belt) / 100
            sent = stop_belt
            times = times[(times < 4.0) | (times >= 4.3)]
            if outlets["belt"] is not None and len(times):
                outlets["belt"].push_chunk(np.sin(times)[:, None], (start + times).tolist())
            while local_clock() < start + second + 0.08:  # as fast as life: the search needs it
                time.sleep(0.002)
            stamps = (start + np.arange(row, row + 20) / 250).tolist()
            outlets["main"].push_chunk(np.ascontiguousarray(recording.data[row : row + 20]), stamps)
        wait_for(lambda: session.n_samples == 3400)
    finally:
        stop.set()
        wait_for(lambda: not thread.is_alive())
        session.close()
        record.close()
    assert len(answers) > 1000
    assert session.counts["reference_lost"] == session.counts["reference_returned"] == 1
    back = read_recording(path)
    assert back.info.ch_names == joined_info.ch_names
    missing = np.isnan(back.data[:, -1])
    assert 0.3 * 250 < missing[900:1300].sum() < 0.5 * 250
    assert 0.8 * 250 < missing[1600:].sum() < 8 * 250
    assert not missing[3350:].any()
    for chunk in (1, 64):
        options = PipelineOptions(continuous=True)
        again = list(decode_recording(model, back, (), options, chunk=chunk))
        assert timeless(again) == timeless(answers)
    raw = read_recording(path, stream=f"{source_id}-belt")  # what was read, as it came
    assert raw.info.sfreq == 100.0
    np.testing.assert_allclose(raw.data[:, 0], np.sin(raw.stamps - start), atol=1e-9)
