"""Fit the cleaning chain: each stage on what comes out of the one before it.

The recordings run through the live pipeline up to the stage before; what a stage needs is fitted by
the module of its name (`eye`, `regression`, `heartbeat`, `repair`, `muscle`, `projectors`) and
put into the model, and so on to the last. A stage that cannot be fitted is left out, with the
reason in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.cleaning.eye import fit_eye
from calibration.cleaning.heartbeat import fit_heartbeat
from calibration.cleaning.mains import mains_report, spectrum
from calibration.cleaning.muscle import fit_muscle
from calibration.cleaning.projector import projector_from_info
from calibration.cleaning.regressors import fit_regressors
from calibration.cleaning.repair import fit_repair, no_repair
from calibration.cleaning.seen import Seen, TooLittle, collect, cues, onsets
from rt_decoder.model import Model

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["STAGES", "fit_cleaning"]

LEAST_S = 10.0  # of good samples, to fit a stage on
# each stage that is fitted, and what it is fitted on: the output of the first of these that is there
STAGES: dict[str, tuple[str, ...]] = {
    "muscle": ("decimate", "guard"),
    "repair": ("filter",),
    "eye": ("projector", "rereference"),
    "regressors": ("eye", "projector", "rereference"),
    "heartbeat": ("regressors", "eye", "projector", "rereference"),
}


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
    if settings["mains"] == "adaptive" and draft.recipe["stream"]["line_freq"]:
        model = replace(model, cleaning={"mains": _mains(draft)})
        report["mains"] = _told_of_mains(model, sessions, share)
    if mne_info is not None and settings["projections"]:
        asked = {kind: kind in settings["projections"] for kind in ("ssp", "sss")}
        projector = projector_from_info(mne_info, draft.info, **asked)
        if projector is not None:
            model = replace(model, cleaning=model.cleaning | {"projector": projector.arguments})
            report["projector"] = projector.report
    for name in (name for name in STAGES if name in settings["stages"]):
        seen = collect(model, sessions, STAGES[name], share)
        seconds = float((~seen.bad).sum()) / model.info.sfreq
        try:
            if seconds < LEAST_S:
                raise TooLittle(f"need {LEAST_S:g} s of good samples, got {seconds:.1f} s")
            arguments, report[name] = _FITS[name](seen, model)
        except TooLittle as error:
            arguments, report[name] = None, {"reason": str(error)}
        why = report[name].get("reason", "")
        if arguments is None:
            report[name] = {"left_out": why}
        else:
            report[name]["fitted_on_s"] = round(len(seen.data) / model.info.sfreq, 1)
            model = replace(model, cleaning=model.cleaning | {name: arguments})
        say(f"{name}: {'left out, ' + why if arguments is None else 'fitted'}")
    return model, report


def _mains(draft: Model) -> dict[str, Any]:
    """Mains and the multiples that the band-pass would let through, as the notches would be."""
    line, h_freq = draft.recipe["stream"]["line_freq"], draft.recipe["filter"]["h_freq"]
    edge = min(2 * h_freq if h_freq else math.inf, 0.45 * draft.info.sfreq)
    return {"line_freq": line, "harmonics": max(1, math.ceil(edge / line) - 1)}


def _told_of_mains(
    model: Model, sessions: Sequence[LabelledRecording], share: float
) -> dict[str, Any]:
    """Frequencies that are cancelled, and what that does to channels of the first type."""
    told = dict(model.cleaning["mains"])
    freqs = [told["line_freq"] * (k + 1) for k in range(told["harmonics"])]
    columns = np.flatnonzero(
        np.array(model.info.ch_types[: model.n_picks]) == model.info.ch_types[0]
    )
    spectra = []
    for stages in (("decimate", "guard"), ("mains",)):
        seen = collect(model, sessions, stages, share)
        power = spectrum(seen.data[:, columns], seen.bad, model.info.sfreq)
        if power is None:
            return told
        spectra.append(power)
    return told | mains_report(spectra[0], spectra[1], freqs)


def _arguments(fit: Any) -> dict[str, Any]:
    """What the stage's constructor takes, of a fit: all but the report."""
    values = {f.name: getattr(fit, f.name) for f in fields(fit) if f.name != "report"}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _fit_muscle(seen: Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    fit = fit_muscle(seen.data, model.info, seen.bad, model.recipe["stream"]["line_freq"])
    if fit is None:
        return None, {"reason": "too little signal above 20 Hz"}
    return _arguments(fit), fit.report


def _fit_repair(seen: Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    fit = fit_repair(seen.data, model.info, seen.bad)
    if fit is None:
        return None, {"reason": no_repair(model.info.ch_types)}
    return _arguments(fit), fit.report


def _fit_eye(seen: Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    cued = cues(seen, model) or None
    fit = fit_eye(seen.data, model.info, seen.bad, cued=cued)
    return (_arguments(fit) if len(fit.rest_scale) else None), fit.report


def _fit_regressors(seen: Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    features = model.recipe["features"]
    rows = onsets(seen, model)
    length = round(max(features["tmax"], 0.1) * model.info.sfreq)
    fit = fit_regressors(
        seen.data, model.info, seen.bad, evoked=(rows, length) if len(rows) else None
    )
    if fit is None:
        return None, {"reason": "no reference explains anything of the data"}
    return _arguments(fit), fit.report


def _fit_heartbeat(seen: Seen, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    fit = fit_heartbeat(seen.data, model.info, seen.bad, onsets(seen, model))
    return (_arguments(fit) if len(fit.maps) else None), fit.report


_FITS: dict[str, Callable[[Seen, Model], tuple[dict[str, Any] | None, dict[str, Any]]]] = {
    "muscle": _fit_muscle,
    "repair": _fit_repair,
    "eye": _fit_eye,
    "regressors": _fit_regressors,
    "heartbeat": _fit_heartbeat,
}
