"""The guard: nothing but numbers goes on."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rt_decoder.guard import Guard
from rt_decoder.signal import Chunk, Reason, SignalInfo
from tests.contract import INFO, make_chunk

NONFINITE = int(Reason.NONFINITE)
VALUES = st.sampled_from([0.0, 1.0, -2.5, np.nan, np.inf, -np.inf, 1.7e308, 5e-324])


def test_good_samples_pass_bit_for_bit():
    chunk = make_chunk(100)
    out = Guard(INFO).process(chunk)
    assert np.array_equal(out.data, chunk.data)
    assert np.array_equal(out.flags, chunk.flags)
    assert np.array_equal(out.channel_flags, chunk.channel_flags)


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(3)), elements=VALUES))
@settings(max_examples=80, deadline=None)
def test_holds_the_last_finite_value_of_the_channel(data):
    n, c = data.shape
    info = SignalInfo(100.0, ("a", "b", "c"), ("eeg",) * 3, ("V",) * 3)
    channel_flags = np.full((n, c), int(Reason.JUMP), np.uint16)
    flags = np.full(n, int(Reason.RAIL), np.uint16)
    out = Guard(info).process(Chunk(data, np.arange(n) / 100, 0, flags, channel_flags))
    last = np.zeros(c)
    for t in range(n):
        good = np.isfinite(data[t])
        last = np.where(good, data[t], last)
        assert np.array_equal(out.data[t], last)
        assert out.flags[t] == Reason.RAIL | (0 if good.all() else NONFINITE)
        assert np.array_equal(out.channel_flags[t], np.where(good, 0, NONFINITE) | int(Reason.JUMP))


def test_strided_float32_input_is_taken():
    wide = np.full((20, 14), 3.5, np.float32)
    wide[4, 2] = np.nan
    out = Guard(INFO).process(make_chunk(20)._replace(data=wide[:, ::2]))
    assert (out.data == 3.5).all()
    assert out.channel_flags[4, 1] & NONFINITE


def test_reset_forgets_the_values_held():
    guard, chunk = Guard(INFO), make_chunk(5)
    guard.process(chunk)
    guard.reset()
    chunk.data[0] = np.nan
    assert (guard.process(chunk).data[0] == 0.0).all()
