"""Send a recording whose participant responds to the words of a marker stream, as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pylsl

from rt_decoder.files.recording import Recording
from rt_decoder.sinks.outlets import data_outlet

__all__ = ["Heard", "send_hearing"]

_PERIOD_S = 0.01  # between two pushes
_SEARCH_S = 0.1  # between two searches for the marker stream


class Heard(NamedTuple):
    """What was sent."""

    n_samples: int
    n_heard: int  # words that were responded to
    n_unknown: int  # markers that are no words


def send_hearing(
    recording: Recording,
    evoked: Mapping[str, np.ndarray],
    name: str,
    markers: str,
    should_stop: Callable[[], bool],
    progress: Callable[[int], object] = lambda _: None,
) -> Heard:
    """Send a recording at its own speed, until its end.

    Parameters
    ----------
    recording : Recording
        What the participant's channels show while nothing is heard.
    evoked : mapping of str to array of shape (n, n_channels)
        What is added from the time of a marker with this text on; what was sent before the marker
        came, some 10 ms, lacks it.
    name : str
        Of the stream.
    markers : str
        Name of the marker stream; it may come later, and anew with the same source_id.
    should_stop : callable
        Takes nothing; returns True to end.
    progress : callable
        Takes the number of samples sent.

    Returns
    -------
    Heard
    """
    data, sfreq = np.array(recording.data, np.float64), recording.info.sfreq
    outlet = data_outlet(name, recording.info, f"{name}-{pylsl.local_clock():.6f}")
    ears = _Ears(markers)
    start, n_sent, n_heard, n_unknown = pylsl.local_clock(), 0, 0, 0
    while n_sent < len(data) and not should_stop():
        for text, at in ears.take():
            response = evoked.get(text)
            n_unknown += response is None
            if response is not None:
                n_heard += 1
                first = round((at - start) * sfreq)
                late = max(0, n_sent - first)
                response = response[late:][: max(0, len(data) - first - late)]
                data[first + late : first + late + len(response)] += response
        due = min(len(data), int((pylsl.local_clock() - start) * sfreq))
        if due > n_sent:
            rows = np.arange(n_sent, due)
            outlet.push_chunk(data[n_sent:due], (start + rows / sfreq).tolist())
            n_sent = due
            progress(n_sent)
        time.sleep(_PERIOD_S)
    return Heard(n_sent, n_heard, n_unknown)


class _Ears:
    """A marker stream, which is found once it is there; its stamps are on this machine's clock."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inlet: pylsl.StreamInlet | None = None
        self._resolver = pylsl.ContinuousResolver("name", name)
        self._look_at = 0.0

    def take(self) -> list[tuple[str, float]]:
        """Return texts and times in s of what has come."""
        now = pylsl.local_clock()
        if self._inlet is None and now >= self._look_at:
            self._look_at = now + _SEARCH_S
            found = [
                one for one in self._resolver.results() if one.channel_format() == pylsl.cf_string
            ]
            if found:
                self._inlet = pylsl.StreamInlet(found[0], processing_flags=pylsl.proc_clocksync)
        if self._inlet is None:
            return []
        samples, stamps = self._inlet.pull_chunk(timeout=0.0)
        return [(str(sample[0]), at) for sample, at in zip(samples, stamps, strict=True)]
