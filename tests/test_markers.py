"""Trigger channels: what counts as a marker, however the channel is cut."""

from itertools import pairwise

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.timing.marker_choice import MarkerChoice, parse_markers
from rt_decoder.timing.markers import TriggerReader, trigger_markers

codes = st.lists(st.sampled_from([0, 0, 0, 1, 2, 255, 256, 65281]), max_size=40)


@pytest.mark.parametrize("mask", [None, 0xFF])
@given(values=codes)
@settings(max_examples=60, deadline=None)
def test_same_events_as_mne(mask, values):
    raw = mne.io.RawArray(
        np.array([[0, *values]], float), mne.create_info(["STI"], 100.0, "stim"), verbose="error"
    )
    events = mne.find_events(
        raw, consecutive=True, mask=mask, mask_type="and", shortest_event=1, verbose="error"
    )
    found = trigger_markers(np.array([0.0, *values]), np.arange(1.0 + len(values)) / 100, mask=mask)
    assert [(m.index, int(m.label)) for m in found] == [(e[0], e[2]) for e in events.tolist()]
    assert [m.time for m in found] == [m.index / 100 for m in found]


@given(values=codes, cuts=st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_cuts_change_nothing(values, cuts):
    data, times = np.array(values, float), 5 + np.arange(len(values)) / 250
    whole = trigger_markers(data, times, names={"1": "word"})
    reader, found = TriggerReader(names={"1": "word"}), []
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    for start, stop in pairwise(edges):
        found += reader.process(data[start:stop], times[start:stop], start)
    assert found == whole


def test_a_code_that_is_already_there_is_no_marker():
    assert trigger_markers(np.array([3.0, 3.0, 0.0]), np.arange(3.0)) == []


def test_nan_holds_the_code_and_large_codes_are_exact():
    big = 2**40 + 1
    found = trigger_markers(np.array([0, big, np.nan, big, np.inf, 7]), np.arange(6.0))
    assert [(m.label, m.index) for m in found] == [(str(big), 1), ("7", 5)]


def test_names_are_of_the_masked_code():
    found = trigger_markers(
        np.array([0.0, 0x301, 0x300, 0x302]), np.arange(4.0), mask=0xFF, names={"1": "face"}
    )
    assert [m.label for m in found] == ["face", "2"]


def test_reset_forgets_the_code():
    reader = TriggerReader()
    reader.process(np.array([0.0]), np.zeros(1), 0)
    reader.reset()
    assert reader.process(np.array([4.0]), np.zeros(1), 0) == []


@pytest.mark.parametrize(
    ("text", "stream", "trigger"),
    [
        ("words", "words", ""), ("channel:STI 014", "", "STI 014"), ("channel:a:b", "", "a:b"),
        ("Channel:x", "Channel:x", ""), ("", "", ""), (None, "", ""),
    ],
)  # fmt: skip
def test_a_choice_is_a_stream_or_a_channel(text, stream, trigger):
    chosen = parse_markers(text)
    assert chosen == MarkerChoice(stream, trigger)
    assert bool(chosen) == bool(text)
    assert parse_markers(chosen) is chosen


def test_a_channel_has_a_name():
    with pytest.raises(ValueError, match="channel:NAME"):
        parse_markers("channel:")
