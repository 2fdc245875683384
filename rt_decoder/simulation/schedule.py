"""Schedule of a simulated session: when words appear, and when the eyes follow instructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt_decoder.signal import Marker
from rt_decoder.simulation.brain import RESPONSE

__all__ = ["add_cues", "draw_onsets"]

_TAIL = 0.2  # s recorded after the last response


def draw_onsets(
    rng: np.random.Generator,
    sfreq: float,
    n_words: int | None,
    duration: float | None,
    soa: tuple[float, float],
    lead_in: float,
) -> tuple[np.ndarray, int]:
    """Draw the onsets of words.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    sfreq : float
        Sampling rate in Hz.
    n_words : int or None
        Number of words; None to fill `duration`.
    duration : float or None
        Length of the recording in s; None to let `n_words` decide.
    soa : (float, float)
        Shortest and longest time between onsets in s.
    lead_in : float
        Time before the first word in s.

    Returns
    -------
    onsets : array of shape (n_words,), int
        Sample of each onset.
    n : int
        Length of the recording in samples.

    Raises
    ------
    ValueError
        If not exactly one of `n_words` and `duration` is given, a time is invalid, or no word fits.
    """
    if (n_words is None) == (duration is None):
        raise ValueError(f"need n_words or duration, got {n_words} and {duration}")
    if not (0 < soa[0] <= soa[1] and lead_in >= 0):
        raise ValueError(f"need 0 < soa[0] <= soa[1] and lead_in >= 0, got {soa}, {lead_in}")
    after = int(np.ceil((RESPONSE + _TAIL) * sfreq))
    most = n_words or 0
    if duration is not None:
        most = int(max(duration - lead_in, 0.0) / soa[0]) + 1
    gaps = rng.uniform(*soa, max(most, 0))
    gaps[:1] = lead_in
    onsets = np.rint(np.cumsum(gaps) * sfreq).astype(int)
    if duration is not None:
        n = round(duration * sfreq)
        onsets = onsets[onsets + after <= n]
    if len(onsets) == 0:
        raise ValueError(
            f"need time for at least one word ({lead_in + after / sfreq:g} s), "
            f"got n_words={n_words}, duration={duration}"
        )
    return onsets, n if duration is not None else int(onsets[-1]) + after


def add_cues(
    events: tuple[Marker, ...], cues: Sequence[tuple[str, float, float]], n: int, sfreq: float
) -> tuple[tuple[Marker, ...], dict[str, np.ndarray]]:
    """Add cues to the events, and mark what the eyes may do at each sample.

    Parameters
    ----------
    events : tuple of Marker
        The words.
    cues : sequence of (str, float, float)
        Instructions "blink", "saccade" or "rest", each from one time to another in s.
    n : int
        Length of the recording in samples.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    events : tuple of Marker
        Words and cues in order of time.
    allowed : dict of str to array of shape (n,), int8
        For "blink" and "saccade": 0 where it is forbidden, 1 where it is allowed, 2 where it is
        instructed. Empty without cues.

    Raises
    ------
    ValueError
        If an instruction is unknown, or does not end after it starts.
    """
    allowed = {name: np.ones(n, np.int8) for name in ("blink", "saccade") if cues}
    marks = []
    for what, start, stop in cues:
        if what not in ("blink", "saccade", "rest") or not 0 <= start < stop:
            raise ValueError(
                "need cues (blink, saccade or rest, start, stop) with 0 <= start < stop, "
                f"got {(what, start, stop)}"
            )
        first, last = (round(time * sfreq) for time in (start, stop))
        for name, where in allowed.items():
            where[first:last] = 2 if name == what else 0
        marks.append(Marker(f"cue/{what}", first / sfreq, first))
    return tuple(sorted((*events, *marks), key=lambda marker: marker.index)), allowed
