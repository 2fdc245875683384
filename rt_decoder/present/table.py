"""The events table that a presentation leaves, and what it says of timing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from rt_decoder.counted import counted
from rt_decoder.present.show import Frames, Shown

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
            one.key if is_answered(one) else "n/a",
            int(one.key == answer) if is_answered(one) else "n/a",
            f"{one.time:.6f}",
        ))  # fmt: skip
    return text.getvalue()


def is_answered(one: Shown) -> bool:
    """Whether it is a question that was answered, and not ended."""
    return bool(one.step.answer) and one.key in ("y", "n")


def summary(
    shown: Sequence[Shown], frames: Frames | None = None, clock_error: float = 0.0
) -> dict[str, Any]:
    """Count words and answers, and say how late words were.

    Parameters
    ----------
    shown : sequence of Shown
    frames : Frames or None
        What the screen saw of its frames, where it has any.
    clock_error : float
        Most by which times can be wrong as the screen's clock is another one, in s.

    Returns
    -------
    dict
        ``n_words``, ``n_asked`` (and answered), ``n_right``, ``n_late`` (words more than a frame late), ``late_ms``
        and ``duration_ms`` of words (p50, p95, min, max; None without words); with frames also
        ``frames`` (``hz``, ``n``, ``dropped``, ``longest_ms``) and ``clock_error_ms``.
    """
    words = [one for one in shown if one.step.kind == "word"]
    asked = [one for one in shown if is_answered(one)]
    late = [1e3 * one.late for one in words]
    interval = frames.interval_ms if frames and frames.interval_ms else _FRAME_MS
    figures: dict[str, Any] = {
        "n_words": len(words),
        "n_asked": len(asked),
        "n_right": sum(one.key == one.step.answer for one in asked),
        "n_late": sum(one > interval for one in late),
        "late_ms": _spread(late),
        "duration_ms": _spread([1e3 * one.duration for one in words]),
    }
    if frames:
        told = {"n": frames.n, "dropped": frames.dropped, "longest_ms": frames.longest_ms}
        figures["frames"] = {"hz": 1e3 / interval, **told}
        figures["clock_error_ms"] = 1e3 * clock_error
    return figures


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = (float(np.percentile(values, p)) for p in (50, 95))
    return {"p50": p50, "p95": p95, "min": min(values), "max": max(values)}


def lines(figures: dict[str, Any]) -> list[str]:
    """Say a `summary` in words."""
    late, stayed, frames = (figures.get(one) for one in ("late_ms", "duration_ms", "frames"))
    told = [f"{counted(figures['n_words'], 'word')} shown"]
    if late is not None and stayed is not None:
        told += [
            f"after their planned time: {late['p50']:.1f} ms (p50), {late['p95']:.1f} (p95), "
            f"{late['max']:.1f} at most; {counted(figures['n_late'], 'word')} by more than a frame",
            f"words stayed {stayed['p50']:.1f} ms (p50), {stayed['min']:.1f} to {stayed['max']:.1f}",
        ]
    if frames:
        told.append(
            f"frames: {frames['hz']:.1f} Hz, {frames['dropped']} of {frames['n']} dropped, longest "
            f"{frames['longest_ms']:.1f} ms; clocks related to {figures['clock_error_ms']:.2f} ms; "
            "a photodiode measures the rest (rt-decoder check --photodiode)"
        )
    if figures["n_asked"]:
        told.append(f"questions: {figures['n_right']} of {figures['n_asked']} answered rightly")
    return told
