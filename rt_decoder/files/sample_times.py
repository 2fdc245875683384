"""When each sample of a recording was taken, as the decoder's time base sees it.

Raw stamps tell when a sample was sent: of 25 samples that were sent together, 24 carry a stamp that
is late. Whatever finds the sample at a time asks here, as a marker live asks the time base.
"""

from __future__ import annotations

import numpy as np

from rt_decoder.files.recording import Recording
from rt_decoder.files.stamps import are_counted
from rt_decoder.signal import Marker
from rt_decoder.timing.markers import trigger_markers
from rt_decoder.timing.timebase import Decision, RateMismatch, TimeBase, TimedSamples

__all__ = ["channel_markers", "sample_times"]


def sample_times(recording: Recording) -> np.ndarray:
    """Tell when each sample was taken.

    Decisions of the time base count from the sample that they are about, not from when they were
    made: this is hindsight, which a live stream lacks for half a second.

    Parameters
    ----------
    recording : Recording
        Of any kind.

    Returns
    -------
    array of shape (n_samples,), float64
        In s, on the clock of `Recording.times`; those times themselves if they are counted, or at
        another rate than declared.
    """
    times, arrivals, sfreq = recording.times, recording.arrivals, recording.info.sfreq
    if are_counted(times, sfreq):
        return times
    taken = np.empty(len(times))
    for low, high in recording.stretches:
        came = None if arrivals is None else arrivals[low:high]
        try:
            timed = TimeBase(sfreq, 0.0).update(times[low:high], came)
        except RateMismatch:  # the decoder will say so
            return times
        taken[low:high] = _in_hindsight(timed, sfreq)
    return taken


def _in_hindsight(timed: TimedSamples, sfreq: float) -> np.ndarray:
    """Move the samples between what happened and its decision to where they belong."""
    times, gaps = timed.times.copy(), list[Decision]()
    for decision in timed.decisions:
        if decision.kind == "gap":
            gaps.append(decision)
            continue
        times[decision.change : decision.sample] += decision.shift
        if decision.kind == "revoked":  # samples were only late, not lost
            gaps.pop()
    for gap in gaps:
        times[gap.change : gap.sample] += gap.n_lost / sfreq
    return times


def channel_markers(recording: Recording, channel: str) -> tuple[Marker, ...]:
    """Read markers from a trigger channel.

    Parameters
    ----------
    recording : Recording
        With the channel.
    channel : str
        Its name.

    Returns
    -------
    tuple of Marker
        Each at the time its sample was taken.

    Raises
    ------
    ValueError
        If there is no such channel.
    """
    if channel not in recording.info.ch_names:
        raise ValueError(
            f"{recording.name}: need a channel {channel} for the markers, "
            f"got {', '.join(recording.info.ch_names)}"
        )
    column = recording.info.ch_names.index(channel)
    return tuple(trigger_markers(recording.data[:, column], sample_times(recording)))
