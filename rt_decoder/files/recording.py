"""Hold a recording in memory, and check that it can be decoded.

Values and time stamps stay as recorded: nothing is filtered, resampled or corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rt_decoder.files.decisions import Decision, Restart
from rt_decoder.files.stamps import LATEST, measured_sfreq
from rt_decoder.signal import FLAGS, Marker, Reason, SignalInfo
from rt_decoder.timing.markers import trigger_markers

__all__ = [
    "BadSegment",
    "Recording",
    "channel_markers",
    "check_recording",
]

MIN_SFREQ, MAX_SFREQ = 1e-3, 1e6


class BadSegment(NamedTuple):
    """Rows that the file marks as bad."""

    start: int
    stop: int  # the first row behind it
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded stream with its markers.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels), float64
        As delivered, in ``info.units``.
    stamps : array of shape (n_samples,), float64
        Raw time stamps in s; jitter and gaps are kept.
    info : SignalInfo
        Rate and channels, units as declared.
    markers : tuple of Marker
        In order of time; ``time`` on the clock of `times`, ``index`` the row of the nearest sample.
    correction : float or array of shape (n_samples,)
        Clock offset in s; `stamps` plus `correction` is on the recording machine's clock.
    name : str
        File name without its folder.
    pulls : array of shape (n_pulls, 3) or None
        Session records only: number of samples, arrival time and clock correction, both in s, of
        each chunk pulled.
    decisions : tuple of Decision
        Session records only: decisions of the live session by the wall clock, in order.
    bad_segments : tuple of BadSegment
        Segments that the file marks as bad; their samples are flagged.
    bads : tuple of str
        Channels that the file marks as bad; calibration leaves them out.

    Raises
    ------
    ValueError
        If the shapes of `data`, `stamps` and `info` do not agree.
    """

    data: np.ndarray
    stamps: np.ndarray
    info: SignalInfo
    markers: tuple[Marker, ...] = ()
    correction: float | np.ndarray = 0.0
    name: str = ""
    pulls: np.ndarray | None = None
    decisions: tuple[Decision, ...] = ()
    bad_segments: tuple[BadSegment, ...] = ()
    bads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, c = np.size(self.stamps), self.info.n_channels
        if np.shape(self.stamps) != (n,) or np.shape(self.data) != (n, c):
            raise ValueError(
                f"need stamps of shape (n,) and data of shape (n, {c}), "
                f"got {np.shape(self.stamps)} and {np.shape(self.data)}"
            )

    @property
    def times(self) -> np.ndarray:
        """Stamps plus correction, (n_samples,) s, on the clock of the markers."""
        return self.stamps + self.correction

    @property
    def arrivals(self) -> np.ndarray | None:
        """Arrival time of each sample, (n_samples,) s; None except in session records."""
        if self.pulls is None:
            return None
        return np.repeat(self.pulls[:, 1], self.pulls[:, 0].astype(int))

    @property
    def flags(self) -> np.ndarray | None:
        """Reason bits of each sample, (n_samples,) uint32; None without bad segments."""
        if not self.bad_segments:
            return None
        flags = np.zeros(len(self.stamps), FLAGS)
        for start, stop, _ in self.bad_segments:
            flags[start:stop] = Reason.ANNOTATED
        return flags

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Rows (start, stop) between losses of the stream; each stretch has a separate time line."""
        n = len(self.stamps)
        returns = {one.index for one in self.decisions if isinstance(one, Restart)}
        return list(pairwise(sorted({0, n, *(row for row in returns if row < n)})))


def channel_markers(recording: Recording, channel: str) -> tuple[Marker, ...]:
    """Read markers from a trigger channel, or raise ValueError if there is no such channel."""
    if channel not in recording.info.ch_names:
        raise ValueError(
            f"{recording.name}: need a channel {channel} for the markers, "
            f"got {', '.join(recording.info.ch_names)}"
        )
    column = recording.info.ch_names.index(channel)
    return tuple(trigger_markers(recording.data[:, column], recording.times))


def check_recording(recording: Recording) -> None:
    """Refuse a recording that would be decoded wrongly.

    A session record may hold NaN and irregular stamps: the session decoded them, too.

    Parameters
    ----------
    recording : Recording
        As read from a file.

    Raises
    ------
    ValueError
        With the reason; see `read_recording`.
    """
    name, stamps, data = recording.name, recording.stamps, recording.data
    if not len(stamps):
        raise ValueError(f"{name}: need samples, got none")
    odd = ~(np.abs(stamps) < LATEST)
    if odd.any():
        raise ValueError(f"{name}: need finite time stamps in s, got {stamps[odd][0]}")
    if not MIN_SFREQ <= recording.info.sfreq <= MAX_SFREQ:
        raise ValueError(
            f"{name}: need a rate from {MIN_SFREQ:g} to {MAX_SFREQ:g} Hz, "
            f"got {recording.info.sfreq:g} Hz"
        )
    if recording.pulls is not None:
        return
    bad = ~np.isfinite(data)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        first = int(np.argmax(bad[:, column]))
        others = int(bad.any(axis=0).sum()) - 1
        raise ValueError(
            f"{name}: need numbers, got {int(bad[:, column].sum())} NaN or infinite values in "
            f"channel {recording.info.ch_names[column]}"
            + (f" (and {others} more channels)" if others else "")
            + f", the first at {stamps[first] - stamps[0]:.3f} s: cut them out or repair them"
        )
    _check_clock(recording)


def _check_clock(recording: Recording) -> None:
    name, stamps, sfreq = recording.name, recording.stamps, recording.info.sfreq
    if len(stamps) < 3:
        return
    measured = measured_sfreq(stamps, sfreq)
    # 20 ms: jitter of a stamp, which matters in a short recording
    if not abs(sfreq / measured - 1) <= 0.01 + 0.02 * sfreq / len(stamps):
        raise ValueError(
            f"{name}: need stamps at the declared {sfreq:g} Hz, got {measured:.4g} Hz: "
            "declared wrongly, or many samples are lost"
        )
    back = int(np.argmin(np.diff(stamps)))
    if stamps[back + 1] - stamps[back] < -1:
        raise ValueError(
            f"{name}: need one clock, got stamps that jump back by "
            f"{stamps[back] - stamps[back + 1]:.1f} s at sample {back + 1}: cut the recording there"
        )
