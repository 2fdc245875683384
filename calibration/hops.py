"""Look at every hop of recordings, as continuous readouts do."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.design import RUN_GAP
from calibration.events import Event, LabelledRecording
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recorded import features_of_recording
from rt_decoder.timing.items import CUE

__all__ = ["NEARBY", "Hops", "cosines", "read_hops", "weigh"]

NEARBY = 1 / 8  # of a window
_BLOCK = 256  # windows
_CELLS = 2**20  # windows times items at a time


@dataclass(frozen=True, slots=True, eq=False)
class Hops:
    """What a decoder sees at every hop of some recordings. n hops, m events."""

    onset: np.ndarray  # (n,) s, where the window's event would be, on one axis over recordings
    best: np.ndarray  # (n,) log weight of the best item
    total: np.ndarray  # (n,) log weight of all items
    winner: np.ndarray  # (n,) int, the best item
    good: np.ndarray  # (n,) bool, enough of the window's samples are good
    event_onset: np.ndarray  # (m,) s
    event_end: np.ndarray  # (m,) s, until which a window may answer to it
    event_item: np.ndarray  # (m,) int, -1 outside the vocabulary
    span: float  # s, of a window
    hop: float  # s
    delay: float  # s from a window's onset to its last sample
    predicted: np.ndarray  # (n, rank) float32, by the map

    def near(self) -> np.ndarray:
        """Whether each window shares samples with an event's, or lies within the event, (n,) bool."""
        return self._event_of(self.span, self.event_end) >= 0

    def said(self) -> np.ndarray:
        """What each window is of, (n,) int: an item, -1 for nothing, -2 for none of the items.

        A window is of an event if it begins within an eighth of a window from it, or lies within.
        """
        nearby = NEARBY * self.span
        ends = np.maximum(self.event_onset + nearby, self.event_end - self.span)
        event = self._event_of(nearby, ends)
        said = np.full(len(event), -1)
        of_event = event >= 0
        item = self.event_item[event[of_event]]
        said[of_event] = np.where(item >= 0, item, -2)
        return said

    def _event_of(self, ahead: float, ends: np.ndarray) -> np.ndarray:
        """Event (n,) int that began and has not reached its end, else the next if so near; or -1."""
        found = np.full(len(self.onset), -1)
        if len(self.event_onset):
            ends = np.maximum.accumulate(ends)
            last = np.searchsorted(self.event_onset, self.onset, "right") - 1
            after = np.minimum(last + 1, len(ends) - 1)
            wait = self.event_onset[after] - self.onset
            is_ahead = (wait >= 0) & (wait < ahead)
            found[is_ahead] = after[is_ahead]
            is_in = (last >= 0) & (self.onset < ends[last])
            found[is_in] = last[is_in]
        return found

    def probability(self, nothing: float) -> np.ndarray:
        """Probability of the best item (n,), as the live readout has it."""
        return np.exp(self.best - np.logaddexp(self.total, nothing))


def read_hops(
    model: Model,
    sessions: Sequence[LabelledRecording],
    progress: Callable[[float], None] | None = None,
) -> Hops:
    """Run the live stages over recordings and look at every hop.

    Parameters
    ----------
    model : Model
        With map and posterior.
    sessions : sequence of LabelledRecording
        With the events in which something is said; all else is nothing.
    progress : callable or None
        Called with the share done, 0 to 1.

    Returns
    -------
    Hops
    """
    look, fitted = _Look(model), model.continuous or model.posterior
    place = {item: i for i, item in enumerate(model.items)}
    window = Pipeline(model).window
    span = (window.last - min(window.first, 0)) / model.info.sfreq
    rows = array("d")  # two numbers a hop, of which a long recording has a million
    events: list[tuple[float, float, int]] = []
    base = 0.0
    for run, session in enumerate(sessions):
        recording = session.recording
        begin = base - recording.times[0]

        def report(share: float, run: int = run) -> None:
            if progress is not None:
                progress((run + share) / len(sessions))

        markers = [one for one in session.markers if not one.label.startswith(CUE)]
        known = session.by_marker(model.items)
        options = PipelineOptions(session.rules, continuous=True)
        for marker, features in features_of_recording(
            model, recording, markers, options, progress=report
        ):
            onset = begin + marker.time
            if marker.label:
                lasts = max(span, known.get((marker.label, marker.time), Event()).duration)
                events.append((onset, onset + lasts, place.get(marker.label, -1)))
            else:
                rows.extend((onset, features.good >= fitted.min_quality))
                look.add(features.values)
        base += recording.times[-1] - recording.times[0] + RUN_GAP
    hop = np.array(rows).reshape(-1, 2)
    event = np.array(sorted(events), float).reshape(-1, 3)
    none = np.zeros(0)
    hops = Hops(
        hop[:, 0], none, none, none, hop[:, 1] > 0,
        event[:, 0], event[:, 1], event[:, 2].astype(int),
        span, model.n_hop / model.info.sfreq, window.last / model.info.sfreq, look.predicted(),
    )  # fmt: skip
    return weigh(hops, model)


class _Look:
    """Predictions of windows, by blocks: a product of matrices is faster than one a window."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._waiting: list[np.ndarray] = []
        self._done: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Take the features of a window (p,)."""
        self._waiting.append(values)
        if len(self._waiting) == _BLOCK:
            self._predict()

    def predicted(self) -> np.ndarray:
        """Predictions of all windows so far, (n, rank) float32."""
        if self._waiting:
            self._predict()
        return np.concatenate([np.zeros((0, self.model.weights.shape[1]), np.float32), *self._done])

    def _predict(self) -> None:
        self._done.append(np.stack(self._waiting) @ self.model.weights + self.model.offset)
        self._waiting.clear()


def cosines(predicted: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Compute what a posterior sees of predictions.

    Parameters
    ----------
    predicted : array of shape (n, rank), float32
    model : Model

    Returns
    -------
    cosines : array of shape (n, n_items), float64
        0 for a prediction of length 0.
    lengths : array of shape (n,), float64
    """
    lengths = np.linalg.norm(predicted, axis=1).astype(float)
    unit = predicted / np.where(lengths > 0, lengths, 1)[:, None]
    return unit @ (model.vectors @ model.basis.T).T.astype(float), lengths


def weigh(hops: Hops, model: Model) -> Hops:
    """Weigh the items in every hop.

    Parameters
    ----------
    hops : Hops
        Of `model`, whatever its posterior was.
    model : Model
        With a posterior, for continuous readouts or else for events.

    Returns
    -------
    Hops
        With other `best`, `total` and `winner`.
    """
    fitted, n = model.continuous or model.posterior, len(hops.onset)
    best, total, winner = np.zeros(n), np.zeros(n), np.zeros(n, int)
    offset = model.log_prior + (model.item_bias if model.item_bias.size else 0)
    step = max(1, _CELLS // len(model.items))
    for rows in (slice(first, first + step) for first in range(0, n, step)):
        cos, lengths = cosines(hops.predicted[rows], model)
        gain = (
            lengths / np.hypot(lengths, fitted.length) if fitted.length else np.ones_like(lengths)
        )
        weights = fitted.tau * gain[:, None] * cos + offset
        winner[rows] = weights.argmax(axis=1)
        best[rows] = weights.max(axis=1)
        total[rows] = best[rows] + np.log(np.exp(weights - best[rows, None]).sum(axis=1))
    return replace(hops, best=best, total=total, winner=winner)
