"""Look at everything that `check` reports, on a recording of a minute or so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rt_decoder.checks.body import check_body
from rt_decoder.checks.electrodes import check_channels
from rt_decoder.checks.events import check_markers
from rt_decoder.checks.finding import Finding
from rt_decoder.checks.fitness import check_model_fits
from rt_decoder.checks.photodiode import check_photodiode
from rt_decoder.checks.stamps import check_stamps
from rt_decoder.checks.watch import watch
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model

__all__ = ["LONGEST", "check_recording"]

LONGEST = 300.0  # s of a recording that are looked at


def check_recording(
    recording: Recording,
    model: Model | None = None,
    *,
    expects_markers: bool = False,
    photodiode: str = "",
    others: Sequence[Recording] = (),
    markers_of: Sequence[str] = (),
) -> list[Finding]:
    """Say whether what a recording holds is fit for a session.

    Parameters
    ----------
    recording : Recording
        Its first five minutes are looked at.
    model : Model or None
        What it has to fit.
    expects_markers : bool
        Whether markers should have come.
    photodiode : str
        Channel of a photodiode on the screen; none if empty.
    others : sequence of Recording
        The same with the markers of other streams.
    markers_of : sequence of str
        Names of the marker streams, this one's first.

    Returns
    -------
    list of Finding
        In the order of the data flow.

    Raises
    ------
    ValueError
        If the recording has less than a second of samples.
    """
    info = recording.info
    n = min(len(recording.stamps), round(LONGEST * info.sfreq))
    if n < info.sfreq:
        raise ValueError(f"{recording.name}: need a second of samples or more, got {n} samples")
    recording = _beginning(recording, n)
    data = np.asarray(recording.data, np.float64)
    watched = watch(recording)
    findings = check_stamps(recording, watched)
    findings += check_channels(data, info, watched.quality)
    findings += check_body(data, info)
    for number, marked in enumerate((recording, *(_beginning(one, n) for one in others))):
        stream = markers_of[number] if others else ""
        findings += check_markers(marked, expected=expects_markers, stream=stream)
    if photodiode:
        findings.append(check_photodiode(recording, photodiode))
    if model is not None:
        findings += check_model_fits(recording, model)
    return findings


def _beginning(recording: Recording, n: int) -> Recording:
    """About the first `n` samples: a session record is cut between pulls."""
    if n >= len(recording.stamps):
        return recording
    pulls = recording.pulls
    if pulls is not None:
        ends = np.cumsum(pulls[:, 0]).astype(int)
        n_pulls = max(1, int(np.searchsorted(ends, n, side="right")))
        pulls, n = pulls[:n_pulls], int(ends[n_pulls - 1])
    end = recording.times[n - 1]
    correction, since = recording.correction, recording.since
    return replace(
        recording,
        data=recording.data[:n],
        stamps=recording.stamps[:n],
        correction=correction[:n] if isinstance(correction, np.ndarray) else correction,
        since=None if since is None else since[:n],
        pulls=pulls,
        markers=tuple(one for one in recording.markers if one.time <= end),
        decisions=tuple(one for one in recording.decisions if one.index <= n),
        bad_segments=(),
    )
