"""From a source's samples and markers to the contract's channels and indices."""

from __future__ import annotations

import numpy as np
import pytest

from rt_decoder.signal import Marker, ModelMismatch, SignalInfo
from rt_decoder.timing.align import Align, rate_factor
from rt_decoder.timing.markers import MarkerRules

HAVE = SignalInfo(
    100.0, ("TRIG", "Pz", "Cz", "Fz"), ("stim", "eeg", "eeg", "eeg"), ("n/a", "mV", "V", "uV")
)
WANT = SignalInfo(100.0, ("Fz", "Pz"), ("eeg", "eeg"), ("V", "V"))
STAMPS = 70.0 + np.arange(400) / 100


def align(rules: MarkerRules = MarkerRules(), history: float = 3.0) -> Align:  # noqa: B008
    return Align(HAVE, WANT, rules, history=history)


def samples(n: int = 400) -> np.ndarray:
    data = np.random.default_rng(0).standard_normal((n, 4))
    data[:, 0] = 0
    return data


@pytest.mark.parametrize(
    ("have", "factor"), [(250, 1), (500, 2), (1000, 4), (249, 1), (252, 1), (2048, 8), (2000, 8)]
)
def test_integer_multiples_are_decimated(have: float, factor: int) -> None:
    assert rate_factor(have, 256.0 if have == 2048 else 250.0) == factor


@pytest.mark.parametrize("have", [125.0, 200.0, 256.0, 333.0, 375.0, 1024.0])
def test_other_rates_are_refused(have: float) -> None:
    with pytest.raises(ModelMismatch, match=f"need a sampling rate of 250 Hz .*got {have:g} Hz"):
        rate_factor(have, 250.0)


def test_channels_by_name_in_si_units() -> None:
    data = samples()
    (chunk,) = align().process(data, STAMPS)
    np.testing.assert_allclose(chunk.data, np.column_stack((data[:, 3] * 1e-6, data[:, 1] * 1e-3)))
    np.testing.assert_allclose(chunk.times, STAMPS, atol=1e-9)
    assert chunk.index == 0
    assert not chunk.flags[200:].any()  # the first stamps are held until the clock is known
    assert not chunk.channel_flags.any()


def test_every_missing_channel_is_named() -> None:
    want = SignalInfo(100.0, ("Fz", "C3", "Oz"), ("eeg",) * 3, ("V",) * 3)
    with pytest.raises(ModelMismatch, match="need channels C3, Oz, got TRIG"):
        Align(HAVE, want, MarkerRules(), history=1.0)
    with pytest.raises(ModelMismatch, match="need a trigger channel STI, got TRIG"):
        align(MarkerRules(trigger="STI"))


@pytest.mark.parametrize("size", [1, 7, 400])
def test_markers_wait_for_their_sample(size: int) -> None:
    """However the samples came, and whether the marker came before or after them."""
    one = align(MarkerRules(names={"1": "axe"}, offset=0.02))
    one.mark(Marker("1", STAMPS[100] + 0.002))
    one.mark(Marker("x", STAMPS[50] + 0.004))
    found, data = [], samples()
    for start in range(0, 400, size):
        one.process(data[start : start + size], STAMPS[start : start + size])
        if start == 0:
            assert len(one.waiting) == 2
        known, lost = one.markers()
        found += known
        assert lost == []
    assert [(m.label, m.index) for m in found] == [("x", 52), ("axe", 102)]
    assert found[0].time == STAMPS[50] + 0.004 + 0.02
    one.mark(Marker("late", STAMPS[300]))
    assert [m.index for m in one.markers()[0]] == [302]
    assert one.waiting == ()


def test_markers_off_the_time_line_are_lost_with_a_reason() -> None:
    one = align(history=1.0)
    one.process(samples(), STAMPS)
    for label, time in (("early", STAMPS[50]), ("old", STAMPS[100]), ("ahead", 75.0)):
        one.mark(Marker(label, time))
    known, lost = one.markers()
    assert known == []
    assert [(marker.label, why.split(" s ")[1]) for marker, why in lost] == [
        ("early", "too long ago"), ("old", "too long ago")
    ]  # fmt: skip
    assert [marker.label for marker in one.waiting] == ["ahead"]


@pytest.mark.parametrize("size", [1, 3, 64, 400])
def test_triggers_of_a_channel(size: int) -> None:
    data = samples()
    for row, code in ((40, 0x101), (41, 0x101), (60, 0x100), (80, 0x102)):
        data[row, 0] = code
    one = align(MarkerRules("TRIG", {"1": "axe"}, mask=0xFF, offset=0.03))
    found = []
    for start in range(0, 400, size):
        one.process(data[start : start + size], STAMPS[start : start + size])
        found += one.markers()[0]
    assert [(m.label, m.index) for m in found] == [("axe", 43), ("2", 83)]


def test_reset_begins_a_new_time_line() -> None:
    one, fresh = align(MarkerRules("TRIG")), align(MarkerRules("TRIG"))
    data = samples()
    data[:, 0] = 5
    one.mark(Marker("waits", 99.0))
    one.process(data, STAMPS)
    one.reset()
    assert one.waiting == ()
    data[200:, 0] = 6
    for aligned in (one, fresh):
        (chunk,) = aligned.process(data, STAMPS + 50)
        assert chunk.index == 0
        assert [(m.label, m.index) for m in aligned.markers()[0]] == [("6", 200)]


def test_a_chunk_of_any_length_and_the_input_untouched() -> None:
    one, data = align(), samples()
    data.flags.writeable = False
    whole = align().process(data, STAMPS)[0].data.copy()
    parts = [
        chunk.data.copy()
        for a, b in ((0, 0), (0, 3), (3, 390), (390, 400))
        for chunk in one.process(data[a:b], STAMPS[a:b])
    ]
    assert np.vstack(parts).tobytes() == whole.tobytes()
