"""Latencies on streams whose stamps run ahead, or are of another clock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rt_decoder.decoder import Decoder
from rt_decoder.live.stamp_clock import StampClock
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.signal import Readout
from rt_decoder.sinks.log import readout_line
from tests.small import random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=8.0)
MODEL = random_model(RECORDING, small_recipe())
SFREQ, PULL = RECORDING.info.sfreq, 25


class Live:
    """A decoder that is fed as a session feeds it, in 1 ms, 12 ms after the newest sample."""

    def __init__(self) -> None:
        self.now = 0.0
        options = PipelineOptions(continuous=True)
        self.decoder = Decoder(MODEL, RECORDING.info, options, clock=lambda: self.now)
        self.check, self.events = StampClock(), []

    def run(self, stamps: np.ndarray) -> list[Readout]:
        readouts: list[Readout] = []
        for start in range(0, len(stamps), PULL):
            part = slice(start, start + PULL)
            self.now = 500 + (start + PULL - 1) / SFREQ + 0.013
            made = self.decoder.push(RECORDING.data[part], stamps[part], self.now - 0.001)
            readouts += map(self.decoder.pipeline.lateness.left, made)
            self.events += self.check.look(self.decoder.pipeline)
        return readouts


TRUE = 500 + np.arange(len(RECORDING.data)) / SFREQ


def test_stamps_of_this_machine_say_nothing():
    live = Live()
    readouts = live.run(TRUE)
    assert not live.events
    # a readout of an earlier hop of the same pull is older
    assert {round(one.latency_ms) % 4 for one in readouts} == {1}
    assert round(min(one.latency_ms for one in readouts)) == 13
    assert live.decoder.pipeline.lateness.n_early == 0


@pytest.mark.parametrize("offset", [1.7e9, 3600.0, -3600.0, 2.0, -1.7e9])
def test_stamps_of_another_clock_are_said_once_and_latency_counts_from_arrival(offset):
    usual, live = Live(), Live()
    expected, readouts = usual.run(TRUE), live.run(TRUE + offset)
    ((event, details),) = live.events
    assert (event, details["ahead_s"]) == (
        "stamps_of_another_clock",
        pytest.approx(offset, abs=0.02),
    )
    assert timeless(readouts) == timeless(expected)
    # as if the newest sample of each pull had just been taken
    assert [one.latency_ms for one in readouts[10:]] == pytest.approx(
        [one.latency_ms - 12 for one in expected[10:]], abs=0.1
    )
    assert [one.late for one in readouts[10:]] == [
        one.latency_ms > MODEL.recipe.readout.budget_ms for one in readouts[10:]
    ]
    assert live.decoder.pipeline.lateness.latencies.n == len(readouts)


@pytest.mark.parametrize("ahead", [0.02, 0.5])
def test_stamps_that_run_ahead_are_said_once_and_kept_out_of_the_percentiles(ahead):
    live = Live()
    readouts = live.run(TRUE + ahead)
    ((event, details),) = live.events
    early = [one for one in readouts if one.latency_ms < 0]
    assert event == "stamps_ahead"
    assert 0 < details["ahead_ms"] <= 1e3 * ahead
    assert early
    assert not any(one.late for one in early)
    pipeline = live.decoder.pipeline
    assert (pipeline.lateness.n_early, pipeline.lateness.latencies.n) == (
        len(early),
        len(readouts) - len(early),
    )


def test_a_clock_that_is_set_to_unix_time_meanwhile():
    live = Live()
    readouts = live.run(np.where(np.arange(len(TRUE)) < 1000, TRUE, TRUE + 1.7e9))
    assert [event for event, _ in live.events] == ["stamps_of_another_clock"]
    unknown = [one for one in readouts if math.isnan(one.latency_ms)]  # between the clocks
    assert 0 < len(unknown) < 8
    assert all(one.late is None for one in unknown)
    assert all(0 < one.latency_ms < 600 for one in readouts if one not in unknown)


def test_latency_without_a_stamp_is_not_known():
    live = Live()
    readouts = live.run(np.full(1250, math.nan))
    assert not live.events
    assert {(math.isnan(one.latency_ms), one.late) for one in readouts} == {(True, None)}
    line = readout_line(readouts[-1])
    assert (line["latency_ms"], line["late"], line["onset"]) == (None, None, None)
