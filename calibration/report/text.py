"""Report scores and cleaning as lines of text; every score beside chance, prior and split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.cleaning.stages import FITS
from calibration.continuous import continuous_line
from calibration.heard import heard_line
from calibration.ideas import idea_lines
from calibration.next_word import language_lines
from calibration.nuisance import nuisance_line
from calibration.null_table import null_lines
from calibration.people_ceiling import ceiling_sentence
from calibration.sets import set_lines
from calibration.splits import split_line
from calibration.unseen import unseen_line
from rt_decoder.counted import counted
from rt_decoder.files.proof import answers_line, anytime_lines
from rt_decoder.model import Model

__all__ = [
    "SCORES",
    "certificate_lines",
    "cleaning_lines",
    "groups_line",
    "is_sure",
    "more_lines",
    "people_lines",
    "permuted_units",
    "score_lines",
    "score_notes",
]

P_SHOWN = 0.05  # what a field takes for shown

SCORES = ("top1", "top5", "top10", "mrr", "rank_accuracy", "two_vs_two")


def _figure(value: float | None) -> str:
    return "  n/a" if value is None else f"{value:.3f}"


def _p_smallest_text(scores: dict[str, Any]) -> str:
    """Say what p the events allow at best, and what was permuted; empty for an older model."""
    if "p_smallest" not in scores:
        return ""
    smallest = scores["p_smallest"]
    short = ", too few to show anything" if smallest > P_SHOWN else ""
    return f" ({permuted_units(scores)} permuted; p of {smallest:.2g} at best{short})"


def permuted_units(scores: Mapping[str, Any]) -> str:
    """Say what was permuted: single labels, or events that hang together."""
    unit = scores.get("null_unit", 1)
    single = str(scores.get("null_of", "single labels"))
    return single if unit == 1 else f"units of {counted(unit, 'event')} or more"


def is_sure(name: str, scores: Mapping[str, Any]) -> bool:
    """Tell a score that cannot but be 1: the ten best of ten items or fewer."""
    return name.startswith("top") and (scores.get(f"chance_{name}") or 0.0) >= 1.0


def _more_events(n: float) -> str:
    """Say how many more events there are."""
    return f"{n:g} more event{'' if n == 1 else 's'}"


def score_lines(scores: dict[str, Any], where: str) -> list[str]:
    """Format scores as a table with columns micro, macro, chance, prior alone."""
    lines = [
        f"{where}: {counted(scores['n'], 'event')}, {counted(scores['n_items'], 'item')}",
        f"  {'':<14}{'micro':>8}{'macro':>8}{'chance':>8}{'prior':>8}",
    ]
    for name in SCORES:
        if name not in scores or is_sure(name, scores):
            continue
        row = (scores[name], scores[f"macro_{name}"], scores[f"chance_{name}"])
        cells = "".join(f"{_figure(value):>8}" for value in (*row, scores[f"prior_{name}"]))
        lines.append(f"  {name:<14}{cells}")
    return lines + [f"  {note}" for note in score_notes(scores)]


def score_notes(scores: dict[str, Any]) -> list[str]:
    """Say what stands beside a table of scores: the null, bits, and events that are not in it."""
    notes = []
    if "p" in scores:
        notes.append(
            f"rank accuracy against permuted labels ({_figure(scores['null_rank_accuracy'])}): "
            f"p = {scores['p']:.2g}{_p_smallest_text(scores)}"
        )
    notes.append(
        f"bits a word beyond the prior {_figure(scores['bits_per_word'])}, "
        f"calibration error {_figure(scores['calibration_error'])}"
    )
    if "sets" in scores:
        notes += set_lines(scores["sets"], scores["n_items"])
    if scores.get("heard"):
        notes.append(heard_line(scores["heard"]))
    if scores.get("n_unseen") and "unseen" in scores:
        notes.append(unseen_line(scores["unseen"], "ranked among unseen items"))
    elif scores.get("n_unseen"):
        notes.append(f"{_more_events(scores['n_unseen'])} not scored: items never seen in training")
    if scores.get("n_dropped"):
        notes.append(
            f"{_more_events(scores['n_dropped'])} not scored: muscle activity, incomplete or of low quality"
        )
    if scores.get("n_outside"):
        notes.append(
            f"{_more_events(scores['n_outside'])} not scored: items outside the vocabulary"
        )
    return notes


def _pooled_lines(scores: dict[str, dict[str, Any]], where: str) -> list[str]:
    """Format scores over repeats of one item, a line for each number of repeats."""
    if not scores.keys() - {"1"}:
        return []
    lines = [f"{where}, evidence pooled over repeats of one item:"]
    for n, of_n in scores.items():
        how = "in a row" if of_n["in_a_row"] else "put together from all events of the item"
        how = "single events" if n == "1" else f"{counted(of_n['n'], 'trial')}, {how}"
        what = "event:  " if n == "1" else "events: "
        lines.append(
            f"  {n:>3} {what}rank accuracy {_figure(of_n['rank_accuracy'])} (chance 0.500), top-1 "
            f"{_figure(of_n['top1'])} (most frequent item {_figure(of_n['chance_top1'])}), "
            f"{_figure(of_n['bits_per_word'])} bits; {how}"
        )
    return lines


def certificate_lines(model: Model) -> list[str]:
    """Format the certificate of a model."""
    certificate = model.certificate
    if not certificate:
        return ["no certificate"]
    if "people" in certificate:
        first, *others = people_lines(certificate)
        where = (
            f"{counted(certificate['people']['n'], 'person', 'people')} left out, mean over people"
        )
        scores = score_lines(certificate["final"], where)
        return [first, *scores, *(f"  {line}" for line in others), *more_lines(model)]
    split = certificate["split"]
    lines = [
        f"split: {split_line(split)}",
        f"  {groups_line(split)}, purged by {split['purge_s']:g} s",
    ]
    if certificate.get("same_vector"):
        told = "; ".join(" = ".join(group) for group in certificate["same_vector"][:8])
        lines.append(f"  items with the same vector, which tie: {told}")
    if split["n_muscle"]:
        lines.append(
            f"  {split['n_muscle']} of the training events contain muscle activity: they train the map and "
            "are not scored"
        )
    n_scored = split["n_train"] - split["n_muscle"]
    inner = certificate["out_of_fold"] | {"n": n_scored, "n_items": len(model.items)}
    lines += score_lines(inner, "held-out groups (penalty and posterior were chosen on them)")
    if "final" in certificate:
        lines += score_lines(certificate["final"], "locked final block")
    else:
        lines.append("no final block was locked: these figures are optimistic")
    if certificate.get("nuisance"):
        lines.append(nuisance_line(certificate["nuisance"]))
    if certificate.get("nulls"):
        lines += null_lines(certificate["nulls"], certificate["final"]["rank_accuracy"])
    lines += idea_lines(certificate.get("ideas", {}))
    lines += more_lines(model)
    for name, where in (("out_of_fold", "held-out groups"), ("final", "locked final block")):
        lines += language_lines(certificate.get("language", {}).get(name, {}), where)
        lines += _pooled_lines(certificate.get("pooled", {}).get(name, {}), where)
    return lines


def groups_line(split: Mapping[str, Any]) -> str:
    """Say what the training events are held out by.

    Parameters
    ----------
    split : mapping
        The certificate's.

    Returns
    -------
    str

    Examples
    --------
    >>> groups_line({"n_groups": 8, "held_out": "10 contiguous blocks a recording"})
    'training events in 8 groups, held out in turn (of 10 contiguous blocks a recording, the locked ones left out)'
    >>> groups_line({"n_groups": 6, "held_out": "run"})
    'training events in 6 groups, held out in turn (column run)'
    """
    n, how = split["n_groups"], split["held_out"]
    told = (
        f"of {how}, the locked ones left out" if " contiguous blocks " in how else f"column {how}"
    )
    return f"training events in {counted(n, 'group')}, held out in turn ({told})"


def more_lines(model: Model) -> list[str]:
    """Say how often a model answers, what it does at every hop, and how it ranks unseen words.

    Parameters
    ----------
    model : Model
        With a certificate.

    Returns
    -------
    list of str
    """
    certificate = model.certificate
    answers = answers_line(model.posterior.threshold, certificate.get("out_of_fold", {}))
    lines = [f"the model {answers}"]
    if "continuous" in certificate:
        lines.append(continuous_line(certificate["continuous"]))
    if certificate.get("anytime"):
        lines += anytime_lines(certificate["anytime"])
    if certificate.get("unseen"):
        lines.append(unseen_line(certificate["unseen"], "a tenth of the items left out at a time"))
    return lines


def people_lines(certificate: Mapping[str, Any]) -> list[str]:
    """Say how a group model was tested, on how many people it works, and what it needs.

    Parameters
    ----------
    certificate : mapping
        Of a group model.

    Returns
    -------
    list of str
    """
    people = certificate["people"]
    worst, best = (pick(one["rank_accuracy"] for one in people["each"]) for pick in (min, max))
    ceiling = [ceiling_sentence(people["ceiling"])] if "ceiling" in people else []
    n, n_models = people["n"], people.get("n_models", people["n"])
    who = counted(n, "person", "people")
    who += f" ({counted(n_models, 'model')})" if n_models > n else ""
    unknown = people.get("n_unknown", 0)
    told = f"each of {counted(unknown, 'model')} without a code of its person counts as a person"
    return [
        f"tested on {who}, {people['method']}",
        *([told] if unknown else []),
        f"{people['above']} of {counted(people['n'], 'person', 'people')} above their null, rank accuracy "
        f"{worst:.3f} to {best:.3f}; signs of people flipped: p = {people['p_people']:.2g}",
        *ceiling,
        "needs of a new person: the same words, task and window",
    ]


def cleaning_lines(found: dict[str, dict[str, Any]]) -> list[str]:
    """Format the report of the cleaning, one line per stage."""
    lines = ["cleaning, held-out figures:"] if found else []
    for stage, report in found.items():
        if "left_out" in report:
            lines.append(f"  {stage:<11} left out: {report['left_out']}")
        else:
            lines.append(f"  {stage:<11} {FITS[stage].in_one_line(report)}")
    return lines
