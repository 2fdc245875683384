"""Fit the cleaning chain: each stage on the output of the live stage before it.

For each row of `stages.FITS`, the recordings run through the live pipeline up to the stage before;
the stage is fitted on its output and added to the model. A stage that cannot be fitted is left out,
with the reason in the report.
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
    """Fit the cleaning stages of a model, and report on each.

    Parameters
    ----------
    draft : Model
        Contract, filters and recipe; section ``[clean]`` of the recipe names the stages.
    sessions : sequence of LabelledRecording
        Events labelled ``cue/blink``, ``cue/saccade`` and ``cue/rest`` mark when the participant
        was told to do what.
    share : float
        Fit only on this first share of the samples, so that events locked away for the certificate
        stay unseen.
    mne_info : path or None
        FIF file that holds the projections and sensors for the projector.
    say : callable
        Called with each line of progress.

    Returns
    -------
    model : Model
        The draft with the stages that were fitted.
    report : dict
        For each stage asked for, a plain dict: the report of its fit, or ``left_out``, the reason
        why it has none.

    Raises
    ------
    ValueError
        If the recordings hold no whole hop.
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
    """Fit the stage of `row` if there are enough good samples."""
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
