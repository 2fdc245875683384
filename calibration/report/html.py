"""Write the report of a fit or of a test as one HTML file; `SECTIONS` lists what stands in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.report.page import Section, render
from calibration.report.sections import (
    brain,
    chance,
    cleaning,
    continuous,
    curves,
    definitions,
    ideas,
    made_of,
    more,
    recipe,
    repeats,
    scores,
    short,
    time_and_minutes,
    words,
)
from calibration.report.shown import Shown, today
from calibration.report.stretch import Stretch, look
from calibration.report.verdict import verdict
from rt_decoder.counted import counted
from rt_decoder.files.atomic import write_whole
from rt_decoder.model import Model

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["SECTIONS", "report_of", "report_page", "write_report"]

SECTIONS: tuple[Callable[[Shown], Section | None], ...] = (
    short.section,
    scores.section,
    chance.section,
    curves.section,
    words.section,
    repeats.section,
    ideas.section,
    continuous.section,
    time_and_minutes.section,
    brain.section,
    cleaning.section,
    made_of.section,
    recipe.section,
    more.section,
    definitions.section,
)


def write_report(
    path: Path,
    model: Model,
    sessions: Sequence[LabelledRecording],
    *,
    share: float = 1.0,
    scores: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the report, whole or not at all, readable by its owner only.

    Parameters
    ----------
    path : path
    model : Model
        With the report of `calibration.cleaning.chain.fit_cleaning` in ``certificate["cleaning"]``.
    sessions : sequence of LabelledRecording
        The recordings that the model was fitted on, or others that it was tested on.
    share : float
        Share of the samples that the cleaning was fitted on.
    scores : mapping or None
        Of these recordings, as `evaluate.evaluate` gives them in detail; None after a fit.
    overwrite : bool
        Whether a file of this name may be replaced.
    """
    try:
        stretch = look(model, sessions, share)
    except ValueError:  # too short to show: the section says so
        stretch = None
    counts = Counter[str]()
    for one in sessions:
        counts += one.labels(model.items)
    shown = Shown(
        model,
        stretch,
        scores,
        counts,
        [len(one.recording.stamps) / one.recording.info.sfreq / 60 for one in sessions],
        today(),
    )
    write_whole(path, report_of(shown).encode(), overwrite)


def report_page(model: Model, stretch: Stretch | None = None) -> str:
    """Return the page of a model as HTML.

    Parameters
    ----------
    model : Model
    stretch : Stretch or None
        Of a recording, to show what cleaning does to it.

    Returns
    -------
    str
    """
    return report_of(Shown(model, stretch))


def report_of(shown: Shown) -> str:
    """Return the page as HTML; a section that has nothing to show is left out.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    str
    """
    title = "Calibration report" if shown.scores is None else "Test of a model"
    sections = [made for made in (section(shown) for section in SECTIONS) if made is not None]
    return render(title, verdict(shown), sections, _about(shown))


def _about(shown: Shown) -> str:
    """Say whose model, from how much, and when."""
    certificate, model = shown.certificate, shown.model
    codes = [f"{key} {certificate[key]}" for key in ("subject", "session") if certificate.get(key)]
    people = certificate.get("people")
    if not certificate.get("subject"):
        codes = [
            counted(people["n"], "person", "people") if people else "subject not given",
            *codes,
        ]
    told = [*codes, counted(model.n_picks, "channel"), *_recorded(shown)]
    if certificate.get("fitted"):
        told.append(f"fitted {certificate['fitted']}")
    if shown.written:
        told.append(f"report written {shown.written}")
    return " · ".join(told)


def _recorded(shown: Shown) -> list[str]:
    """Say how many recordings the page is of, and how long they are."""
    n = len(shown.minutes or shown.certificate.get("data_hash", ()))
    if not n:
        return []
    told = f"{n} recording{'' if n == 1 else 's'}"
    if not shown.minutes:
        return [f"{told} (a model file does not keep how long)"]
    return [f"{told}, {sum(shown.minutes):.1f} min"]
