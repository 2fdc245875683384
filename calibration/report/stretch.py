"""Select the stretch of a recording that a report shows, with and without cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rt_decoder.cleaning.stages import CLEANING
from rt_decoder.decoder import Decoder
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import BAD, FLAGS, Chunk, SignalInfo
from rt_decoder.timing.items import CUE

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["Stretch", "look"]

SECONDS = 300.0  # longest stretch
LEAST_S = 30.0  # of recording that the cleaning was not fitted on; with less, show what it was
MAX_BYTES = 1 << 28  # of samples


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A stretch of a recording, filtered and re-referenced, before and after cleaning.

    Attributes
    ----------
    info : SignalInfo
    before, after : array of shape (n, c), float64
    flags : array of shape (n,), uint32
        Of the cleaned samples.
    events : array of shape (n_events,), int64
        Rows at which events start, without cues.
    seen : bool
        Whether the cleaning was fitted on this stretch.
    """

    info: SignalInfo
    before: np.ndarray
    after: np.ndarray
    flags: np.ndarray
    events: np.ndarray
    seen: bool

    @property
    def bad(self) -> np.ndarray:
        """Samples flagged for another reason than a correction, (n,) bool."""
        return (self.flags & BAD) != 0


def look(model: Model, sessions: Sequence[LabelledRecording], share: float = 1.0) -> Stretch:
    """Run the end of the last recording through the live path, with and without cleaning.

    Parameters
    ----------
    model : Model
    sessions : sequence of LabelledRecording
        All recordings; the stretch comes from the last one.
    share : float
        Share of all samples that the cleaning was fitted on, 0 for other recordings. The stretch is what comes after it, or
        the last third of the recording if less than 30 s come after it; at most 5 minutes.

    Returns
    -------
    Stretch

    Raises
    ------
    ValueError
        If the recording is too short to show anything.
    """
    last = sessions[-1]
    n = len(last.recording.stamps)
    total = sum(len(one.recording.stamps) for one in sessions)
    start = max(0, round(share * total) - (total - n))
    seen = share > 0 and n - start < LEAST_S * last.recording.info.sfreq
    if seen:
        start = n - n // 3
    room = MAX_BYTES // (8 * last.recording.info.n_channels)
    start = max(start, n - min(round(SECONDS * last.recording.info.sfreq), room))
    recording = last.recording
    correction = np.broadcast_to(recording.correction, (n,))[start:]
    recording = replace(
        recording, data=recording.data[start:], stamps=recording.stamps[start:], markers=(),
        correction=correction, pulls=None, decisions=(),
    )  # fmt: skip
    runs = []
    for without in (CLEANING, ()):
        hops: list[Chunk] = []
        decoder = Decoder(model, recording.info, PipelineOptions(without=without))

        def keep(hop: Chunk, hops: list[Chunk] = hops) -> None:
            data, times, flags = hop.data.copy(), hop.times.copy(), hop.flags.copy()
            hops.append(hop._replace(data=data, times=times, flags=flags))

        decoder.pipeline.tap(keep)
        for _ in decode_recording(model, recording, (), chunk=1024, decoder=decoder):
            pass
        runs.append(_joined(hops, model.info.n_channels))
    settled = round(decoder.pipeline.settling * model.info.sfreq)  # of the run with all stages
    runs = [[array[settled:] for array in run] for run in runs]
    (before, times, _), (after, _, flags) = runs
    if len(times) == 0:
        raise ValueError(
            f"need more than {decoder.pipeline.settling:.1f} s of recording for a report, in which "
            f"the filters settle, got {n / last.recording.info.sfreq:.1f} s"
        )
    shown = [m.time for m in last.markers if not m.label.startswith(CUE)]
    events = np.searchsorted(times, [t for t in shown if times[0] <= t <= times[-1]])
    return Stretch(model.info, before, after, flags, events, seen)


def _joined(hops: Sequence[Chunk], n_channels: int) -> list[np.ndarray]:
    """Samples, times and flags of all hops."""
    if not hops:
        return [np.zeros((0, n_channels)), np.zeros(0), np.zeros(0, FLAGS)]
    return [np.concatenate([hop[k] for hop in hops]) for k in (0, 1, 3)]
