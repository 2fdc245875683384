"""Turn recordings into a design: one row of features and one label per event.

The live pipeline itself computes the rows (`rt_decoder.recorded`), so that training and decoding
see the same features. This module fits only the scale and the largest step of each channel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from calibration.bad_windows import why_none_is_good
from calibration.contract import bad_channels, contract, reference_names
from calibration.events import Event, LabelledRecording
from calibration.levels import channel_jump, channel_levels, channel_scale
from rt_decoder.channels import type_of_name
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recipe import Recipe
from rt_decoder.recorded import MAINS_DIFFER, features_of_recording
from rt_decoder.signal import (
    Reason,
    SignalInfo,
)
from rt_decoder.timing.items import CUE

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = [
    "CUE",
    "Design",
    "bad_channels",
    "build_design",
    "contract",
    "draft_model",
    "without_map",
]

RUN_GAP = 3600.0  # s between recordings on the common time axis, so that no purge spans two


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Events of all recordings, in time order. n events, p features."""

    X: np.ndarray  # (n, p) float32, unscaled
    labels: tuple[str, ...]  # item of each event
    onsets: np.ndarray  # (n,) s on one axis over all recordings
    groups: tuple[str, ...]  # events of one group are held out together; "" without a group
    contexts: tuple[tuple[str, int], ...] | None  # as `events.Event.context`; None without
    run: np.ndarray  # (n,) number of the recording
    n_dropped: int  # events whose window is incomplete, or too bad to learn from
    answered: np.ndarray  # (n,) bool: a live session would answer; False where muscle is active
    ideas: tuple[str, ...] | None = None  # category or sentence of each event; None without
    artifacts: np.ndarray | None = None  # (n, q) the same features of EOG, ECG, ... channels alone
    fingerprints: tuple[tuple[int, ...], ...] = ()  # of the samples of each recording

    def answered_only(self) -> Design:
        """Keep only the events that a live session would answer, as scores do."""
        keep = np.flatnonzero(self.answered)
        return replace(
            self,
            X=self.X[keep],
            labels=tuple(self.labels[i] for i in keep),
            onsets=self.onsets[keep],
            groups=tuple(self.groups[i] for i in keep),
            contexts=None if self.contexts is None else tuple(self.contexts[i] for i in keep),
            run=self.run[keep],
            n_dropped=self.n_dropped + len(self.labels) - len(keep),
            answered=self.answered[keep],
            ideas=None if self.ideas is None else tuple(self.ideas[i] for i in keep),
            artifacts=None if self.artifacts is None else self.artifacts[keep],
        )


def draft_model(recordings: Sequence[Recording], recipe: Recipe) -> Model:
    """Make a model with stages but no map, for calibration to run over the recordings.

    Parameters
    ----------
    recordings : sequence of Recording
        The first one sets the channels and the sampling rate.
    recipe : Recipe

    Returns
    -------
    Model
        Its recipe states `features.decim` and `stream.line_freq`, even where the given one left
        them open.

    Raises
    ------
    ValueError
        If a pick, a reference or a unit is unknown, a channel holds no number, or recordings state
        different mains and the recipe none.
    ModelMismatch
        If a later recording lacks a channel, has it in another unit or at another scale.
    """
    info = contract(recordings[0], recipe, bad_channels(recordings, recipe))
    features = recipe.features
    n_window = round((features.tmax - features.tmin) * info.sfreq)
    if features.decim == 0:
        decim = n_window if features.kind == "bandpower" else max(1, round(0.05 * info.sfreq))
        features = replace(features, decim=max(1, decim))
    stream = replace(recipe.stream, line_freq=_line_freq(recordings, recipe.stream.line_freq))
    recipe = replace(recipe, features=features, stream=stream)
    references = reference_names(info, recipe)
    _check_channels(info.pick(range(info.n_channels - len(references))), recipe)
    draft = Model(
        info=info,
        recipe=recipe,
        sos=_sos(info.sfreq, recipe),
        channel_scale=channel_scale(recordings, info, references),
        channel_jump=channel_jump(recordings, info, references),
        references=references,
    )
    return replace(draft, channel_level=channel_levels(draft, recordings))


def without_map(model: Model) -> Model:
    """Return the stages of a fitted model alone: its features are unscaled."""
    none, empty = np.zeros(0), np.zeros((0, 0))
    return replace(
        model,
        center=none,
        scale=none,
        weights=empty,
        offset=none,
        covariance=empty,
        alignment=None,
        windows=(),
    )


def _check_channels(picked: SignalInfo, recipe: Recipe) -> None:
    """Refuse an average over one channel; warn of EEG that by its name is none."""
    kinds = picked.ch_types
    averaged = next((kind for kind in ("eeg", "ecog", "seeg") if kind in kinds), "")
    if recipe.stream.reference == "average" and kinds.count(averaged) == 1:
        raise ValueError(
            f"need two {averaged} channels or more for an average reference, got "
            f"{picked.ch_names[kinds.index(averaged)]} alone, which would become 0: "
            "set reference = 'none'"
        )
    pairs = zip(picked.ch_names, kinds, strict=True)
    found = [name for name, kind in pairs if kind == "eeg" and type_of_name(name)]
    other = [name for name in found if name not in recipe.stream.picks]
    if other:
        warnings.warn(
            f"{', '.join(other[:12])} are EEG by their file, though not by their names: they are "
            "decoded and in the average reference; --channels TSV sets another type",
            RuntimeWarning,
            stacklevel=3,
        )


def _line_freq(recordings: Sequence[Recording], line: float) -> float:
    """Mains frequency in Hz: the recipe's, else what the recordings state, else 50."""
    stated = {one.name: one.line_freq for one in recordings if one.line_freq is not None}
    listed = ", ".join(f"{name} {freq:g} Hz" for name, freq in stated.items())
    if line < 0:
        if len(set(stated.values())) > 1:
            raise ValueError(f"need one mains frequency, got {listed}: set line_freq")
        return next(iter(stated.values()), 50.0)
    if line and any(abs(freq - line) > MAINS_DIFFER for freq in stated.values()):
        warnings.warn(
            f"the recipe has mains of {line:g} Hz, the recordings state others ({listed}): "
            "is line_freq right?",
            RuntimeWarning,
            stacklevel=3,
        )
    return line


def _sos(sfreq: float, recipe: Recipe) -> np.ndarray:
    design, line = recipe.filter, recipe.stream.line_freq
    edge = min(2 * design.h_freq if design.h_freq else np.inf, sfreq / 2 * 0.99)
    notched = design.notch and recipe.clean.mains == "notch"
    notch = tuple(np.arange(line, edge, line)) if notched and line else ()
    return design_sos(sfreq, design.l_freq or None, design.h_freq or None, design.order, notch)


def build_design(
    model: Model,
    sessions: Sequence[LabelledRecording],
    progress: Callable[[float], None] | None = None,
    *,
    scaled: bool = False,
) -> Design:
    """Run the live stages over every recording and collect one row per event.

    A window that is bad only because of muscle activity still trains the map: the low-pass removes
    most of that activity, and dropping a fifth of the words would cost more.

    Parameters
    ----------
    model : Model
        A draft or a fitted model.
    sessions : sequence of LabelledRecording
    progress : callable or None
        Called with the share done, 0 to 1.
    scaled : bool
        Scale features as a fitted model does live; otherwise they are as a fit takes them, whether
        the model is a draft or fitted.

    Returns
    -------
    Design

    Raises
    ------
    ValueError
        If no event has a complete, good window.
    """
    stages = model if scaled else without_map(model)
    rows, kept, n_dropped, base = [], [], 0, 0.0
    for run, session in enumerate(sessions):
        recording, n_found = session.recording, 0

        def report(share: float, run: int = run) -> None:
            if progress is not None:
                progress((run + share) / len(sessions))

        origin = recording.times[0]  # markers are on this clock
        words = [marker for marker in session.markers if not marker.label.startswith(CUE)]
        events = session.by_marker(model.items)
        for marker, features in features_of_recording(
            stages, recording, words, PipelineOptions(session.rules), progress=report
        ):
            event = events.get((marker.label, marker.time), Event())
            n_found += 1
            answered = features.good >= model.recipe.readout.min_quality
            if not answered and features.reasons & ~int(Reason.MUSCLE):
                n_dropped += 1
                continue
            rows.append(features.values)
            group = f"{run}/{event.group}" if event.group else ""
            onset = base + marker.time - origin
            kept.append((marker.label, onset, group, event.context, run, answered, event.idea))
        n_dropped += max(0, len(words) - n_found)
        base += recording.times[-1] - origin + RUN_GAP
    if not rows:
        raise ValueError(
            f"need events with a complete window of good samples, got none among {n_dropped}"
            + why_none_is_good(model, sessions)
        )
    labels, onsets, groups, contexts, runs, answers, ideas = zip(*kept, strict=True)
    return Design(
        np.stack(rows), labels, np.array(onsets), groups,
        None if contexts[0] is None else contexts, np.array(runs), n_dropped, np.array(answers),
        ideas if any(ideas) else None, None, tuple(one.fingerprint for one in sessions),
    )  # fmt: skip
