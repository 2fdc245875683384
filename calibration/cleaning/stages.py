"""The table of fits: how each cleaning stage is fitted, in this order, and summarised in reports.

Each stage is fitted on the output of the live stage before it, among those fitted so far. The mains
stage comes first, so that the path of all other fits settles as long as the live one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from calibration.cleaning import (
    eye,
    heartbeat,
    mains,
    muscle,
    projector,
    regressors,
    repair,
)
from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary, one_line

__all__ = ["FITS", "FitRow"]


def _named(seen: Seen) -> bool:
    return seen.stage in seen.model.recipe.clean.stages


@dataclass(frozen=True, slots=True)
class FitRow:
    """How a cleaning stage is fitted.

    Attributes
    ----------
    fit : callable
        Takes `Seen`, returns `StageFit` or `LeftOut`.
    summary : callable
        Takes the report of a fit, returns its `Summary`.
    line : callable or None
        Takes the report of a fit, returns one line for the terminal; None uses the summary.
    asked : callable
        Takes `Seen`, returns whether the recipe asks for the stage. By default the recipe lists it
        by name; mains and projector have keys instead.
    on_samples : bool
        Whether the fit needs samples; if so, too few good ones leave the stage out.
    """

    fit: Callable[[Seen], StageFit | LeftOut]
    summary: Callable[[dict[str, Any]], Summary]
    line: Callable[[dict[str, Any]], str] | None = None
    asked: Callable[[Seen], bool] = _named
    on_samples: bool = True

    def in_one_line(self, report: dict[str, Any]) -> str:
        """Format the report of a fit as one line for the terminal."""
        return self.line(report) if self.line else one_line(self.summary(report))


FITS: Mapping[str, FitRow] = {
    "mains": FitRow(mains.fit, mains.summary, asked=mains.asked, on_samples=False),
    "projector": FitRow(projector.fit, projector.summary, asked=projector.asked, on_samples=False),
    "muscle": FitRow(muscle.fit, muscle.summary),
    "repair": FitRow(repair.fit, repair.summary, repair.line),
    "eye": FitRow(eye.fit, eye.summary),
    "regressors": FitRow(regressors.fit, regressors.summary, regressors.line),
    "heartbeat": FitRow(heartbeat.fit, heartbeat.summary),
}
