"""Fit the cleaning chain: each stage on what comes out of the one before it.

The recordings run through the live pipeline up to the stage before; what the stage needs is fitted
and put into the model, and so on to the last of `stages.FITS`. A stage that cannot be fitted is
left out, with the reason in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.stages import FITS, FitRow
from rt_decoder.model import Model

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["fit_cleaning"]

LEAST_S = 10.0  # of good samples, to fit a stage on


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
    for name, row in FITS.items():
        seen = Seen(model, sessions, name, share, mne_info)
        if not row.asked(seen):
            continue
        fit = _fit(row, seen)
        if isinstance(fit, LeftOut):
            report[name] = {"left_out": fit.reason}
            say(f"{name}: left out, {fit.reason}")
        else:
            report[name] = fit.report
            model = replace(model, cleaning={**model.cleaning, name: fit.arguments})
            say(f"{name}: fitted")
    return model, report


def _fit(row: FitRow, seen: Seen) -> StageFit | LeftOut:
    """The row's own answer, where there are enough samples to fit it on."""
    if not row.on_samples:
        return row.fit(seen)
    sfreq, bad = seen.model.info.sfreq, seen.samples.bad
    seconds = float((~bad).sum()) / sfreq
    if seconds < LEAST_S:
        return LeftOut(f"need {LEAST_S:g} s of good samples, got {seconds:.1f} s")
    fit = row.fit(seen)
    if isinstance(fit, LeftOut):
        return fit
    return StageFit(fit.arguments, fit.report | {"fitted_on_s": round(len(bad) / sfreq, 1)})
