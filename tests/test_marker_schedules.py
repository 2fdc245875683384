"""Markers in step with data: none lost, none doubled, none late uncounted, whatever the schedule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from rt_decoder.decoder import Decoder
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.timing.markers import MarkerRules
from rt_decoder.timing.waiting import AHEAD

SFREQ, N_HOP, WAIT = 100.0, 10, 0.5
INFO = SignalInfo(SFREQ, ("Cz", "Pz"), ("eeg", "eeg"), ("V", "V"))
RECIPE = Recipe.from_dict(
    {
        "stream": {"hop_ms": 100.0, "line_freq": 0.0},
        "features": {"tmin": 0.0, "tmax": 0.3, "decim": 5},
        "clean": {"stages": []},
    }
)
LAST = 30  # samples after the onset until the window is full


class Schedule(NamedTuple):
    """What is sent and when it comes."""

    stamps: np.ndarray  # (n,)
    ends: list[int]  # where chunks end
    times: np.ndarray  # (m,) of markers
    came: np.ndarray  # (m,) before which chunk each arrives


def draw(rng: np.random.Generator) -> Schedule:
    """Draw a schedule: markers before, with and after their samples, in bursts, outside, doubled."""
    n = int(rng.integers(60, 400))
    start = rng.uniform(0, 1e5)
    jitter = rng.choice([0.0, 1e-4, 2e-3])
    stamps = start + np.arange(n) / SFREQ + rng.normal(0, jitter, n)
    ends = sorted({n, *rng.integers(1, n, int(rng.integers(0, 40))).tolist()})
    m = int(rng.integers(1, 30))
    at = rng.uniform(-40, n + 20, m)  # in samples, some outside
    at[rng.random(m) < 0.3] = np.rint(at[0])  # on one sample, to the bit
    late = rng.choice([-80.0, -5.0, 0.0, 5.0, LAST, LAST + 40.0, LAST + 200.0], m)
    if rng.random() < 0.3:
        late[:] = late[0]  # a burst
    came = np.clip(np.searchsorted(ends, at + late, side="right"), 0, len(ends))
    return Schedule(stamps, ends, start + at / SFREQ, came)


def play(decoder: Decoder, schedule: Schedule) -> tuple[dict[str, int], dict[str, str], list[str]]:
    """Give index by label of windows read, reason by label of the lost, and labels in order."""
    decoder.restart()
    decoder.take_markers()
    read: list[tuple[str, int]] = []
    lost: list[tuple[str, str]] = []
    start = 0
    n = len(schedule.stamps)
    data = np.zeros((n, 2))
    for number, stop in enumerate([*schedule.ends, n]):
        for k in np.flatnonzero(schedule.came == number):
            decoder.mark(Marker(str(k), float(schedule.times[k])))
        for kind, marker, features in decoder.push_features(
            data[start:stop], schedule.stamps[start:stop], 0.0
        ):
            assert kind == "event"
            assert features.good >= 0.0
            read.append((marker.label, marker.index))
        lost += [(marker.label, why) for marker, why in decoder.take_markers()[1]]
        start = stop
    labels = [label for label, _ in read + lost]
    assert len(labels) == len(set(labels)), "a marker was doubled"
    return dict(read), dict(lost), labels


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    model = Model(INFO, RECIPE, np.zeros((0, 6)), np.ones(2))
    assert model.n_hop == N_HOP
    return Decoder(model, INFO, PipelineOptions(MarkerRules(wait=WAIT)))


def check(decoder: Decoder, seed: int) -> int:
    """Play one schedule and account for every marker; how many windows were read."""
    schedule = draw(np.random.default_rng(seed))
    read, lost, labels = play(decoder, schedule)
    waiting = {marker.label for marker in decoder.align.waiting}
    waiting |= {marker.label for marker in decoder.pipeline._pending}
    n = len(schedule.stamps)
    assert sorted(labels + list(waiting), key=int) == [str(k) for k in range(len(schedule.times))]
    true = schedule.stamps[0] + np.arange(n) / SFREQ
    n_received = np.concatenate(([0], schedule.ends, [n]))[schedule.came]
    for k, time in enumerate(schedule.times):
        label = str(k)
        place = (time - true[0]) * SFREQ
        if label in read:
            # the first stamp, which `place` counts from, has a jitter of its own
            assert abs(read[label] - place) <= 2.0, "the wrong sample"
        # in time: whole window in the stream, and not later than its window by more than the wait
        complete = place >= 0.6 and place + LAST + N_HOP + 1 <= n
        in_time = n_received[k] <= place + LAST + WAIT * SFREQ - N_HOP
        in_time &= place - n_received[k] <= (WAIT + AHEAD) * SFREQ - 2  # nor long before its sample
        last_hop = n - n % N_HOP  # after it nothing is read out any more
        if complete and in_time and n_received[k] < last_hop:
            assert label in read, (seed, k, lost.get(label), label in waiting)
        if label in waiting:
            assert place + LAST > n - N_HOP or n_received[k] >= last_hop, "forgotten"
    return len(read)


@pytest.mark.parametrize("block", range(5))
def test_random_schedules(decoder: Decoder, block: int) -> None:
    assert sum(check(decoder, seed) for seed in range(100 * block, 100 * (block + 1))) > 300


@pytest.mark.slow
def test_ten_thousand_random_schedules(decoder: Decoder) -> None:
    assert sum(check(decoder, seed) for seed in range(10_000)) > 30_000
