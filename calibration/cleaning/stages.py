"""The table of fits: how each cleaning stage is fitted, in this order, and what is said of it.

A stage is fitted on what comes out of the live stage before it, of those that are there by then. The
mains come first, so that all others see a path that settles as long as it will live.
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
        Takes `Seen`, gives `StageFit` or `LeftOut`.
    summary : callable
        Takes the report of a fit, gives what was found, is taken out and is kept.
    line : callable or None
        Takes the report of a fit, gives a line for the terminal; None makes it of the summary.
    asked : callable
        Takes `Seen`, tells whether the recipe wants the stage; by its name, unless the recipe has a
        key of its own for it.
    on_samples : bool
        Whether it is fitted on samples: then there must be enough good ones.
    """

    fit: Callable[[Seen], StageFit | LeftOut]
    summary: Callable[[dict[str, Any]], Summary]
    line: Callable[[dict[str, Any]], str] | None = None
    asked: Callable[[Seen], bool] = _named
    on_samples: bool = True

    def in_one_line(self, report: dict[str, Any]) -> str:
        """What the report of a fit says, for a terminal."""
        return self.line(report) if self.line else one_line(self.summary(report))


FITS: Mapping[str, FitRow] = {
    "mains": FitRow(mains.fit, mains.summary, asked=mains.asked, on_samples=False),
    "projector": FitRow(projector.fit, projector.summary, asked=projector.asked, on_samples=False),
    "muscle": FitRow(muscle.fit, muscle.summary, muscle.line),
    "repair": FitRow(repair.fit, repair.summary, repair.line),
    "eye": FitRow(eye.fit, eye.summary, eye.line),
    "regressors": FitRow(regressors.fit, regressors.summary, regressors.line),
    "heartbeat": FitRow(heartbeat.fit, heartbeat.summary, heartbeat.line),
}
