"""Send any recording as a live LSL stream, with its markers on a second stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pylsl

from rt_decoder.files.recording import Recording
from rt_decoder.replay.faulty_replay import FaultySender
from rt_decoder.replay.plan import Plan, ReplayOptions, plan_of
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
    options: ReplayOptions = ReplayOptions(),  # noqa: B008  (immutable)
    *,
    name: str,
    source_id: str,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Send a recording as the stream `name`, and its markers as ``<name>-markers``.

    Stamps start at the LSL time of the first sample and keep their recorded spacing, with jitter
    and gaps, on the clock of the recording machine. Values are sent as float64, bit for bit. A
    marker is sent at its own time with its own stamp, as it was recorded.

    Parameters
    ----------
    recording : Recording
        What to send; channels and units as it declares them.
    markers : sequence of Marker or None
        In place of the recording's own. The marker stream exists even if there are none.
    options : ReplayOptions
        How fast, in which pieces, with which faults.
    name, source_id : str
        Of the data stream; ``-markers`` is appended for the markers.
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
        If nobody reads the data stream within `options.wait`.
    ValueError
        If the recording is empty, or a fault does not fit it.
    """
    plan, n_outside = plan_of(recording, recording.markers if markers is None else markers)
    marks = marker_outlet(f"{name}-markers", f"{source_id}-markers")
    if options.faults:
        with FaultySender(name, source_id, recording.info, plan, marks, options) as sender:
            _wait_for_consumers(name, _wanted(sender, marks, plan), options.wait, should_stop)
            start = options.begin()
            sender.run(start, options.speed, should_stop, progress)
            _linger(sender, options.linger, should_stop)
            return Replayed(
                sender.n_samples, sender.n_markers, n_outside, start, tuple(sender.injected())
            )
    outlets = (data_outlet(name, recording.info, source_id), marks)
    _wait_for_consumers(name, _wanted(*outlets, plan), options.wait, should_stop)
    start, n_samples, n_markers = options.begin(), 0, 0
    for first, stop in _due(plan.due, options.chunk, start, options.speed, should_stop):
        n_markers += _push(outlets, plan, first, stop, start)
        n_samples += stop - first
        if progress is not None:
            progress(n_samples)
    _linger(outlets[0], options.linger, should_stop)
    return Replayed(n_samples, n_markers, n_outside, start)


class _Read(Protocol):
    """An outlet, or a `FaultySender` in its place."""

    def have_consumers(self) -> bool: ...


def _wanted(data: _Read, marks: _Read, plan: Plan) -> list[_Read]:
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
    plan: Plan,
    first: int,
    stop: int,
    start: float,
) -> int:
    """Send rows `first` to `stop` - 1, each marker right after the newest before it; count them."""
    outlet, marks = outlets
    stamps = (plan.since[first:stop] + start).tolist()
    low, high = np.searchsorted(plan.rows, (first, stop))
    done = first
    marked = zip(
        plan.rows[low:high].tolist(), plan.at[low:high], plan.labels[low:high], strict=True
    )
    for row, at, label in marked:
        if row >= done:
            outlet.push_chunk(plan.data[done : row + 1], stamps[done - first : row + 1 - first])
            done = row + 1
        marks.push_sample([label], float(at + start))
    if done < stop:
        outlet.push_chunk(plan.data[done:stop], stamps[done - first :])
    return int(high - low)
