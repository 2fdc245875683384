"""Look at markers: how many, which labels, how late they come."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rt_decoder.checks.finding import Finding, Verdict, named
from rt_decoder.files.decisions import MarkerCame
from rt_decoder.files.recording import Recording
from rt_decoder.signal import ONSET

__all__ = ["check_markers"]

_LATE_MS = 500.0


def check_markers(recording: Recording, *, expected: bool, stream: str = "") -> list[Finding]:
    """Judge the markers of a recording, from one stream.

    Parameters
    ----------
    recording : Recording
        A session record also tells when each marker came.
    expected : bool
        Whether a marker stream was named.
    stream : str
        Its name, where there are several.

    Returns
    -------
    list of Finding
        Of ``markers`` and, for a session record, ``lateness``.
    """
    of = f"{stream}: " if stream else ""
    labels = Counter(marker.label or ONSET for marker in recording.markers)
    if not labels:
        if not expected:
            return [Finding("markers", Verdict.UNKNOWN, "no marker stream was named (--markers)")]
        fix = (
            "let the stimuli run meanwhile; does their program send to this stream?"
            if recording.pulls is not None
            else "name their stream or channel (--markers), or give fit an events table (--events)"
        )
        return [Finding("markers", Verdict.LOOK, f"{of}none came", fix, {"n": 0})]
    told = named([f"{label} ({n})" for label, n in labels.most_common()])
    n = sum(labels.values())
    figures = {"n": n, "labels": dict(labels.most_common(100))}
    found = [Finding("markers", Verdict.GOOD, f"{of}{n} came: {told}", figures=figures)]
    return found + _lateness(recording, of)


def _lateness(recording: Recording, of: str) -> list[Finding]:
    arrivals = recording.arrivals
    own = {(marker.label, marker.time) for marker in recording.markers}
    came = [
        one
        for one in recording.decisions
        if isinstance(one, MarkerCame) and (one.label, one.time) in own
    ]
    if arrivals is None or not came or not len(arrivals):
        return []
    rows = np.minimum([one.index for one in came], len(arrivals) - 1)
    late_ms = 1e3 * (arrivals[rows] - np.array([one.time for one in came]))
    usual, most = float(np.median(late_ms)), float(late_ms.max())
    text = f"{of}markers come {usual:.0f} ms after their time, {most:.0f} ms at most"
    figures = {"p50_ms": usual, "max_ms": most}
    if usual < -1e3 or most > 1e4:
        fix = "its program stamps with another clock: let it use LSL's local_clock()"
        return [Finding("lateness", Verdict.BAD, text, fix, figures)]
    if most > _LATE_MS:
        fix = "readouts wait for them: raise --marker-wait, or send markers when they happen"
        return [Finding("lateness", Verdict.LOOK, text, fix, figures)]
    return [Finding("lateness", Verdict.GOOD, text, figures=figures)]
