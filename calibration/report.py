"""What a model can do, in lines of text: every score beside chance, prior and split."""

from __future__ import annotations

from typing import Any

from rt_decoder.model import Model

__all__ = ["certificate_lines", "score_lines"]


def _figure(value: float | None) -> str:
    return "  n/a" if value is None else f"{value:.3f}"


def score_lines(scores: dict[str, Any], where: str) -> list[str]:
    """Scores as a table: micro, macro, chance, prior alone."""
    lines = [
        f"{where}: {scores['n']} events, {scores['n_items']} items",
        f"  {'':<14}{'micro':>8}{'macro':>8}{'chance':>8}{'prior':>8}",
    ]
    for name in ("top1", "top5", "top10", "mrr", "rank_accuracy", "two_vs_two"):
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
    """Certificate of a model as text."""
    certificate = model.certificate
    if not certificate:
        return ["no certificate"]
    split = certificate["split"]
    lines = [
        f"split: {split['n_train']} events train ({split['n_groups']} groups, {split['held_out']}, "
        f"purged by {split['purge_s']:g} s), {split['n_final']} locked, "
        f"{split['n_dropped']} dropped"
    ]
    inner = certificate["out_of_fold"] | {"n": split["n_train"], "n_items": len(model.items)}
    lines += score_lines(inner, "held-out groups (penalty and posterior were chosen on them)")
    if "final" in certificate:
        lines += score_lines(certificate["final"], "locked final block")
    else:
        lines.append("no final block was locked: these figures are optimistic")
    return lines
