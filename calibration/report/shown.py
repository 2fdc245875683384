"""Everything that a report shows, in one value that every section takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from calibration.report.stretch import Stretch
from rt_decoder.cleaning.stages import FLOW
from rt_decoder.model import Model

__all__ = [
    "Shown",
    "in_flow_order",
    "interval_text",
    "listed",
    "number",
    "p_text",
    "percent",
    "score_text",
    "today",
]


@dataclass(frozen=True, eq=False)
class Shown:
    """What a report is about.

    Attributes
    ----------
    model : Model
    stretch : Stretch or None
        Of a recording; None if there is none to show.
    scores : mapping or None
        Of recordings that the model has not seen, as `evaluate.evaluate` gives them; None if the
        report is of the fit.
    counts : mapping of str to int
        How often each item came in the recordings; empty if unknown.
    minutes : sequence of float
        Length of each recording.
    written : str
        Date of the report.
    """

    model: Model
    stretch: Stretch | None = None
    scores: Mapping[str, Any] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    minutes: Sequence[float] = ()
    written: str = ""

    @property
    def certificate(self) -> Mapping[str, Any]:
        """Certificate of the model."""
        return self.model.certificate

    @property
    def noun(self) -> str:
        """What an item is called: "word", or "item" for images, sounds and sentences."""
        items, target = self.model.items, self.model.recipe.target
        longer = sum(" " in item.strip() for item in items)
        return "item" if target.stimuli or 2 * longer > len(items) else "word"

    @property
    def best(self) -> tuple[Mapping[str, Any], str]:
        """Most honest scores that there are, and where they come from; empty if there are none."""
        if self.scores is not None:
            return self.scores, "of the recordings that it was tested on"
        if "people" in self.certificate and "final" in self.certificate:
            return self.certificate["final"], "of people left out"
        if "final" in self.certificate:
            return self.certificate["final"], "of the locked final block"
        if "out_of_fold" in self.certificate:
            return self.certificate["out_of_fold"], "of held-out groups"
        return {}, ""

    @property
    def claim(self) -> Mapping[str, Any]:
        """The same scores as they prove something: among the items that are heard, if not all are."""
        scores, _ = self.best
        heard = scores.get("heard")
        if not isinstance(heard, Mapping) or not heard:
            return scores
        return {**scores, **heard, "detail": {"intervals": heard.get("intervals") or {}}}

    @property
    def among(self) -> str:
        """What these choose among, such as "191" or "the 20 that are heard, of 363"."""
        n_all = self.best[0].get("n_items", len(self.model.items))
        n = self.claim.get("n_items", n_all)
        return f"{n}" if n == n_all else f"the {n} that are heard, of {n_all}"

    @property
    def detail(self) -> Mapping[str, Any]:
        """Curves and tables of the most honest scores; empty for older models."""
        return self.best[0].get("detail") or {}


def number(value: Any, digits: int = 4) -> str:
    """Return a number as a table shows it, "n/a" for None, to so many digits."""
    if value is None:
        return "n/a"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def interval_text(interval: Sequence[float] | None) -> str:
    """Return an interval as a table shows it; empty for None.

    Parameters
    ----------
    interval : sequence of float or None
        Lower and upper end.

    Returns
    -------
    str

    Examples
    --------
    >>> interval_text([0.51234, 0.6])
    '0.512 to 0.600'
    """
    if not interval:
        return ""
    low, high = (round(float(end), 3) + 0.0 for end in interval)  # no -0.000
    return f"{low:.3f} to {high:.3f}"


def listed(parts: Sequence[str]) -> str:
    """Join parts of a sentence.

    Parameters
    ----------
    parts : sequence of str

    Returns
    -------
    str

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage.

    Parameters
    ----------
    share : float
    digits : int
        After the point.

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.94512)
    '94.5 %'
    """
    return f"{100 * share:.{digits}f} %"


def score_text(value: float | None) -> str:
    """Return a score as a table shows it, to three decimals; "n/a" for None.

    Parameters
    ----------
    value : float or None

    Returns
    -------
    str

    Examples
    --------
    >>> score_text(0.5), score_text(0.00049), score_text(None)
    ('0.500', '0.00049', 'n/a')
    """
    if value is None:
        return "n/a"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.0095 else f"{value:.2g}"


def p_text(value: float | None) -> str:
    """Return a p to two digits; "n/a" for None.

    Parameters
    ----------
    value : float or None

    Returns
    -------
    str

    Examples
    --------
    >>> p_text(0.0066225)
    '0.0066'
    """
    return "n/a" if value is None else f"{value:.2g}"


def today() -> str:
    """Return the date on this machine, as "2026-01-31"."""
    return datetime.now().astimezone().date().isoformat()


def in_flow_order(stages: Mapping[str, Any]) -> dict[str, Any]:
    """Sort what is known of cleaning stages as data pass them; a model file sorts them by name."""
    order = {name: place for place, name in enumerate(FLOW)}
    return dict(sorted(stages.items(), key=lambda one: order.get(one[0], len(order))))
