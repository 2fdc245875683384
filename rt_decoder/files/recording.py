"""Hold a recording, in memory or in its file, and check that it can be decoded.

Values and time stamps stay as recorded: nothing is filtered, resampled or corrected.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.files.blocks import Blocks, block_rows
from rt_decoder.files.decisions import Decision, Restart
from rt_decoder.files.stamps import are_odd, are_usable, measured_sfreq
from rt_decoder.signal import FLAGS, Marker, Reason, SignalInfo

__all__ = [
    "BadSegment",
    "Recording",
    "check_recording",
]

MIN_SFREQ, MAX_SFREQ = 1e-3, 1e6
MAX_UNSTAMPED = 0.1  # share of samples whose time can be estimated from the others


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
    data : array of shape (n_samples, n_channels), float64, or Blocks
        As delivered, in ``info.units``; `Blocks` are read from the file as they are sliced.
    stamps : array of shape (n_samples,), float64
        Raw time stamps in s; jitter and gaps are kept.
    info : SignalInfo
        Rate and channels, units as declared.
    markers : tuple of Marker
        In order of time; ``time`` on the clock of `times`, ``index`` the row of the sample taken
        nearest to it (see `sample_times`).
    correction : float or array of shape (n_samples,)
        Clock offset in s; `stamps` plus `correction` is on the recording machine's clock.
    name : str
        File name without its folder.
    pulls : array of shape (n_pulls, 3) or None
        Session records only: number of samples, arrival time and clock correction, both in s, of
        each chunk pulled.
    decisions : tuple of Decision
        Session records only: decisions of the live session by the wall clock, in order.
    since : array of shape (n_samples,) or None
        Time in s since the first sample as the file counts it, and as onsets of its events tables
        do; None if that is what the stamps tell. A file that was cut or joined counts no gaps.
    line_freq : float or None
        Mains frequency in Hz, where the file or BIDS beside it states one.
    bad_segments : tuple of BadSegment
        Segments that the file marks as bad; their samples are flagged.
    bads : tuple of str
        Channels that the file marks as bad; calibration leaves them out.

    Raises
    ------
    ValueError
        If the shapes of `data`, `stamps` and `info` do not agree.
    """

    data: np.ndarray | Blocks
    stamps: np.ndarray
    info: SignalInfo
    markers: tuple[Marker, ...] = ()
    correction: float | np.ndarray = 0.0
    name: str = ""
    pulls: np.ndarray | None = None
    decisions: tuple[Decision, ...] = ()
    since: np.ndarray | None = None
    line_freq: float | None = None
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


def check_recording(recording: Recording) -> None:
    """Refuse a recording that would be decoded wrongly.

    NaN and infinite values pass: as live, they are held and flagged where a channel is used. A
    session record may also hold irregular stamps: the session decoded them. A few stamps that are
    no times are warned of.

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
    if not MIN_SFREQ <= recording.info.sfreq <= MAX_SFREQ:
        raise ValueError(
            f"{name}: need a rate from {MIN_SFREQ:g} to {MAX_SFREQ:g} Hz, "
            f"got {recording.info.sfreq:g} Hz"
        )
    if recording.pulls is not None:
        return
    _warn_of_odd(name, stamps)
    rows = block_rows(recording.info.n_channels)
    if not any(np.isfinite(data[at : at + rows]).any() for at in range(0, len(data), rows)):
        raise ValueError(f"{name}: need numbers, got only NaN or infinite values")
    _check_clock(recording)


def _warn_of_odd(name: str, stamps: np.ndarray) -> None:
    """Warn of stamps that are no times, or far from both neighbours; refuse many."""
    odd = are_odd(stamps)
    if not odd.any():
        return
    first = int(np.argmax(odd))
    got = (
        f"{int(odd.sum())} of {counted(len(odd), 'stamp')} that are no times, the first is {stamps[first]:g} "
        f"at sample {first}"
    )
    if odd.mean() > MAX_UNSTAMPED:
        raise ValueError(f"{name}: need time stamps in s, got {got}")
    warnings.warn(
        f"{name}: got {got}: these samples are flagged, their times estimated",
        RuntimeWarning,
        stacklevel=5,
    )


def _check_clock(recording: Recording) -> None:
    name, stamps, sfreq = recording.name, recording.times, recording.info.sfreq
    if len(stamps) < 3 or recording.since is not None:  # a file that tells of its gaps
        return
    measured = measured_sfreq(stamps, sfreq)
    # 20 ms: jitter of a stamp, which matters in a short recording
    if not abs(sfreq / measured - 1) <= 0.01 + 0.02 * sfreq / len(stamps):
        raise ValueError(
            f"{name}: need stamps at the declared {sfreq:g} Hz, got {measured:.4g} Hz: "
            "declared wrongly, or many samples are lost"
        )
    rows = np.flatnonzero(are_usable(stamps))
    stamps = stamps[rows]
    back = int(np.argmin(np.diff(stamps)))
    # a clock that was set, not one odd stamp
    if np.median(stamps[back + 1 : back + 8]) - np.median(stamps[max(0, back - 6) : back + 1]) < -1:
        raise ValueError(
            f"{name}: need one clock, got stamps that jump back by "
            f"{stamps[back] - stamps[back + 1]:.1f} s at sample {rows[back + 1]}: cut the recording there"
        )
