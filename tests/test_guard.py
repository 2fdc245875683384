"""The guard: what cannot be a sample goes no further, and is said."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rt_decoder.cleaning.guard import Guard
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo
from tests.contract import INFO, make_chunk

INFO3 = SignalInfo(100.0, ("a", "b", "c"), ("eeg", "eeg", "resp"), ("V",) * 3)
N_HOLD = 5  # 50 ms
VALUES = st.sampled_from([0.0, 1e-5, -2.5e-5, 1.1e-5, np.nan, np.inf, 3.0, 0.01, 0.0101, 5e-324])
JUMP = np.array([1e-4, np.inf, 1e-4])


def chunk_of(data: np.ndarray, info: SignalInfo = INFO3) -> Chunk:
    n, c = data.shape
    return Chunk(data, np.arange(n) / info.sfreq, 0, np.zeros(n, FLAGS), np.zeros((n, c), FLAGS))


def expected(values: np.ndarray, jump: float, may_be_flat: bool, n_settle: int):
    """The same rules, one value after the other."""
    out, reasons = [], []
    level, given_out, previous, offset = None, 0.0, None, 0.0  # level: last good value
    same = held = settle = 0
    for x in values:
        same = same + 1 if previous is not None and x == previous else 0
        previous = x
        away = level is not None and abs(x - level) > jump
        if not math.isfinite(x):
            reason = Reason.REFERENCE_LOST if may_be_flat else Reason.NONFINITE
        elif abs(x) > 1.0:
            reason = Reason.AMPLITUDE
        elif away and same >= 2:
            reason = Reason.RAIL
        elif same >= N_HOLD + 1 and not may_be_flat:
            reason = Reason.FLAT
        elif away and held < N_HOLD:
            reason = Reason.JUMP
        else:
            reason = Reason(0)
        if reason:
            held += 1
        else:
            if held > N_HOLD or ((away or level is None) and held):
                offset, settle = x - given_out, n_settle
            held, level, given_out = 0, x, x - offset
            if settle:
                settle -= 1
                reason = Reason.SETTLING
        out.append(given_out)
        reasons.append(int(reason))
    return np.array(out), np.array(reasons)


def test_good_samples_pass_bit_for_bit():
    chunk = make_chunk(100)
    out = Guard(INFO, np.full(7, 1.0)).process(chunk)
    assert np.array_equal(out.data, chunk.data)
    assert np.array_equal(out.flags, chunk.flags)
    assert np.array_equal(out.channel_flags, chunk.channel_flags)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 40), st.just(3)), elements=VALUES),
    st.lists(st.integers(0, 40), max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_holds_and_says_why_as_the_rules_say(data, cuts):
    guard = Guard(INFO3, JUMP, settling=0.07)
    chunk = chunk_of(data)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for a, b in pairwise(edges):
        part = chunk._replace(
            data=data[a:b], flags=chunk.flags[a:b], channel_flags=chunk.channel_flags[a:b]
        )
        out = guard.process(part)
        assert not out.flags.any(), "what one channel does is not yet the whole sample's"
        for k in range(3):
            values, reasons = expected(data[:b, k], JUMP[k], k == 2, 7)
            assert np.array_equal(out.data[:, k], values[a:b])
            assert np.array_equal(out.channel_flags[:, k], reasons[a:b])


def test_flags_that_were_there_stay():
    data = np.full((4, 3), np.nan)
    chunk = chunk_of(data)
    chunk.channel_flags[:] = Reason.JUMP
    out = Guard(INFO3).process(chunk)
    assert (out.channel_flags[:, :2] == Reason.JUMP | Reason.NONFINITE).all()
    assert (out.channel_flags[:, 2] == Reason.JUMP | Reason.REFERENCE_LOST).all()
    assert (out.data == 0.0).all()


@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
def test_a_rail_never_reaches_the_filter_and_leaves_no_step(sfreq):
    rng = np.random.default_rng(0)
    n = round(4 * sfreq)
    walk = np.cumsum(1e-6 * rng.standard_normal((n, 3)), axis=0) + 0.02
    data = walk.copy()
    first, stop = n // 4, n // 2
    data[first:stop] = 0.187
    info = SignalInfo(sfreq, INFO3.ch_names, INFO3.ch_types, INFO3.units)
    out = Guard(info, np.full(3, 5e-5), settling=1.0).process(chunk_of(data, info))
    assert np.abs(np.diff(out.data, axis=0)).max() < 1e-5
    reasons = out.channel_flags[first:stop]
    assert (reasons != 0).all(), "flagged from its first sample on"
    assert (reasons[3:] & Reason.RAIL).all()
    assert (out.channel_flags[stop : stop + round(sfreq)] == Reason.SETTLING).all()
    assert not out.channel_flags[:first].any()
    assert not out.channel_flags[stop + round(sfreq) :].any()


def test_a_level_that_lives_is_taken_after_50_ms():
    rng = np.random.default_rng(1)
    data = 1e-6 * rng.standard_normal((200, 3))
    data[100:] += 0.01
    out = Guard(INFO3, np.full(3, 1e-4)).process(chunk_of(data))
    assert (out.channel_flags[100:105] == Reason.JUMP).all()
    assert not out.channel_flags[106:].any()
    assert np.abs(out.data).max() < 1e-5, "the step is not passed on"
    increments = np.diff(out.data[106:], axis=0), np.diff(data[106:], axis=0)
    assert np.allclose(*increments, atol=1e-15)


def test_volts_taken_for_microvolts_are_impossible():
    out = Guard(INFO3).process(chunk_of(np.full((3, 3), 12.0)))
    assert (out.channel_flags & Reason.AMPLITUDE).all()


@pytest.mark.slow  # compiles the kernel for another layout
def test_strided_float32_input_is_taken():
    wide = np.full((5, 14), 0.25, np.float32)
    wide[4, 2] = np.nan
    out = Guard(INFO).process(make_chunk(5)._replace(data=wide[:, ::2]))
    assert (out.data == 0.25).all()
    assert out.channel_flags[4, 1] & Reason.NONFINITE


def test_reset_forgets_the_values_held():
    guard, chunk = Guard(INFO), make_chunk(5)
    guard.process(chunk)
    guard.reset()
    chunk.data[0] = np.nan
    assert (guard.process(chunk).data[0] == 0.0).all()


@pytest.mark.parametrize("jump", [np.ones(2), np.zeros(3), -np.ones(3)])
def test_refuses_limits_that_make_no_sense(jump):
    with pytest.raises(ValueError, match="need jump of 3 values above 0"):
        Guard(INFO3, jump)
