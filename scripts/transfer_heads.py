"""Judge `realign` on simulated heads of 64 and 32 channels, for `eval_transfer.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from calibration.realign import realign
from scripts.transfer_head import AXIS, SAME, Head, Visit, rank

CHANNELS = (64, 32)
AXES = (AXIS, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
CZ = 1  # number of the electrode; calibration had the average
TURNS = (8.0, 14.0)


def judge_head(seed: int, channels: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each visit: what it lost, and what `realign` won back."""
    head = Head(seed, channels)
    model, within = head.calibrated()
    stream = replace(model.recipe.stream, reference="none")  # as the amplifier has it
    free = replace(model, recipe=replace(model.recipe, stream=stream))
    same = rank(model, *head.windows(960, 2))
    for kind, visit in visits(seed):
        X, truth = head.windows(960, 2, visit)
        lost = rank(model, X, truth)
        rest, _ = head.windows(240, 3, visit, rest=True)
        aligned, facts = realign(model if visit.reference is None else free, rest, within)
        won = rank(aligned, X, truth)
        yield {
            "channels": channels, "seed": seed, "kind": kind, "turn": visit.turn,
            "found_deg": facts["angle_deg"], "method": facts["method"],
            "same": same, "lost": same - lost, "won": won - lost,
        }  # fmt: skip


def visits(seed: int) -> list[tuple[str, Visit]]:
    """Two turns of the cap, one with gains, and gains alone; axes go in turn over heads."""
    axes = [AXES[(seed + i) % len(AXES)] for i in range(len(TURNS))]
    turned = [("turn", Visit(turn, axis)) for turn, axis in zip(TURNS, axes, strict=True)]
    return [
        *turned,
        ("turn and gains", turned[-1][1]._replace(gains=0.4)),
        ("gains", Visit(gains=0.7)),
        ("reference", Visit(reference=CZ)),
        ("nothing", SAME),
    ]


def summarise_heads(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Share won back of what was lost, for each number of channels and kind of visit."""
    found = []
    for channels in CHANNELS:
        for kind in dict.fromkeys(row["kind"] for row in rows):
            chosen = [row for row in rows if (row["channels"], row["kind"]) == (channels, kind)]
            if not chosen:
                continue
            lost, won = (np.array([row[key] for row in chosen]) for key in ("lost", "won"))
            known = lost > 0.005  # below, a share is noise
            found.append({
                "channels": channels, "kind": kind, "n": len(chosen),
                "lost": float(lost.mean()), "won": float(won.mean()),
                "pooled": float(won.sum() / lost.sum()) if known.any() else None,
                "share": interval(won[known] / lost[known]) if known.sum() > 1 else None,
                "found_deg": float(np.mean([row["found_deg"] for row in chosen])),
            })  # fmt: skip
    return found


def interval(values: np.ndarray) -> list[float]:
    """Mean, and its 95 % interval by Student's t."""
    mean, n = float(np.mean(values)), len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return [mean, mean - half, mean + half]
