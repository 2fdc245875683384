"""A readout and an event of a session, each as one line for a terminal."""

from __future__ import annotations

import math
from typing import Any

from rt_decoder.signal import Readout
from rt_decoder.sinks.advice import advised
from rt_decoder.sinks.text import plain

__all__ = ["event_text", "readout_text"]


def event_text(event: dict[str, Any]) -> str:
    """An event as one line for the terminal: what it means, its details, what to do."""
    told = advised(event)
    meaning, fix = (plain(told.pop(name, ""), 400) for name in ("explanation", "fix"))
    details = (
        f"{name} {plain(', '.join(value) if isinstance(value, list) else value, 400)}"
        for name, value in told.items()
        if name not in ("type", "event", "time", "index")
    )
    parts = [f"{event['event'].upper()} at sample {event['index']}", meaning, ", ".join(details)]
    return ": ".join(part for part in parts if part) + (f" -> {fix}" if fix else "")


def readout_text(readout: Readout) -> str:
    """A readout as one line for the terminal."""
    if readout.abstained:
        answer = f"abstained ({', '.join(readout.reasons)})"
    else:
        pairs = zip(readout.words[:3], readout.probabilities[:3], strict=True)
        answer = "  ".join(f"{word} {p:.2f}" for word, p in pairs)
    truth = f"{plain(readout.label, 60):>16} -> " if readout.label else ""
    if readout.until is not None:
        kept = f", kept {readout.committed}" if readout.committed else ""
        answer += f"  by {readout.until:g} s{kept}"
    late = "  LATE" if readout.late else ""
    took = "latency unknown" if math.isnan(readout.latency_ms) else f"{readout.latency_ms:.2f} ms"
    return f"{readout.seq:>5} {truth}{answer}  [{took}]{late}"
