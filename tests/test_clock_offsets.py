"""Clocks of streams in a file: lines through measurements, and clocks that were set."""

from __future__ import annotations

import numpy as np
import pytest
import pyxdf

from rt_decoder.files.clock_offsets import clock_offsets
from rt_decoder.files.xdf_streams import load_streams

SFREQ = 100.0
TRUE = 1000 + np.arange(6000) / SFREQ  # s on the recorder's clock
AT = np.arange(1000.0, 1060, 5)  # when offsets were measured


def stepped(jumps, *, away=0.0, burst=1, drift=0.0, noise=1e-3, true=TRUE):
    """True times, stamps and measurements of a sender whose clock jumps at 20, 40, ... s."""
    true = true.copy()
    rng = np.random.default_rng(3)
    since, measured = np.zeros(len(true)), np.zeros(len(AT))
    for number, jump in enumerate(jumps):
        when = 1021.3 + 20 * number
        true[true >= when] += away
        since[true >= when] += jump
        measured[when <= AT] += jump
    stamps = true * (1 + drift) + since
    stamps = stamps[burst - 1 :: burst].repeat(burst)[: len(true)]
    at = AT * (1 + drift) + measured
    return true, stamps, np.column_stack((at, AT - at + rng.normal(0, noise, len(at))))


@pytest.mark.parametrize("jumps", [(4000.0,), (-900.0,), (0.5,), (-0.5,), (0.1,), (-20.0,),
                                   (-1000.0, 5.0), (4000.0, -4000.0)])  # fmt: skip
@pytest.mark.parametrize("kwargs", [{}, {"drift": 5e-5}, {"burst": 10}, {"away": 7.0}])
def test_each_clock_has_a_line_of_its_own(jumps, kwargs):
    if abs(jumps[0]) < 0.5 and kwargs.keys() & {"burst", "away"}:
        pytest.skip("the pause hides such a step")
    true, stamps, clock = stepped(jumps, **kwargs)
    late = 0.1 if "burst" in kwargs else 0.0
    left = stamps + clock_offsets(clock, stamps, SFREQ) - true
    assert left.min() > -5e-3
    assert left.max() < late + 5e-3


@pytest.mark.parametrize("jump", [4000.0, -4000.0, 3.0])
def test_markers_of_a_clock_that_was_set(jump):
    """Between two measurements nothing tells when it was set; before and after it is certain."""
    true, stamps, clock = stepped((jump,), true=np.array([1003.0, 1010, 1019.5, 1026, 1044]))
    np.testing.assert_allclose(stamps + clock_offsets(clock, stamps, 0.0), true, atol=5e-3)


def test_measurements_that_stray_are_no_step():
    _, stamps, clock = stepped(())
    straight = clock_offsets(clock, stamps, SFREQ)
    for strayed in ([4], [4, 8], [0], [11]):
        odd = clock.copy()
        odd[strayed, 1] += 0.3
        np.testing.assert_allclose(clock_offsets(odd, stamps, SFREQ), straight, atol=2e-3)


@pytest.mark.parametrize("burst", [1, 10])
@pytest.mark.parametrize("bias", [0.08, -0.2])
def test_a_network_that_is_busy_for_long_is_no_step(bias, burst):
    """The stamps do not jump, so the clock was not set."""
    true, stamps, clock = stepped((), burst=burst)
    clock[4:8, 1] += bias  # 20 s
    left = stamps + clock_offsets(clock, stamps, SFREQ) - true
    assert left.min() > -0.02
    assert left.max() < 0.02 + 0.01 * (burst - 1)
    marks = np.array([1003.0, 1030, 1050])
    np.testing.assert_allclose(marks + clock_offsets(clock, marks, 0.0), marks, atol=0.02)


def test_a_step_seen_by_the_last_measurement_alone():
    true, stamps, clock = stepped((50.0,))
    few = clock[:6]  # 1000 ... 1025: set at 1021.3
    near = stamps < stamps[2600]
    left = stamps + clock_offsets(few, stamps, SFREQ) - true
    assert np.abs(left[near]).max() < 5e-3


def test_few_measurements_few_samples():
    assert clock_offsets(np.zeros((0, 2)), TRUE, SFREQ) == 0.0
    one = clock_offsets(np.array([[1000.0, -3.0]]), TRUE, SFREQ)
    np.testing.assert_array_equal(one, np.full(6000, -3.0))
    _, _, clock = stepped((4000.0,))
    assert len(clock_offsets(clock, np.zeros(0), SFREQ)) == 0
    odd = TRUE[:50].copy()
    odd[7] = np.nan
    assert np.isfinite(np.delete(clock_offsets(clock, odd, SFREQ), 7)).all()


@pytest.mark.realdata
def test_a_real_restart_agrees_with_pyxdf(data_dir):
    path = data_dir / "xdf" / "xdf_example_files" / "clock_resets.xdf"
    synchronised, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False, verbose=False)
    times = {one["info"]["name"][0]: one["time_stamps"] for one in synchronised}
    for stream in load_streams(path):
        found = stream.stamps + clock_offsets(stream.clock, stream.stamps, stream.sfreq)
        np.testing.assert_allclose(found, times[stream.name], rtol=0, atol=5e-4)
