"""What a model can do, in lines of text: every score beside chance, prior and split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from calibration.report.stages import stage_summary
from rt_decoder.model import Model

__all__ = ["SCORES", "certificate_lines", "cleaning_lines", "score_lines"]

SCORES = ("top1", "top5", "top10", "mrr", "rank_accuracy", "two_vs_two")


def _figure(value: float | None) -> str:
    return "  n/a" if value is None else f"{value:.3f}"


def score_lines(scores: dict[str, Any], where: str) -> list[str]:
    """Scores as a table: micro, macro, chance, prior alone."""
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
    if split["n_muscle"]:
        lines.append(
            f"  {split['n_muscle']} of them hold muscle: they train the map, and are not scored"
        )
    n_scored = split["n_train"] - split["n_muscle"]
    inner = certificate["out_of_fold"] | {"n": n_scored, "n_items": len(model.items)}
    lines += score_lines(inner, "held-out groups (penalty and posterior were chosen on them)")
    if "final" in certificate:
        lines += score_lines(certificate["final"], "locked final block")
    else:
        lines.append("no final block was locked: these figures are optimistic")
    return lines


def cleaning_lines(found: dict[str, dict[str, Any]]) -> list[str]:
    """What was fitted to clean, stage by stage, with the figures of the held-out part."""
    lines = ["cleaning, held-out figures:"] if found else []
    for stage, report in found.items():
        if "left_out" in report:
            lines.append(f"  {stage:<11} left out: {report['left_out'] or 'no reason given'}")
        else:
            lines.append(f"  {stage:<11} {_STAGES[stage](report)}")
    return lines


def _plain(report: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in report.items() if _is_plain(value))


def _muscle(report: dict[str, Any]) -> str:
    held_out = report.get("held_out", {})
    shares = [f"{held_out[what]:.1%} {what}" for what in ("muscle", "movement") if what in held_out]
    return _plain(report) + (f"; flagged: {', '.join(shares)}" if shares else "")


def _repair(report: dict[str, Any]) -> str:
    explained = [channel["explained"] for channel in report["channels"].values()]
    bad = ", ".join(f"{name} ({why})" for name, why in report["bad"].items())
    middle = sorted(explained)[len(explained) // 2] if explained else None
    return f"{len(explained)} channels, median variance predicted {_figure(middle)}" + (
        f"; bad in calibration: {bad}" if bad else ""
    )


def _eye(report: dict[str, Any]) -> str:
    held_out = report["held_out"][report["rank"] - 1]
    return (
        f"rank {report['rank']} ({report['rule']}; ratios {report['ratios']}, null "
        f"{report['null']}), {report['n_blinks']} blinks and {report['n_saccades']} saccades by "
        f"{report['way']}; " + ", ".join(f"{k} {v}" for k, v in held_out.items() if k != "rank")
    )


def _regressors(report: dict[str, Any]) -> str:
    parts = []
    for name, found in report["references"].items():
        if not found["kept"]:
            parts.append(f"{name} explains nothing")
            continue
        lag = f" at {found['lag_ms']:.0f} ms" if found.get("lag_ms") is not None else ""
        parts.append(f"{name}{lag} attenuated by {found['attenuation_db']:.1f} dB")
    return "; ".join(parts) + f"; injected response kept {report['injected_gain']:.3f}"


def _summary(stage: str, report: dict[str, Any]) -> str:
    parts = zip(("", "taken out: ", "kept: "), stage_summary(stage, report), strict=True)
    return "; ".join(label + part for label, part in parts if part)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


_STAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "mains": partial(_summary, "mains"),
    "projector": partial(_summary, "projector"),
    "muscle": _muscle,
    "repair": _repair,
    "eye": _eye,
    "regressors": _regressors,
    "heartbeat": _plain,
}
