"""Measure how long after its marker a word is on the screen, by a photodiode among the channels."""

from __future__ import annotations

import math

import numpy as np

from rt_decoder.checks.finding import Finding, Verdict, named
from rt_decoder.counted import counted
from rt_decoder.files.recording import Recording

__all__ = ["check_photodiode"]

_EARLIEST, _LATEST = -0.1, 0.5  # s after a marker within which the screen changes
_LEAST, _FOUND = 10, 0.8  # markers, and the share of them that the screen follows
_MOST = 5  # flashes a marker: a channel that changes more often is no screen of words
_TRIM = 0.2  # of the delays on each side that do not count: a frame that was dropped
_SPREAD_MS = 8.0  # beyond half a frame at 60 Hz, onsets jitter more than a screen must
_ALIKE = 2e-3  # s between spreads that count as one
_HYSTERESIS = 0.2  # of the way between dark and bright, to each side of the middle


def check_photodiode(recording: Recording, channel: str) -> Finding:
    """Compare the changes of a photodiode with the markers.

    The square under the photodiode may flash with each word, or change with each; which of rises,
    falls or both follow the markers is found out.

    Parameters
    ----------
    recording : Recording
    channel : str
        Name of the photodiode's channel.

    Returns
    -------
    Finding
        Named ``screen``; its figures hold ``delay_ms``, ``error_ms`` (standard error) and
        ``spread_ms``.
    """
    names = recording.info.ch_names
    if channel not in names:
        text = f"no channel {channel} among {named(names)}"
        return Finding("screen", Verdict.BAD, text, "name the photodiode's channel (--photodiode)")
    times = recording.times
    marks = np.array([one.time for one in recording.markers])
    marks = (
        marks[(marks + _EARLIEST > times[0]) & (marks + _LATEST < times[-1])]
        if len(times)
        else marks
    )
    if len(marks) < _LEAST:
        return Finding("screen", Verdict.UNKNOWN, f"needs {_LEAST} markers, got {len(marks)}")
    x = np.asarray(recording.data[:, names.index(channel)], np.float64)
    rises, falls = _changes(x, times)
    tried = [_delays(marks, edges) for edges in (rises, falls, np.sort(np.r_[rises, falls]))]
    is_screen = len(rises) <= _MOST * len(marks)
    delays = _of_the_words([d for d in tried if is_screen and len(d) >= _FOUND * len(marks)])
    if delays is None:
        most = max(len(one) for one in tried)
        text = f"{channel} changes with {most} of {counted(len(marks), 'marker')}"
        fix = "is the photodiode on its square, and is this its channel?"
        return Finding("screen", Verdict.BAD, text, fix, {"n": most})
    cut = int(_TRIM * len(delays))
    kept = np.sort(delays)[cut : len(delays) - cut]
    delay, spread = 1e3 * float(kept.mean()), 1e3 * _spread(delays)
    # of a trimmed mean: the winsorized deviation over what is kept
    winsorized = np.clip(delays, kept[0], kept[-1])
    error = 1e3 * float(winsorized.std(ddof=1)) / ((1 - 2 * _TRIM) * math.sqrt(len(delays)))
    figures = {"delay_ms": delay, "error_ms": error, "spread_ms": spread, "n": len(delays)}
    text = (
        f"words are shown {delay:.1f} +- {error:.1f} ms after their markers, spread {spread:.1f} ms "
        f"({len(delays)} of {counted(len(marks), 'marker')})"
    )
    fix = f"give --marker-offset {delay:.1f} to fit and run"
    if spread > _SPREAD_MS:
        fix += (
            "; show words on a full screen that waits for its frames: the spread is more than one"
        )
    return Finding("screen", Verdict.LOOK if abs(delay) > 1 else Verdict.GOOD, text, fix, figures)


def _of_the_words(tried: list[np.ndarray]) -> np.ndarray | None:
    """The delays of changes that follow the markers; of a flash both do, and the first counts."""
    if not tried:
        return None
    least = min(_spread(one) for one in tried)
    steady = [one for one in tried if _spread(one) <= least + _ALIKE]
    return min(steady, key=lambda one: abs(float(np.median(one))))


def _spread(delays: np.ndarray) -> float:
    """Robust deviation in s."""
    return float(1.4826 * np.median(np.abs(delays - np.median(delays))))


def _changes(x: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the times at which a signal becomes bright, and dark, between samples."""
    x = np.where(np.isfinite(x), x, np.nanmedian(x) if np.isfinite(x).any() else 0.0)
    dark, bright = np.percentile(x, [2, 98])
    if bright <= dark:
        return np.zeros(0), np.zeros(0)
    level = (x - dark) / (bright - dark)
    state = np.where(level > 0.5 + _HYSTERESIS, 1, np.where(level < 0.5 - _HYSTERESIS, -1, 0))
    sure = np.flatnonzero(state)
    at = np.flatnonzero(np.diff(state[sure]))
    rises: list[float] = []
    falls: list[float] = []
    for a, b in zip(sure[at], sure[at + 1], strict=True):
        part = level[a : b + 1] - 0.5  # crosses the middle once or more
        k = a + int(np.flatnonzero(np.signbit(part[:-1]) != np.signbit(part[1:]))[0])
        share = (0.5 - level[k]) / (level[k + 1] - level[k])
        (rises if state[b] > 0 else falls).append(times[k] + share * (times[k + 1] - times[k]))
    return np.array(rises), np.array(falls)


def _delays(marks: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Time from each marker to the first change in its window, where there is one."""
    if not len(edges):
        return np.zeros(0)
    first = np.searchsorted(edges, marks + _EARLIEST)
    have = first < len(edges)
    delays = edges[first[have]] - marks[have]
    return np.asarray(delays[delays <= _LATEST])
