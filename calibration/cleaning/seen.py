"""Collect what a cleaning stage is fitted on: recordings as they leave the live stage before it.

This module knows nothing of how a stage is fitted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.cleaning.eye_events import EyeSpan
from calibration.splits import blocks, final_block
from rt_decoder.cleaning.stages import FLOW
from rt_decoder.decoder import Decoder
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import hops_of_recording
from rt_decoder.signal import BAD, Marker
from rt_decoder.timing.items import CUE

if TYPE_CHECKING:
    from calibration.events import LabelledRecording
    from rt_decoder.recipe import Fit

__all__ = ["Samples", "Seen", "cues", "onsets", "unlocked_share"]

MAX_BYTES = 1 << 30  # of samples that a stage is fitted on


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Recordings as they reach a stage, one after the other.

    Attributes
    ----------
    data : array of shape (n, c), float64
    bad : array of shape (n,), bool
        Samples that are flagged, or come before the stages have settled.
    rows : dict
        Finds a hop: its (recording, absolute index of the first sample) maps to a list of its
        (row of `data`, time in s). The list has several entries if the stream was lost and the
        index started again.
    markers : list
        Tuples (recording, Marker); the index of each marker is set.
    """

    data: np.ndarray
    bad: np.ndarray
    rows: dict[tuple[int, int], list[tuple[int, float]]]
    markers: list[tuple[int, Marker]]


@dataclass(frozen=True, eq=False)
class Seen:
    """Everything that a fit may use: the recordings, as they reach the stage to be fitted.

    Parameters
    ----------
    model : Model
        Contract, filters and the cleaning stages that are fitted already.
    sessions : sequence of LabelledRecording
    stage : str
        Name of the stage in `rt_decoder.cleaning.stages.FLOW`.
    share : float
        Use only this first share of the samples.
    mne_info : path or None
        FIF file that holds the projections and sensors of the recording.
    """

    model: Model
    sessions: Sequence[LabelledRecording]
    stage: str
    share: float = 1.0
    mne_info: Path | None = None

    @cached_property
    def samples(self) -> Samples:
        """The output of the stage before; the first access runs the recordings."""
        return _collect(self.model, self.sessions, self.stage, self.share)


def _stage_before(stage: str, there: Collection[str]) -> str:
    """Return the last stage before `stage` in the flow, among those in `there`."""
    return [name for name in takewhile(lambda name: name != stage, FLOW) if name in there][-1]


def _collect(
    model: Model, sessions: Sequence[LabelledRecording], stage: str, share: float
) -> Samples:
    """Run the recordings through the live path up to `stage`."""
    seconds = sum(len(s.recording.stamps) / s.recording.info.sfreq for s in sessions)
    room = min(MAX_BYTES // (8 * model.info.n_channels), round(share * seconds * model.info.sfreq))
    data = np.empty((room, model.info.n_channels))  # memory is taken as it is filled
    bad, markers = [], []
    rows: dict[tuple[int, int], list[tuple[int, float]]] = {}
    n = 0
    for run, session in enumerate(sessions):
        decoder = Decoder(model, session.recording.info, PipelineOptions(session.rules))
        before = _stage_before(stage, decoder.pipeline.stages)
        n_settle = round(decoder.pipeline.settling * model.info.sfreq)
        expected, settled = -1, -1
        for hop in hops_of_recording(decoder, session.recording, session.markers, before):
            if n + len(hop.data) > room:
                break
            if hop.index != expected:  # the start, or after a loss: the filters were primed again
                settled = hop.index + n_settle
            expected = hop.index + len(hop.data)
            early = hop.index + np.arange(len(hop.data)) < settled
            rows.setdefault((run, hop.index), []).append((n, float(hop.times[0])))
            data[n : n + len(hop.data)] = hop.data
            bad.append(((hop.flags & BAD) != 0) | early)
            n += len(hop.data)
        late = 0.0
        if (factor := decoder.pipeline.factor) > 1:  # place markers as the pipeline does
            late = decoder.pipeline.stages["decimate"].delay * model.info.sfreq
        markers += [
            (run, marker._replace(index=round(marker.index / factor + late)))
            for marker in decoder.take_markers()[0]
        ]
    if n == 0:
        raise ValueError("need recordings of at least one hop to fit the cleaning on, got none")
    return Samples(data[:n], np.concatenate(bad), rows, markers)


def _row(seen: Seen, run: int, marker: Marker) -> int:
    """Find the row of a marker's sample; -1 if it was not collected."""
    first = marker.index - marker.index % seen.model.n_hop
    found = seen.samples.rows.get((run, first), [])
    if not found:
        return -1
    row, _ = min(found, key=lambda hop: abs(hop[1] - marker.time))
    return row + marker.index - first


def onsets(seen: Seen) -> np.ndarray:
    """Return the rows of `seen.samples` at which events start, (n_events,) int64, without cues."""
    rows = [
        _row(seen, run, marker)
        for run, marker in seen.samples.markers
        if not marker.label.startswith(CUE)
    ]
    return np.array([row for row in rows if row >= 0], np.int64)


def cues(seen: Seen) -> list[EyeSpan]:
    """Return the cued stretches; each lasts until the next cue, at most 20 s."""
    spans = []
    longest = round(20.0 * seen.model.info.sfreq)
    cued = [(run, marker) for run, marker in seen.samples.markers if marker.label.startswith(CUE)]
    for number, (run, marker) in enumerate(cued):
        row = _row(seen, run, marker)
        stop = min(row + longest, len(seen.samples.data))
        for next_run, after in cued[number + 1 : number + 2]:
            if next_run == run:
                stop = min(stop, row + after.index - marker.index)
        kind = marker.label.removeprefix(CUE)
        if 0 <= row < stop and kind in ("blink", "saccade", "rest"):
            spans.append(EyeSpan(row, stop, kind))
    return spans


def unlocked_share(sessions: Sequence[LabelledRecording], fit: Fit) -> float:
    """Compute the share of samples before the final block that is locked away for the certificate.

    Parameters
    ----------
    sessions : sequence of LabelledRecording
    fit : rt_decoder.recipe.Fit
        `final_block`, `groups`, `n_blocks` and `purge`.

    Returns
    -------
    float
        From 0 to 1; less the purge before the first event of the block.
    """
    if fit.final_block == 0:
        return 1.0
    at, groups, n = [], [], 0
    for run, session in enumerate(sessions):
        words = [
            (int(np.searchsorted(session.recording.times, marker.time)), event.group)
            for marker, event in session.stimuli()
        ]
        of_block = blocks(len(words), min(fit.n_blocks, len(words))) if words else ()
        at += [n + row for row, _ in words]
        if fit.groups:
            groups += [f"{run}/{group}" for _, group in words]
        else:
            groups += [f"{run}/{block}" for block in of_block]
        n += len(session.recording.stamps)
    if len(at) < 2:
        return 1.0 - fit.final_block
    _, final = final_block(np.array(groups), fit.final_block, np.array(at, float))
    first = min(at[i] for i in final) - max(fit.purge, 0.0) * sessions[0].recording.info.sfreq
    return max(0.0, first / n)
