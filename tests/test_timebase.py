"""The time base: what it makes of jitter, losses, stalls and clocks that are set."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.signal import ModelMismatch, Reason
from rt_decoder.timing.timebase import Decision, RateMismatch, TimeBase

SFREQ = 250.0


def taken(seconds: float, sfreq: float = SFREQ) -> np.ndarray:
    return np.arange(int(seconds * sfreq)) / sfreq


def jitter(t: np.ndarray, sigma: float, seed: int = 0, sfreq: float = SFREQ) -> np.ndarray:
    return t + sigma / sfreq * np.random.default_rng(seed).standard_normal(len(t))


def lose(t: np.ndarray, at: float, n_lost: int) -> np.ndarray:
    first = int(np.searchsorted(t, at))
    return np.delete(t, np.s_[first : first + n_lost])


def bursts(t: np.ndarray, length: int) -> np.ndarray:
    """Stamps of samples that are pushed `length` at once: those of the newest."""
    return t[np.minimum(np.arange(len(t)) // length * length + length - 1, len(t) - 1)]


def arrivals_of(t: np.ndarray, seed: int = 1) -> np.ndarray:
    """Polled every 30 ms, after 10 ms and some on the way, on another clock."""
    late = np.random.default_rng(seed).exponential(0.003, len(t))
    return np.ceil((t + 0.01 + late) / 0.03) * 0.03 + 1e4


def update(stamps, arrivals=None, sfreq=SFREQ, cuts=()):
    """Times, index, flags and decisions of a stream that comes in chunks."""
    timebase = TimeBase(sfreq, history=2.0)
    parts, decisions = [], []
    for start, stop in pairwise([0, *cuts, len(stamps)]):
        seen = None if arrivals is None else arrivals[start:stop]
        timed = timebase.update(stamps[start:stop], seen)
        parts.append([array.copy() for array in timed[:3]])
        decisions += timed.decisions
    return *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)), decisions


def kinds(decisions: list[Decision]) -> list[str]:
    return [decision.kind for decision in decisions]


def eventful(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stamps and arrivals of a stream to which much happens."""
    rng = np.random.default_rng(seed)
    t = lose(lose(taken(24), 4, 30), 8, 3)
    stamps = jitter(t, rng.choice([0.0, 0.3, 1.0]), seed)
    pushed = np.minimum(np.arange(len(t)) // 8 * 8 + 7, len(t) - 1)
    stamps = np.where((t > 12) & (t < 14), stamps[pushed], stamps)
    stamps[(t > 16) & (t < 16.2)] = stamps[np.searchsorted(t, 16.2)]
    stamps[t > 18] += 0.5
    stamps[t > 21] -= 0.7
    stamps[rng.integers(0, len(t), 5)] = math.nan
    return stamps, arrivals_of(t, seed)


# --- laws


@pytest.mark.parametrize("seed", range(4))
@given(cuts=st.lists(st.integers(0, 5900), max_size=40).map(sorted))
@settings(max_examples=15, deadline=None)
def test_cuts_change_no_bit(seed, cuts):
    stamps, arrivals = eventful(seed)
    whole, cut = update(stamps, arrivals), update(stamps, arrivals, cuts=cuts)
    assert len(whole[3]) >= 3
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_sample_at_a_time():
    stamps, arrivals = eventful(0)
    whole, cut = update(stamps, arrivals), update(stamps, arrivals, cuts=range(1, len(stamps)))
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("at", [1, 1003, 4200, 5000])
def test_causal(at):
    stamps, arrivals = eventful(1)
    other = stamps.copy()
    other[at:] += 0.05 * np.random.default_rng(0).random(len(stamps) - at)
    for one, two in zip(update(stamps, arrivals)[:3], update(other, arrivals)[:3], strict=True):
        np.testing.assert_array_equal(one[:at], two[:at])


def test_reset_forgets_and_input_is_untouched():
    stamps, arrivals = eventful(2)
    kept = stamps.copy(), arrivals.copy()
    timebase = TimeBase(SFREQ, history=2.0)
    first = [array.copy() for array in timebase.update(stamps, arrivals)[:3]]
    timebase.reset()
    assert timebase.n_samples == 0
    assert timebase.newest == -math.inf
    for one, two in zip(first, timebase.update(stamps, arrivals)[:3], strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(stamps, kept[0])
    np.testing.assert_array_equal(arrivals, kept[1])


def test_empty_chunk_and_shifted_clock():
    stamps = np.round(jitter(lose(taken(12), 6, 50), 0.5), 9)
    assert len(TimeBase(SFREQ, 1.0).update(stamps[:0]).times) == 0
    one, two = update(stamps), update(stamps + 2.0**16)
    np.testing.assert_allclose(one[0], two[0] - 2.0**16, atol=1e-6)
    np.testing.assert_array_equal(one[1], two[1])


def test_allocates_nothing_once_warm():
    stamps = jitter(taken(8), 0.5)
    timebase = TimeBase(SFREQ, history=1.0)
    timebase.update(stamps[:1000], 0.0)
    chunks = [stamps[start : start + 5] for start in range(1000, 1900, 5)]
    tracemalloc.start()
    for chunk in chunks:
        timebase.update(chunk, 0.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096


# --- what the line does


@pytest.mark.parametrize(("sigma", "bound"), [(0.0, 1e-9), (0.3, 0.05), (1.0, 0.15), (3.0, 0.3)])
@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
def test_jitter_is_smoothed_and_loses_nothing(sigma, bound, sfreq):
    t = taken(60, sfreq)
    times, index, _, decisions = update(jitter(t, sigma, sfreq=sfreq), sfreq=sfreq)
    error = np.abs(times - t)[int(10 * sfreq) :] * sfreq
    assert np.percentile(error, 99) <= bound
    np.testing.assert_array_equal(index, np.arange(len(t)))
    assert not decisions


def test_is_the_least_squares_line_at_first():
    t = taken(4) * 1.0005
    stamps = jitter(t, 1.0)
    timebase = TimeBase(SFREQ, history=1.0)
    times = timebase.update(stamps).times
    n = np.arange(len(t))
    fitted = np.polyval(np.polyfit(n, stamps, 1), n[-1])
    assert abs(times[-1] - fitted) * SFREQ < 0.1


@pytest.mark.parametrize("length", [10, 32])
@pytest.mark.parametrize("sfreq", [100.0, 250.0])
def test_bursts_are_stamped_by_their_newest_sample(length, sfreq):
    t = taken(120, sfreq)
    times, _, flags, decisions = update(bursts(t, length), sfreq=sfreq)
    late = np.s_[int(20 * sfreq) :]
    assert np.abs(times - t)[late].max() * sfreq < 0.15
    assert not decisions
    assert not flags[late].any()
    assert (flags[: 4 * length] == Reason.HELD).all()  # nothing is known yet
    assert (np.diff(times) > 0).all()


LONG = [(50.0, 25), (250.0, 62), (250.0, 125), (1000.0, 500), (5000.0, 1250), (30000.0, 15000)]


@pytest.mark.parametrize(("sfreq", "length"), LONG)
@pytest.mark.parametrize("how", ["first", "between", "last", "spaced"])
def test_a_push_of_half_a_second_is_one_group(sfreq, length, how):
    """Up to a constant: nothing in the stamps tells which sample of a push they mean."""
    t = taken(12, sfreq)
    at = {"first": 0, "between": length // 3, "last": length - 1}.get(how, 0)
    push = np.arange(len(t)) // length
    stamps = t if how == "spaced" else t[np.minimum(push * length + at, len(t) - 1)]
    stamps = stamps + np.random.default_rng(2).uniform(0, 1e-3, push[-1] + 1)[push]
    times, _, flags, decisions = update(stamps, sfreq=sfreq)
    error = (times - t)[int(4 * sfreq) :]
    usual = (0 if how == "spaced" else at + 1 - length) / sfreq
    assert not decisions
    assert np.abs(error - usual).max() < max(1 / sfreq, 1.1e-3)
    assert np.ptp(error) < max(1 / sfreq, 0.6e-3)
    assert flags[int(4 * sfreq) :].mean() < 0.1 * Reason.HELD


@pytest.mark.parametrize("step", [1e-5, -1e-5, 1e-4])
def test_clock_corrections_every_second_make_no_pushes(step):
    """The spacing of the stamps is exact in between."""
    t = taken(30, 1000.0)
    stamps = t + step * np.floor(t)
    times, _, _, decisions = update(stamps, sfreq=1000.0)
    assert not decisions
    assert np.abs(times - stamps)[2000:].max() < 1.5 * abs(step)


@pytest.mark.parametrize("how", ["once", "spaced"])
@pytest.mark.parametrize("n_lost", [25, 125, 1000])
def test_losses_between_long_pushes(how, n_lost):
    t = lose(taken(40), 25, n_lost)
    push = np.arange(len(t)) // 125
    late = np.random.default_rng(1).exponential(2e-3, push[-1] + 1)[push]
    times, _, _, decisions = update((bursts(t, 125) if how == "once" else t) + late)
    assert kinds(decisions) == ["gap"]
    assert abs(decisions[0].n_lost - n_lost) <= 1
    assert decisions[0].sample <= 27.1 * SFREQ
    assert np.abs(times - t)[int(28 * SFREQ) :].max() * SFREQ < 1.5


def test_a_marker_in_the_first_long_push_finds_its_sample():
    t = taken(6)
    timebase = TimeBase(SFREQ, history=8.0)
    timebase.update(bursts(t, 125))
    assert [timebase.index_of(k / SFREQ) for k in (3, 90, 130, 240, 700)] == [3, 90, 130, 240, 700]


@given(length=st.integers(33, 125), cuts=st.lists(st.integers(0, 2900), max_size=8).map(sorted))
@settings(max_examples=15, deadline=None)
def test_cuts_change_no_bit_of_long_pushes(length, cuts):
    t = lose(taken(12), 8, 100)
    push = np.arange(len(t)) // length
    stamps = t + np.random.default_rng(length).exponential(2e-3, push[-1] + 1)[push]
    stamps = stamps if length % 2 else bursts(t, length)
    for one, other in zip(update(stamps), update(stamps, cuts=cuts), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stray_stamp_in_every_burst_hardly_counts():
    """One of 16 samples is stamped half a burst late: a group of its own, and a small one."""
    t = taken(90)
    stamps = bursts(t, 16)
    stamps[::16] += 8 / SFREQ
    times, _, _, decisions = update(stamps)
    assert not decisions
    assert np.abs(times - t)[int(60 * SFREQ) :].max() * SFREQ < 0.1


@pytest.mark.parametrize("what", ["duplicate", "reversed", "stalls", "rate", "drift"])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_no_gap_where_nothing_is_lost(what, sigma):
    t = taken(300)
    rng = np.random.default_rng(5)
    if what == "rate":
        t = t * 1.001
    elif what == "drift":
        t = t + 2e-4 * t * t / 600
    stamps = jitter(t, sigma)
    picks = np.flatnonzero(rng.random(len(t) - 1) < 0.01) + 1
    if what == "duplicate":
        stamps[picks] = stamps[picks - 1]
    elif what == "reversed":
        stamps[picks], stamps[picks - 1] = stamps[picks - 1], stamps[picks].copy()
    elif what == "stalls":
        for start in np.cumsum(rng.exponential(5.0, 50)):
            stall = (t >= start) & (t < start + 0.05)
            stamps[stall] += start + 0.05 - t[stall]
    times, index, _, decisions = update(stamps)
    assert not decisions
    np.testing.assert_array_equal(index, np.arange(len(t)))
    assert np.percentile(np.abs(times - t)[500:] * SFREQ, 99) < 0.15


def test_drift_is_followed():
    t = taken(300, 1000.0)
    t = t + 2e-4 * 300 / (2 * np.pi) * np.sin(2 * np.pi * t / 300)
    times = update(jitter(t, 0.3, sfreq=1000.0), sfreq=1000.0)[0]
    assert np.abs(times - t)[2000:].max() * 1000 < 0.4


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_a_rate_that_changes_a_little_is_learned_anew(sigma):
    """By 0.5 %, which is no wrong rate yet: first it looks like one shift after the other."""
    t = np.concatenate((taken(30), 30 + taken(40, 1.005 * SFREQ)))
    times, *_ = update(jitter(t, sigma))
    assert np.abs(times - t)[int(33 * SFREQ) :].max() * SFREQ < 0.3


def test_a_busy_sender_loses_nothing():
    t = taken(60)
    late = (np.random.default_rng(3).random(len(t)) < 0.6) & (t > 20) & (t < 25)
    times, index, _, decisions = update(jitter(t, 0.3) + late * 8 / SFREQ)
    assert "gap" not in kinds(decisions)
    np.testing.assert_array_equal(index, np.arange(len(t)))
    assert np.abs(times - t)[int(30 * SFREQ) :].max() * SFREQ < 1


def test_a_loss_miscounted_by_one_is_not_kept():
    off = []
    for seed in range(40):
        t = lose(taken(30), 20, 100)
        times, _, _, decisions = update(jitter(t, 3.0, seed))
        if decisions[0].n_lost != 100:
            off.append(np.abs(times - t)[int(22 * SFREQ) :].max() * SFREQ)
    assert off
    assert max(off) < 0.7


# --- losses


@pytest.mark.parametrize("n_lost", [10, 100, 1000, 5000])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_loss_is_found_within_a_second(n_lost, sigma, seed):
    t = lose(taken(25 + n_lost / SFREQ), 20, n_lost)
    at = int(20 * SFREQ)
    times, index, flags, decisions = update(jitter(t, sigma, seed))
    (gap,) = decisions
    assert gap.kind == "gap"
    assert abs(gap.n_lost - n_lost) <= (1 if sigma == 3 else 0)
    assert at < gap.sample <= at + SFREQ
    assert abs(gap.change - at) <= 4 * sigma
    assert gap.shift == 0
    assert (gap.index, gap.time) == (index[gap.sample], times[gap.sample])
    steps = np.diff(index)
    assert steps[gap.sample - 1] == gap.n_lost + 1
    assert (np.delete(steps, gap.sample - 1) == 1).all()
    assert flags[gap.sample] == Reason.GAP
    assert (np.delete(flags, gap.sample) & Reason.GAP == 0).all()
    assert (flags[at + 20 : gap.sample] == Reason.HELD).all()
    error = np.abs(times - t)[at + int(2 * SFREQ) :] * SFREQ
    assert error.max() < 0.6


def test_small_losses_are_found_where_the_jitter_allows():
    for sigma, n_lost in ((0.0, 1), (0.3, 1), (1.0, 3), (3.0, 6)):
        decisions = update(jitter(lose(taken(40), 20, n_lost), sigma))[3]
        assert [decision.n_lost for decision in decisions] == [n_lost]


def test_many_losses():
    t = taken(60)
    for at in range(50, 5, -5):
        t = lose(t, at, 40)
    times, _, _, decisions = update(jitter(t, 0.3))
    assert [decision.n_lost for decision in decisions] == [40] * 9
    assert np.abs(times - t)[-250:].max() * SFREQ < 0.2


@pytest.mark.parametrize("n_lost", [25, 100])
def test_loss_before_the_jitter_is_known(n_lost):
    t = lose(taken(20, 50.0), 0.5, n_lost)
    times, _, _, decisions = update(jitter(t, 0.3, sfreq=50.0), sfreq=50.0)
    assert [(decision.kind, decision.n_lost) for decision in decisions] == [("gap", n_lost)]
    assert decisions[0].sample < 1.5 * 50
    assert np.abs(times - t)[3 * 50 :].max() * 50 < 1


def test_loss_soon_after_the_start():
    t = lose(taken(20), 1.0, 200)
    times, *_ = update(jitter(t, 0.3))
    assert np.abs(times - t)[int(5 * SFREQ) :].max() * SFREQ < 1


# --- stalls, clocks that are set, wrong rates


def test_a_late_stretch_that_ends_is_revoked():
    t = taken(40)
    stamps = jitter(t, 0.3)
    stamps[(t >= 20) & (t < 22)] += 0.2
    times, index, _, decisions = update(stamps)
    assert kinds(decisions) == ["gap", "revoked"]
    gap, revoked = decisions
    assert gap.n_lost == -revoked.n_lost == 50
    assert revoked.shift == pytest.approx(-0.2, abs=0.5 / SFREQ)
    assert (np.diff(index) >= 1).all()
    assert index[-1] == len(t) - 1 + 50
    assert np.abs(times - t)[int(23 * SFREQ) :].max() * SFREQ < 0.2


@pytest.mark.parametrize("step", [0.5, 0.05, -0.05, -0.5, -1000.0])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_clock_step_is_told_from_loss_by_arrivals(step, sigma):
    t = taken(40)
    true = t + np.where(t >= 20, step, 0.0)
    times, index, _, decisions = update(jitter(true, sigma), arrivals_of(t))
    assert kinds(decisions) == ["reset"]
    assert decisions[0].n_lost == 0
    assert decisions[0].shift == pytest.approx(step, abs=1 / SFREQ)
    np.testing.assert_array_equal(index, np.arange(len(t)))
    assert np.abs(times - true)[int(22 * SFREQ) :].max() * SFREQ < 0.3


@pytest.mark.parametrize(("sigma", "seconds"), [(0.3, 0.05), (1.0, 0.25)])
def test_a_clock_that_is_set_back_is_known_sooner_than_a_loss(sigma, seconds):
    """A stall can make stamps late, nothing but the clock makes them early."""
    t = taken(40)
    decisions = update(jitter(t - 0.5 * (t >= 20), sigma))[3]
    assert kinds(decisions) == ["reset"]
    assert decisions[0].sample - 20 * SFREQ < seconds * SFREQ


@pytest.mark.parametrize("step", [-0.05, -1.0])
def test_a_clock_that_is_set_back_after_a_gap_revokes_it_not(step):
    """Stamps come back by another time than was lost: the samples are lost nevertheless."""
    t = lose(taken(60), 20, 100)  # 0.4 s
    decisions = update(jitter(t + step * (t >= 25), 0.3))[3]
    assert kinds(decisions) == ["gap", "reset"]
    assert [decision.n_lost for decision in decisions] == [100, 0]


def test_loss_with_arrivals_stays_a_loss():
    t = lose(taken(40), 20, 125)
    assert kinds(update(jitter(t, 0.3), arrivals_of(t))[3]) == ["gap"]
    assert kinds(update(jitter(taken(40) + (taken(40) >= 20) * 0.5, 0.3))[3]) == ["gap"]


@pytest.mark.parametrize("lag", [0.3, 1.0])
def test_a_loss_while_the_reader_catches_up_stays_a_loss(lag):
    """Arrivals come nearer to the stamps by more than were lost: no clock can have done that."""
    t = lose(taken(40), 20, 25)
    decisions = update(jitter(t, 0.3), arrivals_of(t) + np.where(t < 20, lag, 0.0))[3]
    assert kinds(decisions) == ["gap"]
    assert decisions[0].n_lost == 25


@pytest.mark.parametrize("measured", [92.0, 98.5, 102.0, 110.0])
def test_wrong_rate_is_an_error_of_its_own(measured):
    stamps = jitter(taken(60, measured), 0.5)
    with pytest.raises(RateMismatch, match=f"declared 100 Hz, got {measured:g}") as caught:
        update(stamps, sfreq=100.0)
    assert caught.value.declared == 100.0
    assert caught.value.measured == pytest.approx(measured, rel=0.005)
    assert isinstance(caught.value, ModelMismatch)
    assert not update(stamps[:400], sfreq=100.0)[3]


@pytest.mark.parametrize("measured", [230.0, 247.0, 255.0])
def test_a_rate_that_changes_is_seen(measured):
    t = np.concatenate((taken(30), 30 + taken(30, measured)))
    with pytest.raises(RateMismatch) as caught:
        update(jitter(t, 0.3))
    off = caught.value.measured / SFREQ - 1  # a median over before and after
    assert abs(off) > 0.01
    assert off * (measured - SFREQ) > 0


def test_a_lossy_stream_is_no_wrong_rate():
    t = taken(120)
    t = t[t % 2 > 0.1]
    times, _, _, decisions = update(jitter(t, 0.3))
    assert 59 <= kinds(decisions).count("gap") == len(decisions) <= 60
    assert np.abs(times - t)[-50:].max() * SFREQ < 0.2


def test_wrong_rate_is_seen_at_the_same_sample_however_cut():
    stamps = jitter(taken(60, 92.0), 0.5)

    def seen(n: int) -> int:
        timebase = TimeBase(100.0, history=1.0)
        for start in range(0, len(stamps), n):
            try:
                timebase.update(stamps[start : start + n])
            except RateMismatch:
                return start
        raise AssertionError

    one = seen(1)
    assert seen(7) == one // 7 * 7


def test_stamps_that_are_not_numbers_are_guessed_and_flagged():
    t = taken(10)
    stamps = t.copy()
    stamps[[0, 1000, 1001]] = math.nan, math.inf, math.nan
    times, _, flags, decisions = update(stamps)
    assert not decisions
    assert np.isnan(times[0])
    assert np.abs(times - t)[1:].max() < 1e-9
    assert (flags[[0, 1000, 1001]] == Reason.HELD).all()


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300, -1e300, 1e12, 9e9, 0.0])
@pytest.mark.parametrize("at", [0, 1000])
def test_one_odd_stamp_flags_one_sample(odd, at):
    stamps = 1e3 + taken(10)
    stamps[at] = odd
    times, index, flags, decisions = update(stamps)
    assert not decisions
    np.testing.assert_array_equal(index, np.arange(len(stamps)))
    later = np.s_[at + int(2 * SFREQ) :]
    assert np.abs(times - 1e3 - taken(10))[later].max() < 1e-5
    assert not flags[later].any()
    assert flags[at] == Reason.HELD
    if at:
        assert np.count_nonzero(flags[at - 1 :]) == 1


@pytest.mark.parametrize("pause", [60.0, 5_670.0, 7_200.0, 86_400.0, 1.7e9])
@pytest.mark.parametrize("sigma", [0.0, 0.3])
@pytest.mark.parametrize("arrive", [False, True])
def test_a_pause_of_hours_is_a_gap(pause, sigma, arrive):
    t = taken(30)
    t[t >= 20] += pause
    times, _, _, decisions = update(jitter(t, sigma), t + 0.01 if arrive else None)
    assert kinds(decisions) == ["gap"]
    assert decisions[0].n_lost == pytest.approx(pause * SFREQ, rel=1e-4)
    assert np.abs(times - t)[int(22 * SFREQ) :].max() * SFREQ < 1


@pytest.mark.parametrize(
    ("stamps", "got"),
    [
        (np.full(5000, 5.0), "do not advance"),
        (-taken(20), "go back"),
        (np.full(5000, math.nan), "none that is a time in s"),
        (1.7e12 + 1e3 * taken(20), "none that is a time in s"),
        (1e3 * taken(20), "got 0.25 Hz"),
    ],
)
def test_stamps_that_are_no_clock_are_refused_with_the_reason(stamps, got):
    with pytest.raises(RateMismatch, match=got):
        update(stamps)


@given(
    steps=st.lists(st.floats(-10, 10, width=16), min_size=1, max_size=300), seed=st.integers(0, 9)
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_stamps_times_are_finite_and_the_index_grows(steps, seed):
    stamps = np.cumsum(np.concatenate((np.repeat(steps, 3), jitter(taken(2), 1.0, seed))))
    try:
        times, index, _, _ = update(stamps)
    except RateMismatch:
        return
    assert np.isfinite(times).all()
    assert (np.diff(index) >= 1).all()


# --- markers


def test_markers_find_their_nearest_sample():
    timebase = TimeBase(SFREQ, history=2.0)
    timebase.update(100.0 + taken(8))
    newest = timebase.newest
    assert timebase.index_of(newest) == timebase.n_samples - 1
    assert timebase.index_of(newest + 1e-6) is None
    for index in (1600, 1601, 1999):
        for off in (-0.4, 0.0, 0.4):
            assert timebase.index_of(100 + (index + off) / SFREQ) in (index, None)
    with pytest.raises(LookupError, match="too long ago"):
        timebase.index_of(101.0)


def test_markers_at_and_before_the_start():
    timebase = TimeBase(SFREQ, history=2.0)
    assert timebase.index_of(0.0) is None
    timebase.update(5 + taken(1))
    assert timebase.index_of(5 - 0.4 / SFREQ) == 0
    with pytest.raises(LookupError, match="before the first sample"):
        timebase.index_of(4.9)


def test_marker_among_lost_samples_keeps_its_place():
    timebase = TimeBase(SFREQ, history=10.0)
    t = lose(taken(20), 15, 250)  # 15 s to 16 s
    gap = timebase.update(t).decisions[0]
    assert timebase.index_of(17.0) == 17 * SFREQ
    before = timebase.index_of(gap.time - 0.3)
    assert gap.index - gap.n_lost <= before < gap.index
    assert before == round((gap.time - 0.3) * SFREQ)


@pytest.mark.parametrize("step", [0.5, -0.5, -1000.0])
def test_markers_across_a_clock_step(step):
    t = taken(30)
    stamps = t + np.where(t >= 20, step, 0.0)
    timebase = TimeBase(SFREQ, history=15.0)
    asked = {18.0: 4500, 25.0 + step: 6250}
    early, answers = [18.0, 25.0 + step], {}
    for start in range(0, len(t), 50):
        timebase.update(stamps[start : start + 50], arrivals_of(t)[start : start + 50])
        for time in early:
            if time not in answers and start > 5300 * (time != 18.0):
                index = timebase.index_of(time)
                if index is not None:
                    answers[time] = index
    assert answers == asked
    assert {time: timebase.index_of(time) for time in asked} == asked
    if step > 0:
        with pytest.raises(LookupError, match="clock jumped"):
            timebase.index_of(20.25)


@pytest.mark.parametrize("step", [0.5, -0.5, 0.1])
def test_markers_stamped_by_a_clock_that_was_set_find_their_sample(step):
    rng = np.random.default_rng(0)
    t = taken(24)
    stamps = t + np.where(t >= 20, step, 0.0) + rng.normal(0, 2e-4, len(t))
    places = np.arange(
        4800, 5400, 3
    )  # each marker comes with its sample, stamped by the same clock
    found = {}
    for size in (1, 13, 50):
        timebase, answers, waiting = TimeBase(SFREQ, history=5.0), {}, []
        for start in range(0, len(t), size):
            stop = min(start + size, len(t))
            for place in places[(places >= start) & (places < stop)]:
                # as in a session record: a marker comes before its sample, at any place in a pull
                timebase.update(stamps[start:place], arrivals_of(t)[start:place])
                waiting.append((int(place), timebase.n_samples))
                start = int(place)
            timebase.update(stamps[start:stop], arrivals_of(t)[start:stop])
            for place, came in list(waiting):
                time = t[place] + (step if place >= 5000 else 0.0)
                index = timebase.index_of(time, came)
                if index is not None:
                    answers[place] = index
                    waiting.remove((place, came))
        assert not waiting
        found[size] = answers
    assert found[1] == found[13] == found[50]
    off = np.abs([index - place for place, index in found[1].items()])
    assert off.max() <= 1


@pytest.mark.parametrize("step", [-10.0, -3600.0, -1.7e9])
@pytest.mark.parametrize("early", [0, 1, 40, 200])
def test_a_marker_before_the_samples_of_a_clock_that_was_set_back_waits(step, early):
    """Markers come sooner than the samples of their time."""
    t = taken(24)
    stamps = t + np.where(t >= 20, step, 0.0)
    for size in (7, 50):
        timebase = TimeBase(SFREQ, history=5.0)
        came, answers = 5000 - early, set()
        for low, high in pairwise([*range(0, came, size), *range(came, len(t), size)]):
            timebase.update(stamps[low:high], arrivals_of(t)[low:high])
            if low >= came:
                answers.add(timebase.index_of(t[5000] + step, came))
        assert answers <= {None, 5000}
        assert 5000 in answers


def test_a_marker_far_back_is_lost_once_no_clock_can_have_been_set():
    timebase = TimeBase(SFREQ, history=2.0)
    timebase.update(100 + taken(4))
    assert timebase.index_of(50.0, 1000) is None
    timebase.update(104 + taken(1.1))
    with pytest.raises(LookupError, match="too long ago"):
        timebase.index_of(50.0, 1000)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [((0.0, 1.0), "rate"), ((math.nan, 1.0), "rate"), ((1.0, -1.0), "history")],
)
def test_bad_arguments(arguments, what):
    with pytest.raises(ValueError, match=what):
        TimeBase(*arguments)


# --- real streams and long ones


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name", ["muse/N170/data_2017-09-13-15.30.01.csv", "muse/SSVEP/data_2017-09-14-21.22.51.csv"]
)
def test_muse_with_samples_deleted(data_dir, name):
    table = np.genfromtxt(data_dir / name, delimiter=",", names=True)
    stamps = table["timestamps"]
    whole = update(stamps, sfreq=256.0)
    assert not whole[3]
    at = len(stamps) // 2
    left = np.delete(np.arange(len(stamps)), np.s_[at : at + 100])
    times, index, _, decisions = update(stamps[left], sfreq=256.0)
    assert kinds(decisions) == ["gap"]
    assert abs(decisions[0].n_lost - 100) <= 1
    later = np.s_[at + 512 :]
    assert np.percentile(np.abs(times - whole[0][left])[later] * 256, 99) < 0.5
    assert np.abs(index - left)[later].max() <= 1


@pytest.mark.realdata
def test_clock_resets_runs_at_another_rate(data_dir):
    pyxdf = pytest.importorskip("pyxdf")
    streams, _ = pyxdf.load_xdf(
        data_dir / "xdf/xdf_example_files/clock_resets.xdf",
        synchronize_clocks=False,
        dejitter_timestamps=False,
        verbose=False,
    )
    stream = max(streams, key=lambda stream: len(stream["time_stamps"]))
    sfreq = float(stream["info"]["nominal_srate"][0])
    with pytest.raises(RateMismatch, match="declared 100 Hz, got 9"):
        update(np.asarray(stream["time_stamps"]), sfreq=sfreq)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_an_hour_of_jitter(sigma):
    t = taken(3600)
    times, _, _, decisions = update(jitter(t, sigma))
    assert not decisions
    settled = np.s_[int((10 if sigma == 3 else 1) * SFREQ) :]
    assert np.percentile(np.abs(times - t)[settled] * SFREQ, 99) <= 0.15
