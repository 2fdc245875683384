"""Report scores and cleaning as lines of text; every score beside chance, prior and split."""

from __future__ import annotations

from typing import Any

from calibration.cleaning.stages import FITS
from calibration.splits import split_line
from rt_decoder.model import Model, answers_line

__all__ = ["SCORES", "certificate_lines", "cleaning_lines", "score_lines"]

SCORES = ("top1", "top5", "top10", "mrr", "rank_accuracy", "two_vs_two")


def _figure(value: float | None) -> str:
    return "  n/a" if value is None else f"{value:.3f}"


def score_lines(scores: dict[str, Any], where: str) -> list[str]:
    """Format scores as a table with columns micro, macro, chance, prior alone."""
    lines = [
        f"{where}: {scores['n']} events, {scores['n_items']} items",
        f"  {'':<14}{'micro':>8}{'macro':>8}{'chance':>8}{'prior':>8}",
    ]
    for name in SCORES:
        if name not in scores:
            continue
        row = (scores[name], scores[f"macro_{name}"], scores[f"chance_{name}"])
        cells = "".join(f"{_figure(value):>8}" for value in (*row, scores[f"prior_{name}"]))
        lines.append(f"  {name:<14}{cells}")
    if "p" in scores:
        lines.append(
            f"  rank accuracy against permuted labels ({_figure(scores['null_rank_accuracy'])}): "
            f"p = {scores['p']:.2g}"
        )
    lines.append(
        f"  bits a word beyond the prior {_figure(scores['bits_per_word'])}, "
        f"calibration error {_figure(scores['calibration_error'])}"
    )
    if scores.get("n_outside"):
        lines.append(f"  {scores['n_outside']} events had items outside the vocabulary")
    return lines


def certificate_lines(model: Model) -> list[str]:
    """Format the certificate of a model."""
    certificate = model.certificate
    if not certificate:
        return ["no certificate"]
    split = certificate["split"]
    lines = [
        f"split: {split_line(split)}",
        f"  train the map: {split['n_groups']} groups, {split['held_out']}, purged by "
        f"{split['purge_s']:g} s",
    ]
    if certificate.get("same_vector"):
        told = "; ".join(" = ".join(group) for group in certificate["same_vector"][:8])
        lines.append(f"  items with the same vector, which tie: {told}")
    if split["n_muscle"]:
        lines.append(
            f"  {split['n_muscle']} of the training events contain muscle activity: they train the map, but are "
            "not scored"
        )
    n_scored = split["n_train"] - split["n_muscle"]
    inner = certificate["out_of_fold"] | {"n": n_scored, "n_items": len(model.items)}
    lines += score_lines(inner, "held-out groups (penalty and posterior were chosen on them)")
    lines.append(f"  {answers_line(model.posterior.threshold, inner)}")
    if "final" in certificate:
        lines += score_lines(certificate["final"], "locked final block")
    else:
        lines.append("no final block was locked: these figures are optimistic")
    return lines


def cleaning_lines(found: dict[str, dict[str, Any]]) -> list[str]:
    """Format the report of the cleaning, one line per stage."""
    lines = ["cleaning, held-out figures:"] if found else []
    for stage, report in found.items():
        if "left_out" in report:
            lines.append(f"  {stage:<11} left out: {report['left_out']}")
        else:
            lines.append(f"  {stage:<11} {FITS[stage].in_one_line(report)}")
    return lines
