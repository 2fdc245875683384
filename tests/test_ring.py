"""The ring: any window is one view of what was written, or a clear refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.decoding.ring import Ring
from rt_decoder.signal import FLAGS
from tests.contract import allocated


def samples(start, stop):
    """Rows that tell their own index, and flags too."""
    index = np.arange(start, stop)
    return np.stack([index, -index], axis=1).astype(float), (index % 7).astype(FLAGS)


@given(
    capacity=st.integers(1, 20),
    lengths=st.lists(st.integers(0, 50), max_size=20),
    origin=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_every_window_is_what_was_written(capacity, lengths, origin):
    ring = Ring(capacity, 2)
    ring.restart(origin)
    for length in lengths:
        ring.write(*samples(ring.next, ring.next + length))
    assert ring.next == origin + sum(lengths)
    assert ring.first == max(origin, ring.next - capacity)
    for start in range(ring.first, ring.next + 1):
        for stop in range(start, ring.next + 1):
            data, flags = ring.window(start, stop)
            want_data, want_flags = samples(start, stop)
            assert np.array_equal(data, want_data)
            assert np.array_equal(flags, want_flags)
            assert data.flags.c_contiguous


def test_a_window_is_a_view():
    ring = Ring(8, 2)
    ring.write(*samples(0, 12))
    data, flags = ring.window(5, 12)
    assert not data.flags.owndata
    assert not data.flags.writeable
    assert not flags.flags.writeable


def test_windows_that_are_gone_or_to_come_are_refused():
    ring = Ring(8, 2)
    ring.write(*samples(0, 12))
    with pytest.raises(LookupError, match="capacity"):
        ring.window(3, 6)
    with pytest.raises(LookupError, match="wait"):
        ring.window(10, 13)
    with pytest.raises(ValueError, match="ends after its start"):
        ring.window(6, 5)


def test_restart_hides_the_past():
    ring = Ring(8, 2)
    ring.write(*samples(0, 6))
    ring.restart(100)
    ring.write(*samples(100, 103))
    assert (ring.first, ring.next) == (100, 103)
    with pytest.raises(LookupError):
        ring.window(99, 102)
    assert np.array_equal(ring.window(100, 103)[0], samples(100, 103)[0])
    ring.reset()
    assert (ring.first, ring.next) == (0, 0)


def test_dtype_is_kept():
    ring = Ring(4, 1, np.float32)
    ring.write(np.ones((2, 1)), np.zeros(2, FLAGS))
    assert ring.window(0, 2)[0].dtype == np.float32


def test_no_allocation():
    ring = Ring(1000, 64)
    data, flags = np.zeros((32, 64)), np.zeros(32, FLAGS)

    def step():
        ring.write(data, flags)
        ring.window(ring.next - 20, ring.next)

    stays, peak = allocated(step, 500)
    assert stays < 512
    assert peak < 2048


@pytest.mark.parametrize("size", [(0, 1), (1, 0)])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ValueError, match="at least 1"):
        Ring(*size)


def test_columns_beyond_its_own_are_left_out():
    rng = np.random.default_rng(0)
    data, flags = rng.standard_normal((7, 5)), np.arange(7, dtype=FLAGS)
    for layout in (data, np.asfortranarray(data), data[::-1][::-1]):
        ring = Ring(4, 3)
        ring.write(layout[:2], flags[:2])
        ring.write(layout[2:], flags[2:])
        kept, kept_flags = ring.window(3, 7)
        np.testing.assert_array_equal(kept, data[3:, :3])
        np.testing.assert_array_equal(kept_flags, flags[3:])


@pytest.mark.parametrize(("shape", "n_flags"), [((2, 2), 2), ((2, 3), 1)])
def test_too_few_columns_or_flags_are_refused(shape, n_flags):
    with pytest.raises(ValueError, match="need 3 channels and a flag a sample"):
        Ring(4, 3).write(np.zeros(shape), np.zeros(n_flags, FLAGS))
