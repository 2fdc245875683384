"""The events table that a presentation leaves, and what it says of timing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from rt_decoder.present.show import Shown

__all__ = ["COLUMNS", "events_table", "lines", "summary"]

COLUMNS = (
    "onset", "duration", "trial_type", "word", "block", "late_ms", "response", "correct", "lsl_time",
)  # fmt: skip
_FRAME_MS = 16.7


def events_table(shown: Sequence[Shown]) -> str:
    """Write what was shown as a BIDS events table.

    Parameters
    ----------
    shown : sequence of Shown

    Returns
    -------
    str
        Tab-separated. ``onset`` counts from the first step with a marker, in s; ``lsl_time`` is on the
        clock of the markers, by which a recording of the stream finds them.
    """
    marked = [one for one in shown if one.step.label]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in marked:
        step, answer = one.step, one.step.answer
        writer.writerow((
            f"{one.time - marked[0].time:.6f}",
            f"{one.duration:.6f}",
            step.label if step.kind == "cue" else step.kind,
            step.label if step.kind == "word" else "n/a",
            step.block,
            f"{1e3 * one.late:.3f}",
            one.key if answer else "n/a",
            int(one.key == answer) if answer else "n/a",
            f"{one.time:.6f}",
        ))  # fmt: skip
    return text.getvalue()


def summary(shown: Sequence[Shown]) -> dict[str, Any]:
    """Count words and answers, and say how late words were.

    Parameters
    ----------
    shown : sequence of Shown

    Returns
    -------
    dict
        ``n_words``, ``n_asked``, ``n_right``, ``n_late`` (words more than a frame late) and
        ``late_ms`` (p50, p95, max; None without words).
    """
    words = [one for one in shown if one.step.kind == "word"]
    asked = [one for one in shown if one.step.answer]
    late = 1e3 * np.array([one.late for one in words])
    figures: dict[str, Any] = {
        "n_words": len(words),
        "n_asked": len(asked),
        "n_right": sum(one.key == one.step.answer for one in asked),
        "n_late": int((late > _FRAME_MS).sum()),
        "late_ms": None,
    }
    if len(words):
        p50, p95 = (float(np.percentile(late, p)) for p in (50, 95))
        figures["late_ms"] = {"p50": p50, "p95": p95, "max": float(late.max())}
    return figures


def lines(figures: dict[str, Any]) -> list[str]:
    """Say a `summary` in words."""
    late = figures["late_ms"]
    told = [f"{figures['n_words']} words shown"]
    if late is not None:
        told.append(
            f"late: {late['p50']:.1f} ms (p50), {late['p95']:.1f} (p95), {late['max']:.1f} at most; "
            f"{figures['n_late']} words by more than a frame"
        )
    if figures["n_asked"]:
        told.append(f"questions: {figures['n_right']} of {figures['n_asked']} answered rightly")
    return told
