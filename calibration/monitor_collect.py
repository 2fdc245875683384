"""Collect from recordings, through the live stages, what a monitor is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from calibration.design import RUN_GAP, Design, without_map
from calibration.events import LabelledRecording
from calibration.hold_out import split_again
from calibration.monitor_montage import SecondsOfChannels, compared_channels, kept_every
from rt_decoder.model import Model
from rt_decoder.monitor.response import ORDER, EventScores, response_span
from rt_decoder.monitor.watcher import Watcher
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import features_of_recording
from rt_decoder.signal import Chunk
from rt_decoder.timing.items import CUE

__all__ = ["Collected", "collect"]

_MOST_BYTES = 128 << 20  # of epochs; every other event is left out where there are more


class Collected(NamedTuple):
    """What the recordings hold. n events."""

    epochs: np.ndarray  # (n, n_bins, c) float32, relative to `scale`
    envelopes: np.ndarray  # (n, n_bins, bands * c), likewise; no columns where nothing has bands
    scale: np.ndarray  # (c,) SI units
    is_train: np.ndarray  # (n,) bool
    is_locked: np.ndarray  # (n,) bool
    picks: np.ndarray  # (m,) int, channels whose products are in `seconds`
    seconds: list[np.ndarray]  # of each recording (n_seconds, m, m)


class _Collector(Watcher):
    """Keep the bins around each event of one recording, and the products of its channels."""

    def __init__(self, model: Model, every: int, channels: SecondsOfChannels) -> None:
        c, span = model.n_picks, response_span(model.info.sfreq)
        nothing = np.zeros((span.n_times, c))
        self._window = EventScores(model.info.sfreq, np.eye(c), np.zeros(ORDER), nothing)
        self._powers = _powers(model)
        self._least_good, self._every = model.recipe.readout.min_quality, every
        self._scale = model.channel_scale[:c]
        self.envelopes: dict[int, np.ndarray] = {}  # by the same
        self._waiting: list[int] = []
        self.channels, self.n = channels, 0
        self.epochs: dict[int, np.ndarray] = {}  # by the sample of the onset

    def mark(self, onset: int) -> None:
        """Take an onset."""
        self._waiting.append(onset)

    def raw(self, hop: Chunk) -> None:
        """Take a hop before channels are repaired."""
        self.channels.add(hop)

    def write(
        self, data: np.ndarray, flags: np.ndarray, index: int, power: np.ndarray | None = None
    ) -> None:
        """Take cleaned samples, and their powers."""
        self._window.write(data, flags, index)
        if self._powers is not None and power is not None:
            self._powers.write(power, flags, index)

    def advance(self, stop: int) -> None:
        """Keep the events that are complete."""
        last = self._window.span.last
        for onset in [one for one in self._waiting if one + last <= stop]:
            self._waiting.remove(onset)
            self.n += 1
            wanted = (self.n - 1) % self._every == 0
            if wanted and self._window.look(onset) >= self._least_good:
                self.epochs[onset] = (self._window.bins / self._scale).astype(np.float32)
                if self._powers is None:
                    self.envelopes[onset] = np.zeros((len(self._window.bins), 0), np.float32)
                elif self._powers.look(onset) > 0:
                    scale = np.tile(self._scale, self._powers.bins.shape[1] // len(self._scale))
                    self.envelopes[onset] = (self._powers.bins / scale).astype(np.float32)


def _parts(model: Model, design: Design) -> dict[float, int]:
    """Part of each onset: 1 trains, 2 is locked."""
    _, train, locked = split_again(design, model.recipe.fit, model.certificate["split"]["purge_s"])
    part = np.zeros(len(design.onsets), int)
    part[train], part[locked] = 1, 2
    return dict(zip(design.onsets.tolist(), part.tolist(), strict=True))


def _stacked(rows: Sequence[np.ndarray], *shape: int) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, *shape), np.float32)


def _powers(model: Model) -> EventScores | None:
    """What keeps the bins of band powers, where features are of them."""
    features, sfreq = model.recipe.features, model.info.sfreq
    if features.kind != "bandpower":
        return None
    n = model.n_picks * len(features.bands)
    nothing = np.zeros((response_span(sfreq).n_times, n))
    return EventScores(sfreq, np.eye(n), np.zeros(ORDER), nothing, of_power=True)


def collect(
    model: Model,
    design: Design,
    sessions: Sequence[LabelledRecording],
    progress: Callable[[float], None] | None = None,
) -> Collected:
    """Run the live stages over recordings and keep what a monitor would see.

    Parameters
    ----------
    model : Model
        With a map, and its split in the certificate.
    design : Design
        That the model was fitted on.
    sessions : sequence of LabelledRecording
        That the design was built from.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Collected
    """
    stages, parts = without_map(model), _parts(model, design)
    c, n_bins = model.n_picks, response_span(model.info.sfreq).n_bins
    n_bands = 1 + len(model.recipe.features.bands) * (model.recipe.features.kind == "bandpower")
    every = max(1, -(-len(design.onsets) * 4 * n_bins * n_bands * c // _MOST_BYTES))
    picks = compared_channels(model)
    n_seconds = sum(len(one.recording.times) / one.recording.info.sfreq for one in sessions)
    seconds, of_seconds = list[np.ndarray](), kept_every(n_seconds, len(picks))
    epochs: list[np.ndarray] = []
    envelopes: list[np.ndarray] = []
    found: list[int] = []
    base = 0.0
    for run, session in enumerate(sessions):
        recording, times = session.recording, {}
        collector = _Collector(model, every, SecondsOfChannels(model, picks, of_seconds))
        words = [one for one in session.markers if not one.label.startswith(CUE)]

        def report(share: float, run: int = run) -> None:
            if progress is not None:
                progress((run + share) / len(sessions))

        origin = recording.times[0]
        for marker, _ in features_of_recording(
            stages, recording, words, PipelineOptions(session.rules), progress=report,
            watcher=collector,
        ):  # fmt: skip
            times[marker.index] = base + marker.time - origin
        for onset, epoch in collector.epochs.items():
            part_of = parts.get(times.get(onset, -1.0), 0)
            if part_of > 0 and onset in collector.envelopes:
                epochs.append(epoch)
                envelopes.append(collector.envelopes[onset])
                found.append(part_of)
        if collector.channels.products:
            seconds.append(np.stack(collector.channels.products))
        base += recording.times[-1] - origin + RUN_GAP
    kept, powers = _stacked(epochs, n_bins, c), _stacked(envelopes, n_bins, (n_bands - 1) * c)
    which, scale = np.array(found, int), model.channel_scale[:c]
    return Collected(kept, powers, scale, which == 1, which == 2, picks, seconds)
