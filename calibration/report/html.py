"""Write the report of a calibration as one HTML file: no script, no network, no file names."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as _escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.cleaning.stages import FITS
from calibration.report.figures import Figure, figures
from calibration.report.stretch import Stretch, look
from calibration.report.text import SCORES, more_lines, people_lines, score_notes
from calibration.splits import split_line
from rt_decoder.cleaning.stages import FLOW
from rt_decoder.files.atomic import write_whole
from rt_decoder.files.model_file import model_hash
from rt_decoder.model import Model
from rt_decoder.signal import CORRECTED, Reason
from rt_decoder.sinks.text import plain

if TYPE_CHECKING:
    from calibration.events import LabelledRecording

__all__ = ["report_page", "write_report"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62em; margin: 2em auto; padding: 0 1em }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2em }
table { border-collapse: collapse; margin: .8em 0 }
th, td { text-align: left; padding: .2em .9em .2em 0; border-bottom: 1px solid #ddd; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 1em 0 } figcaption, .note { color: #555; font-size: 90% }
img { max-width: 100% }
"""
_POOLED = ("n", "rank_accuracy", "top1", "chance_top1", "bits_per_word")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def escape(text: str) -> str:
    """Return text as the page shows it: without control characters, with entities."""
    return _escape(plain(text))


def write_report(
    path: Path,
    model: Model,
    sessions: Sequence[LabelledRecording],
    *,
    share: float = 1.0,
    overwrite: bool = False,
) -> None:
    """Write the report, whole or not at all, readable by its owner only.

    Parameters
    ----------
    path : path
    model : Model
        With the report of `calibration.cleaning.chain.fit_cleaning` in ``certificate["cleaning"]``.
    sessions : sequence of LabelledRecording
        The recordings that the model was fitted on, or others of the same session.
    share : float
        Share of the samples that the cleaning was fitted on.
    overwrite : bool
        Whether a file of this name may be replaced.
    """
    page = report_page(model, look(model, sessions, share))
    write_whole(path, page.encode(), overwrite)


def report_page(model: Model, stretch: Stretch) -> str:
    """Return the page as HTML."""
    certificate = model.certificate
    cleaning = certificate.get("cleaning", {})
    made = figures(stretch, cleaning)
    body = [f"<h1>Calibration</h1>{_head(model)}"]
    if model.has_map:
        body.append(f"<h2>How well it decodes words</h2>{_certificate(model)}")
    body.append("<h2>How well it cleans</h2>")
    body.append(_cleaning(cleaning) if cleaning else "<p>No cleaning was asked for.</p>")
    body.append(_stretch(stretch) + _drawn(made, ""))
    for stage, found in cleaning.items():
        body.append(f"<h2>{escape(FLOW[stage].title)}</h2>")
        if "left_out" in found:
            body.append(f"<p>Left out: {escape(found['left_out'])}.</p>")
        else:
            body.append(_drawn(made, stage) + _details(found))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Calibration</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], n_text: int = 1) -> str:
    """Make a table; the first `n_text` columns hold text, the others numbers."""

    def row(cells: Sequence[Any], tag: str) -> str:
        of_class = ["" if k < n_text else ' class="n"' for k in range(len(cells))]
        return "".join(
            f"<{tag}{kind}>{escape(str(cell))}</{tag}>"
            for cell, kind in zip(cells, of_class, strict=True)
        )

    lines = [f"<tr>{row(head, 'th')}</tr>"] if any(head) else []
    lines += [f"<tr>{row(cells, 'td')}</tr>" for cells in rows]
    return f"<table>{''.join(lines)}</table>"


def _head(model: Model) -> str:
    info, certificate = model.info, model.certificate
    rows = [("model", model_hash(model)[:12])]
    rows += [(key, certificate[key]) for key in ("subject", "session") if certificate.get(key)]
    rows += [
        ("channels", f"{model.n_picks}: {', '.join(info.ch_names[: model.n_picks])}"),
        ("references", ", ".join(model.references) or "none"),
        ("rate", f"{info.sfreq:g} Hz, hops of {1e3 * model.n_hop / info.sfreq:g} ms"),
        ("versions", ", ".join(f"{name} {number}" for name, number in model.versions.items())),
    ]
    return _table((), rows, 2)


def _number(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _certificate(model: Model) -> str:
    certificate = model.certificate
    if "people" in certificate:
        return _people(model)
    split = certificate.get("split")
    if not split:
        return "<p>No certificate.</p>"
    parts = [
        f"<p>{escape(split_line(split))}. The map is trained with {split['n_groups']} groups, "
        f"{escape(split['held_out'])}, purged by {split['purge_s']:g} s. {split['n_muscle']} of "
        f"the events that train "
        f"contain muscle activity and are not scored. The vocabulary has {len(model.items)} "
        f"items.</p>"
    ]
    for name, title in (
        ("final", "Locked final block, decoded once by the finished model"),
        ("out_of_fold", "Held-out groups, on which penalty and posterior were chosen"),
    ):
        if name in certificate:
            parts.append(f"<h3>{title}</h3>{_scores(certificate[name])}")
    if "final" not in certificate:
        parts.append("<p>No final block was locked: these figures are optimistic.</p>")
    parts.append(_sentences(more_lines(model)) + _pooled(certificate.get("pooled", {})))
    return "".join(parts)


def _people(model: Model) -> str:
    """Make the part of a group model, which was tested on people left out."""
    people, final = model.certificate["people"], model.certificate["final"]
    keys = ("n_events", "n", "rank_accuracy", "bits_per_word", "p")
    head = ("person", "events", "scored trials", "rank accuracy", "bits a word", "p")
    rows = [
        (str(number), *(_number(one[key]) for key in keys))
        for number, one in enumerate(people["each"], 1)
    ]
    return (
        f"{_sentences(people_lines(model.certificate))}<h3>Mean over people left out</h3>"
        f"{_scores(final)}<h3>Each person</h3>{_table(head, rows)}{_sentences(more_lines(model))}"
    )


def _sentences(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _pooled(pooled: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Make a table of evidence over repeats of one item; empty if none was pooled."""
    rows = [
        (where, n, *(_number(of_n[key]) for key in _POOLED), "yes" if of_n["in_a_row"] else "no")
        for name, where in (("out_of_fold", "held-out groups"), ("final", "locked final block"))
        for n, of_n in pooled.get(name, {}).items()
    ]
    if all(n == "1" for _, n, *_ in rows):
        return ""
    head = ("", "repeats", "trials", "rank accuracy", "top-1", "chance top-1", "bits", "in a row")
    note = "Repeats that did not come in a row are put together from all events of the item."
    return (
        f"<h3>Evidence pooled over repeats of one item</h3>{_table(head, rows)}"
        f'<p class="note">{note}</p>'
    )


def _scores(scores: dict[str, Any]) -> str:
    rows = [
        (
            name.replace("_", " "),
            *(_number(scores.get(f"{of}{name}")) for of in ("", "macro_", "chance_", "prior_")),
        )
        for name in SCORES
        if name in scores
    ]
    head = ("", "micro", "macro", "chance", "prior alone")
    return _table(head, rows) + "".join(
        f'<p class="note">{escape(note)}</p>' for note in score_notes(scores)
    )


def _cleaning(cleaning: dict[str, Any]) -> str:
    """Make a table with one row per stage: what was found, taken out and kept."""
    rows = []
    for stage, found in cleaning.items():
        title = FLOW[stage].title
        if "left_out" in found:
            rows.append((title, f"left out: {found['left_out']}", "", ""))
        else:
            rows.append((title, *FITS[stage].summary(found)))
    head = ("", "found", "taken out (held-out part)", "kept (held-out part)")
    return _table(head, rows, 4)


def _stretch(stretch: Stretch) -> str:
    seen = "was fitted on" if stretch.seen else "was not fitted on"
    shares = [
        f"{(stretch.flags & reason != 0).mean():.1%} {str(reason.name).lower()}"
        for reason in Reason
        if reason & CORRECTED
    ]
    seconds = len(stretch.flags) / stretch.info.sfreq
    return (
        f"<p>The pictures show {seconds:.0f} s of recording that the cleaning {seen}: before and "
        f"after cleaning, both filtered and re-referenced. {stretch.bad.mean():.1%} of the samples "
        f"are bad; corrected: {', '.join(shares)}.</p>"
    )


def _drawn(made: Sequence[Figure], stage: str) -> str:
    return "".join(
        f'<figure><img alt="{escape(one.title)}" src="data:image/png;base64,{one.png}">'
        f"<figcaption>{escape(one.title)}</figcaption></figure>"
        for one in made
        if one.stage == stage
    )


def _details(found: dict[str, Any]) -> str:
    """List all values of a stage's report, nested ones by their path."""
    rows: list[tuple[str, str]] = []

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name} {key}".strip())
        elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
            for number, inner in enumerate(value, 1):
                walk(inner, f"{name} {number}")
        elif isinstance(value, list):
            rows.append((name, ", ".join(map(_number, value)) or "none"))
        else:
            rows.append((name, _number(value)))

    walk(found, "")
    return f"<details><summary>All values</summary>{_table((), rows, 2)}</details>"
