"""How well it cleans: a table of all stages, and what each did to a stretch of recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.cleaning.stages import FITS
from calibration.report.cleaned import why_left
from calibration.report.figures import Figure, figures
from calibration.report.page import Fold, Heading, Note, Part, Picture, Section, Table, Text
from calibration.report.shown import Shown, in_flow_order, percent
from calibration.report.stretch import Stretch
from calibration.report.values import values_table
from rt_decoder.cleaning.stages import FLOW
from rt_decoder.signal import CORRECTED, Reason

__all__ = ["section"]

_NO_STRETCH = "No pictures: what is left of the recording once the filters settled is too short."
_NO_RECORDING = "No pictures: this page was made from the model file alone, which holds no signal."


def section(shown: Shown) -> Section:
    """Tell what was found, taken out and kept."""
    cleaning = in_flow_order(shown.certificate.get("cleaning", {}))
    parts: list[Part] = (
        [_table(shown, cleaning)] if cleaning else [Text("No cleaning was asked for.")]
    )
    made: Sequence[Figure] = ()
    if shown.stretch is None:
        parts.append(Note(_NO_STRETCH if shown.minutes else _NO_RECORDING))
    else:
        made = figures(shown.stretch, cleaning)
        parts.append(Text(_stretch(shown.stretch)))
    parts += _pictures(made, "")
    for stage, found in cleaning.items():
        parts.append(Heading(FLOW[stage].title if stage in FLOW else stage))
        if "left_out" in found:
            parts.append(Text(f"Left out: {why_left(shown, found)}."))
        else:
            few = [Note("No picture: the stretch shows too little of it.")] if made else []
            parts += _pictures(made, stage) or few
            parts.append(Fold("All values", [values_table(found)]))
    return Section("How well it cleans", parts)


def _pictures(made: Sequence[Figure], stage: str) -> list[Part]:
    return [Picture(one.svg, one.title) for one in made if one.stage == stage]


def _table(shown: Shown, cleaning: Mapping[str, Any]) -> Table:
    """Make a table with one row per stage: what was found, taken out and kept."""
    rows = []
    for stage, found in cleaning.items():
        title = FLOW[stage].title if stage in FLOW else stage
        if "left_out" in found:
            rows.append((title, f"left out: {why_left(shown, found)}", "", ""))
        elif stage in FITS:
            rows.append((title, *FITS[stage].summary(found)))
    head = ("", "found", "taken out (held-out part)", "kept (held-out part)")
    return Table(head, rows, 4)


def _stretch(stretch: Stretch) -> str:
    seen = "was fitted on" if stretch.seen else "was not fitted on"
    shares = [
        f"{str(reason.name).lower()} {percent(share)}"
        for reason in Reason
        if reason & CORRECTED and (share := float((stretch.flags & reason != 0).mean()))
    ]
    seconds = len(stretch.flags) / stretch.info.sfreq
    changed = (
        f" Share of the samples that a stage was changing: {', '.join(shares)}." if shares else ""
    )
    return (
        f"The pictures show {seconds:.0f} s of recording that the cleaning {seen}: before (orange) "
        f"and after (blue) cleaning, both filtered and re-referenced. {percent(stretch.bad.mean())} of "
        f"the samples are flagged as bad, such as muscle activity.{changed}"
    )
