"""Send any recording as a live LSL stream, with its markers on a second stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pylsl

from rt_decoder.files.recording import Recording
from rt_decoder.replay.faults import Fault
from rt_decoder.replay.faulty_replay import FaultySender
from rt_decoder.signal import Marker
from rt_decoder.sinks.outlets import data_outlet, marker_outlet

__all__ = ["Replayed", "replay"]

_POLL_S = 0.05  # longest time until a request to stop is noticed


class Replayed(NamedTuple):
    """What was sent."""

    n_samples: int
    n_markers: int
    n_outside: int  # markers before the first sample or after the last; these are not sent
    start: float  # s on the LSL clock, stamp of the first sample
    faults: tuple[dict[str, Any], ...] = ()  # injected faults; see `FaultySender.injected`


def replay(
    recording: Recording,
    markers: Sequence[Marker] | None = None,
    *,
    name: str,
    source_id: str,
    speed: float = 1.0,
    chunk: int | None = None,
    wait_for_consumers: float = 30.0,
    begin: Callable[[], float] = pylsl.local_clock,
    linger: float = 2.0,
    faults: Sequence[Fault] = (),
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Send a recording as the stream `name`, and its markers as ``<name>-markers``.

    Stamps start at the LSL time of the first sample and keep their recorded spacing, with jitter
    and gaps. Values are sent as float64, bit for bit. A marker follows its nearest sample and has
    the same stamp.

    Parameters
    ----------
    recording : Recording
        What to send; channels and units as it declares them.
    markers : sequence of Marker or None
        In place of the recording's own; ``index`` -1 means the sample nearest to ``time``. The
        marker stream exists even if there are none.
    name, source_id : str
        Of the data stream; ``-markers`` is appended for the markers.
    speed : float
        How many times faster than recorded. Stamps keep the recorded spacing whatever the speed,
        so that they agree with the declared rate; above 1 they run ahead of the clock. A consumer
        that cannot follow loses samples once it is 360 s of signal behind, LSL's buffer.
    chunk : int or None
        Samples a push, sent when the last of them is due; by default each sample is sent when it
        is due, with those that are due as well.
    wait_for_consumers : float
        How long to wait, in s, before the first sample, until the data and, if there are any, the
        markers are read; after that the data alone will do. LSL gives a consumer only what is
        sent after it has connected. 0 starts at once, as an amplifier does.
    begin : callable
        Asked then for the LSL time of the first sample; replays of several streams agree on one.
    linger : float
        How long, in s, consumers may still read after the last sample before the streams close.
    faults : sequence of Fault
        What is to go wrong, from `parse_faults`. The data then come from other processes, and
        a marker comes at its own time, whether its sample does or not.
    seed : int
        Of the faults.
    should_stop : callable
        Asked at least twenty times a second.
    progress : callable
        Called after each push with the number of samples sent so far.

    Returns
    -------
    Replayed
        What was sent.

    Raises
    ------
    TimeoutError
        If nobody reads the data stream within `wait_for_consumers`.
    ValueError
        If `speed` or `chunk` is not above 0, the recording is empty, or a fault does not fit it.
    """
    if not 0 < speed < np.inf:
        raise ValueError(f"need a speed above 0, got {speed}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"need at least 1 sample a push, got {chunk}")
    plan, n_outside = _plan(recording, recording.markers if markers is None else markers)
    marks = marker_outlet(f"{name}-markers", f"{source_id}-markers")
    if faults:
        with FaultySender(
            name, source_id, recording.info, plan.data, plan.since, markers=marks, rows=plan.rows,
            labels=plan.labels, faults=faults, chunk=chunk, seed=seed,
        ) as sender:  # fmt: skip
            _wait_for_consumers(name, _wanted(sender, marks, plan), wait_for_consumers, should_stop)
            start = begin()
            sender.run(start, speed, should_stop, progress)
            _linger(sender, linger, should_stop)
            return Replayed(
                sender.n_samples, sender.n_markers, n_outside, start, tuple(sender.injected())
            )
    outlets = (data_outlet(name, recording.info, source_id), marks)
    _wait_for_consumers(name, _wanted(*outlets, plan), wait_for_consumers, should_stop)
    start, n_samples, n_markers = begin(), 0, 0
    for first, stop in _due(plan.due, chunk, start, speed, should_stop):
        n_markers += _push(outlets, plan, first, stop, start)
        n_samples += stop - first
        if progress is not None:
            progress(n_samples)
    _linger(outlets[0], linger, should_stop)
    return Replayed(n_samples, n_markers, n_outside, start)


class _Plan(NamedTuple):
    data: np.ndarray  # (n, c)
    since: np.ndarray  # (n,) s since the first sample
    due: np.ndarray  # (n,) the same, but never back in time
    rows: np.ndarray  # (m,) row of each marker's sample, in order
    labels: list[str]


def _plan(recording: Recording, markers: Sequence[Marker]) -> tuple[_Plan, int]:
    """Decide what to send, and how many markers there is no sample for."""
    n_samples = len(recording.stamps)
    if n_samples == 0:
        raise ValueError("need a recording with samples, got an empty one")
    times, step = recording.times, 1 / recording.info.sfreq
    placed = []
    n_outside = 0
    for marker in markers:
        row = marker.index
        if row < 0 and times[0] - step <= marker.time <= times[-1] + step:
            row = int(np.argmin(np.abs(times - marker.time)))
        if 0 <= row < n_samples:
            placed.append((row, marker.label))
        else:
            n_outside += 1
    placed.sort(key=lambda item: item[0])
    since = recording.stamps - recording.stamps[0]
    plan = _Plan(
        np.ascontiguousarray(recording.data, np.float64),
        since,
        np.maximum.accumulate(since),
        np.array([row for row, _ in placed], np.int64),
        [label for _, label in placed],
    )
    return plan, n_outside


class _Read(Protocol):
    """An outlet, or a `FaultySender` in its place."""

    def have_consumers(self) -> bool: ...


def _wanted(data: _Read, marks: _Read, plan: _Plan) -> list[_Read]:
    return [data, marks] if len(plan.rows) else [data]


def _linger(data: _Read, seconds: float, should_stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not should_stop() and data.have_consumers():
        time.sleep(_POLL_S)


def _wait_for_consumers(
    name: str, wanted: Sequence[_Read], seconds: float, should_stop: Callable[[], bool]
) -> None:
    """Wait until all outlets are read; after `seconds`, until at least the first (data) is."""
    end = time.monotonic() + seconds
    while not (should_stop() or all(outlet.have_consumers() for outlet in wanted)):
        if time.monotonic() >= end:
            if seconds == 0 or wanted[0].have_consumers():
                return
            raise TimeoutError(f"need a consumer of stream {name!r}, got none in {seconds:g} s")
        time.sleep(0.001)


def _due(
    due: np.ndarray,
    chunk: int | None,
    start: float,
    speed: float,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, int]]:
    """Yield (first, stop) of the rows to push, when they are due.

    Deadlines are absolute, so that errors do not add up.
    """
    first, n_samples = 0, len(due)
    while first < n_samples and not should_stop():
        last = min(first + (chunk or 1), n_samples) - 1  # nothing is pushed before this row is due
        wait = start + due[last] / speed - pylsl.local_clock()
        if wait > 0:
            time.sleep(min(wait, _POLL_S))
            continue
        stop = last + 1
        if chunk is None:
            now = (pylsl.local_clock() - start) * speed
            stop = max(stop, int(np.searchsorted(due, now, side="right")))
        yield first, stop
        first = stop


def _push(
    outlets: tuple[pylsl.StreamOutlet, pylsl.StreamOutlet],
    plan: _Plan,
    first: int,
    stop: int,
    start: float,
) -> int:
    """Send rows `first` to `stop` - 1, each marker right after its sample; count the markers."""
    outlet, marks = outlets
    stamps = (plan.since[first:stop] + start).tolist()
    low, high = np.searchsorted(plan.rows, (first, stop))
    done = first
    for row, label in zip(plan.rows[low:high].tolist(), plan.labels[low:high], strict=True):
        if row >= done:
            outlet.push_chunk(plan.data[done : row + 1], stamps[done - first : row + 1 - first])
            done = row + 1
        marks.push_sample([label], stamps[row - first])
    if done < stop:
        outlet.push_chunk(plan.data[done:stop], stamps[done - first :])
    return int(high - low)
