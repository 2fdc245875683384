"""How a recording is sent, and what of it when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pylsl

from rt_decoder.files.recording import Recording
from rt_decoder.files.stamps import are_odd
from rt_decoder.replay.faults import Fault
from rt_decoder.signal import Marker

__all__ = ["Plan", "ReplayOptions", "plan_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How a recording is sent.

    Parameters
    ----------
    speed : float
        How many times faster than recorded. Stamps keep the recorded spacing whatever the speed,
        so that they agree with the declared rate; above 1 they run ahead of the clock. A consumer
        that cannot follow loses samples once it is 360 s of signal behind, LSL's buffer.
    chunk : int or None
        Samples a push, sent when the last of them is due; by default each sample is sent when it
        is due, with those that are due as well.
    wait : float
        How long to wait for consumers, in s, before the first sample, until the data and, if there
        are any, the markers are read; after that the data alone will do. LSL gives a consumer only
        what is sent after it has connected. 0 starts at once, as an amplifier does.
    begin : callable
        Asked then for the LSL time of the first sample; replays of several streams agree on one.
    linger : float
        How long, in s, consumers may still read after the last sample before the streams close.
        A consumer that is behind by more than that loses the end: of a stream that has closed, LSL
        gives nothing more.
    faults : sequence of Fault
        What is to go wrong, from `parse_faults`. The data then come from other processes, and
        a marker comes at its own time, whether its sample does or not.
    seed : int
        Of the faults.

    Raises
    ------
    ValueError
        If `speed` or `chunk` is not above 0.
    """

    speed: float = 1.0
    chunk: int | None = None
    wait: float = 30.0
    begin: Callable[[], float] = pylsl.local_clock
    linger: float = 2.0
    faults: Sequence[Fault] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.speed < np.inf:
            raise ValueError(f"need a speed above 0, got {self.speed}")
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"need at least 1 sample a push, got {self.chunk}")


class Plan(NamedTuple):
    """What is sent when, and the markers beside it."""

    data: np.ndarray  # (n, c)
    since: np.ndarray  # (n,) s since the first sample, on the clock of the markers
    due: np.ndarray  # (n,) the same, but never back in time
    at: np.ndarray  # (m,) time of each marker in s since the first sample, in order of `rows`
    rows: np.ndarray  # (m,) row after which it is sent, the newest that is due
    labels: list[str]


def plan_of(recording: Recording, markers: Sequence[Marker]) -> tuple[Plan, int]:
    """Decide what to send.

    Parameters
    ----------
    recording : Recording
        What to send.
    markers : sequence of Marker
        By their ``time``, on the clock of `Recording.times`.

    Returns
    -------
    plan : Plan
    n_outside : int
        Markers more than a sampling interval before the first sample or after the last.

    Raises
    ------
    ValueError
        If the recording is empty.
    """
    n_samples = len(recording.stamps)
    if n_samples == 0:
        raise ValueError("need a recording with samples, got an empty one")
    times, step = recording.times, 1 / recording.info.sfreq
    sane = _without_odd(times, step)
    since = times - sane[0]  # an odd stamp is sent as it is, in its turn
    due = np.maximum.accumulate(sane - sane[0])
    placed = [(marker.time - sane[0], marker.label) for marker in markers]
    placed.sort(key=lambda one: one[0])
    inside = [one for one in placed if -step <= one[0] <= due[-1] + step]
    at = np.array([time for time, _ in inside])
    plan = Plan(
        np.ascontiguousarray(recording.data, np.float64),
        since,
        due,
        at,
        np.maximum(np.searchsorted(due, at, side="right") - 1, 0),
        [label for _, label in inside],
    )
    n_outside = len(placed) - len(inside)
    return plan, n_outside


def _without_odd(times: np.ndarray, step: float) -> np.ndarray:
    """Put odd stamps in line with the others, `step` s apart."""
    odd = are_odd(times)
    if not odd.any() or odd.all():
        return times
    rows = np.arange(len(times))
    late = np.interp(rows, rows[~odd], times[~odd] - step * rows[~odd])
    return np.where(odd, late + step * rows, times)
