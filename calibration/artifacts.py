"""Fit the cleaning chain: each stage on what comes out of the one before it.

The recordings run through the live pipeline up to the stage before; what a stage needs is fitted by
the module of its name (`eye`, `regression`, `heartbeat`, `repair`, `muscle`, `projectors`) and
put into the model, and so on to the last. A stage that cannot be fitted is left out, with the
reason in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.design import CUE
from calibration.eye import EyeSpan, fit_eye
from calibration.heartbeat import fit_heartbeat
from calibration.muscle import fit_muscle
from calibration.projectors import projector_from_info
from calibration.regression import fit_regression
from calibration.repair import fit_repair, no_repair
from rt_decoder.decoder import Decoder, hops_of_recording
from rt_decoder.model import Model
from rt_decoder.signal import CORRECTED, Marker

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["STAGES", "fit_cleaning"]

# each stage that is fitted, and what it is fitted on: the output of the first of these that is there
STAGES: dict[str, tuple[str, ...]] = {
    "muscle": ("decimate", "guard"),
    "repair": ("filter",),
    "eye": ("projector", "reference"),
    "regressors": ("eye", "projector", "reference"),
    "heartbeat": ("regressors", "eye", "projector", "reference"),
}
MAX_BYTES = 1 << 30  # of samples that a stage is fitted on


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Recordings as they leave a stage, one after the other."""

    data: np.ndarray  # (n, c)
    bad: np.ndarray  # (n,) bool
    rows: dict[tuple[int, int], int]  # (recording, absolute index of a hop's first sample) -> row
    markers: list[tuple[int, Marker]]  # recording and marker, index found


def fit_cleaning(
    draft: Model,
    sessions: Sequence[LabelledRecording],
    *,
    share: float = 1.0,
    mne_info: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Model, dict[str, Any]]:
    """Give the model with its cleaning stages, and what was found of each.

    Parameters
    ----------
    draft : Model
        Contract, filters and recipe; ``[clean]`` names the stages.
    sessions : sequence of LabelledRecording
        Recordings; events labelled ``cue/blink``, ``cue/saccade`` and ``cue/rest`` say when the
        person did what.
    share : float
        Fit on this first share of the samples: what a certificate is locked away for is not seen.
    mne_info : path or None
        FIF file whose projections and sensors make the projector.
    say : callable
        Takes a line of progress.

    Returns
    -------
    model : Model
    report : dict
        A plain dict a stage; ``left_out`` says why there is none.
    """
    model, report = draft, {}
    settings = draft.recipe["clean"]
    if settings["line"] == "adaptive":
        model = replace(
            model, cleaning={"line": {"line_freq": draft.recipe["stream"]["line_freq"]}}
        )
    if mne_info is not None and settings["projections"]:
        asked = {kind: kind in settings["projections"] for kind in ("ssp", "sss")}
        projector = projector_from_info(mne_info, draft.info, **asked)
        if projector is not None:
            model = replace(model, cleaning=model.cleaning | {"projector": projector.arguments})
            report["projector"] = projector.report
    for name in (name for name in STAGES if name in settings["stages"]):
        seen = _collect(model, sessions, STAGES[name], share)
        try:
            arguments, report[name] = _FITS[name](seen, model)
        except ValueError as error:  # too short, too few channels: decode without it
            arguments, report[name] = None, {"reason": str(error)}
        why = report[name].get("reason", "")
        if arguments is None:
            report[name] = {"left_out": why}
        else:
            model = replace(model, cleaning=model.cleaning | {name: arguments})
        say(f"{name}: {'left out, ' + why if arguments is None else 'fitted'}")
    return model, report


def _arguments(fit: Any) -> dict[str, Any]:
    """What the stage's constructor takes, of a fit: all but the report."""
    values = {f.name: getattr(fit, f.name) for f in fields(fit) if f.name != "report"}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _fit_muscle(seen: _Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    fit = fit_muscle(seen.data, model.info, seen.bad, model.recipe["stream"]["line_freq"])
    if fit is None:
        return None, {"reason": "too little signal above 20 Hz"}
    return _arguments(fit), fit.report


def _fit_repair(seen: _Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    fit = fit_repair(seen.data, model.info, seen.bad)
    if fit is None:
        return None, {"reason": no_repair(model.info.ch_types)}
    return _arguments(fit), fit.report


def _fit_eye(seen: _Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    cued = _cues(seen, model) or None
    fit = fit_eye(seen.data, model.info, seen.bad, cued=cued)
    return (_arguments(fit) if len(fit.rest_scale) else None), fit.report


def _fit_regressors(seen: _Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    features = model.recipe["features"]
    rows = _onsets(seen, model)
    length = round(max(features["tmax"], 0.1) * model.info.sfreq)
    fit = fit_regression(
        seen.data, model.info, seen.bad, evoked=(rows, length) if len(rows) else None
    )
    if fit is None:
        return None, {"reason": "no reference explains anything of the data"}
    return _arguments(fit), fit.report


def _fit_heartbeat(seen: _Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    fit = fit_heartbeat(seen.data, model.info, seen.bad, _onsets(seen, model))
    return (_arguments(fit) if len(fit.maps) else None), fit.report


_FITS: dict[str, Callable[[_Seen, Model], tuple[dict[str, Any] | None, dict[str, Any]]]] = {
    "muscle": _fit_muscle,
    "repair": _fit_repair,
    "eye": _fit_eye,
    "regressors": _fit_regressors,
    "heartbeat": _fit_heartbeat,
}


def _collect(
    model: Model, sessions: Sequence[LabelledRecording], stages: Sequence[str], share: float
) -> _Seen:
    """Run the recordings through the live path up to the first of `stages` that is there."""
    seconds = sum(len(s.recording.stamps) / s.recording.info.sfreq for s in sessions)
    room = min(MAX_BYTES // (8 * model.info.n_channels), share * seconds * model.info.sfreq)
    data, bad, markers = [], [], []
    rows: dict[tuple[int, int], int] = {}
    n = 0
    for run, session in enumerate(sessions):
        decoder = Decoder(model, session.recording.info, session.rules)
        stage = next(name for name in stages if name in decoder.pipeline.stages)
        n_settle = round(decoder.pipeline.settling * model.info.sfreq)
        settled = -1  # index from which nothing is left of how the filters were primed
        for hop in hops_of_recording(decoder, session.recording, session.markers, stage):
            settled = hop.index + n_settle if settled < 0 else settled
            rows[run, hop.index] = n
            data.append(hop.data.copy())
            early = hop.index + np.arange(len(hop.data)) < settled
            bad.append(((hop.flags & ~np.uint16(CORRECTED)) != 0) | early)
            n += len(hop.data)
            if n > room:
                break
        factor = decoder.pipeline.factor
        markers += [
            (run, marker._replace(index=marker.index // factor))
            for marker in decoder.take_markers()[0]
        ]
        if n > room:
            break
    if n == 0:
        raise ValueError("need recordings of at least one hop to fit the cleaning on, got none")
    return _Seen(np.concatenate(data), np.concatenate(bad), rows, markers)


def _row(seen: _Seen, run: int, marker: Marker, n_hop: int) -> int:
    """Row of a marker's sample; -1 where it is not among them."""
    first = marker.index - marker.index % n_hop
    row = seen.rows.get((run, first), -1)
    return -1 if row < 0 else row + marker.index - first


def _onsets(seen: _Seen, model: Model) -> np.ndarray:
    """Rows of the events that are no cues."""
    rows = [
        _row(seen, run, marker, model.n_hop)
        for run, marker in seen.markers
        if not marker.label.startswith(CUE)
    ]
    return np.array([row for row in rows if row >= 0], np.int64)


def _cues(seen: _Seen, model: Model) -> list[EyeSpan]:
    """Stretches that begin with a cue and last until the next event of the recording, 30 s at most."""
    spans = []
    longest = round(30.0 * model.info.sfreq)
    for (run, marker), after in zip(seen.markers, [*seen.markers[1:], None], strict=True):
        if not marker.label.startswith(CUE):
            continue
        row = _row(seen, run, marker, model.n_hop)
        stop = row + longest
        if after is not None and after[0] == run:
            stop = min(stop, row + after[1].index - marker.index)
        kind = marker.label.removeprefix(CUE)
        if row >= 0 and kind in ("blink", "saccade", "rest"):
            spans.append(EyeSpan(row, min(stop, len(seen.data)), kind))
    return spans
