"""What a session record says of itself, checked before anything is decoded from it.

A record is a file like any other: it may be damaged, or made by somebody else. `decoder` obeys its
decisions, so here each one is made sure to be one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from rt_decoder.files.stamps import LATEST
from rt_decoder.timing.markers import MarkerRules

__all__ = [
    "ARRIVALS",
    "DECISIONS",
    "REFERENCE",
    "checked_decisions",
    "checked_pulls",
    "reference_arrivals",
]

# An XDF file with a stream of the first name is a session record.
ARRIVALS = "rt_decoder-arrivals"  # a row for each pull: n samples, arrival, clock correction
DECISIONS = "rt_decoder-decisions"  # JSON text
REFERENCE = "Reference"  # type of further streams in a session record, on clocks of their own
MAX_WAIT = 600.0  # s; the ring holds that much


def reference_arrivals(name: str) -> str:
    """Stream with the pulls of a reference: as `ARRIVALS`, and the main stream's row before it."""
    return f"{ARRIVALS}:{name}"


def checked_pulls(name: str, values: np.ndarray) -> np.ndarray:
    """Rows (n samples, arrival, correction, ...) of the pulls, (n_pulls, 3 or more) float64.

    Raises
    ------
    ValueError
        If there are other columns, or numbers that no session writes.
    """
    if values.dtype == object or values.ndim != 2 or values.shape[1] < 3:
        raise ValueError(
            f"{name}: need n, arrival and correction of each pull, got {values.shape[1:]} {values.dtype}"
        )
    pulls = np.asarray(values, np.float64)
    counts = pulls[:, 0]
    odd = ~(np.abs(pulls) < LATEST).all(axis=1) | (counts < 0) | (counts != np.rint(counts))
    if odd.any():
        first = int(np.argmax(odd))
        raise ValueError(
            f"{name}: need a number of samples and two times for each pull, got "
            f"{pulls[first].tolist()} for pull {first}: the session record is damaged"
        )
    return pulls


def checked_decisions(name: str, texts: Sequence[Any]) -> tuple[str, ...]:
    """Give the decisions, JSON texts, as they are.

    Raises
    ------
    ValueError
        If one is no decision of a session.
    """
    for number, text in enumerate(texts):
        try:
            decision = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            decision = None
        if not _is_decision(decision):
            raise ValueError(
                f"{name}: need decisions of a session, got {str(text)[:60]!r} for decision "
                f"{number}: the session record is damaged"
            )
    return tuple(texts)


def _is_decision(decision: Any) -> bool:
    if not isinstance(decision, dict) or not _is_count(decision.get("index")):
        return False
    kind = decision.get("decision")
    if kind == "start":
        return _are_rules(decision.get("rules")) and isinstance(decision.get("continuous"), bool)
    if kind == "marker":
        return isinstance(decision.get("label"), str) and _is_time(decision.get("time"))
    if kind == "skip":
        return _is_count(decision.get("n"))
    if kind == "dropped":
        return _is_count(decision.get("n_jobs")) and _is_count(decision.get("n_samples"))
    return isinstance(kind, str)


def _are_rules(rules: Any) -> bool:
    if not isinstance(rules, dict) or not set(rules) <= set(MarkerRules._fields):
        return False
    full = MarkerRules(**rules)
    names, mask = full.names, full.mask
    return (
        isinstance(full.trigger, str)
        and (names is None or _are_names(names))
        and (mask is None or (_is_count(abs(mask)) if isinstance(mask, int) else False))
        and _is_time(full.offset)
        and _is_time(full.wait)
        and 0 <= full.wait <= MAX_WAIT
    )


def _are_names(names: Any) -> bool:
    return isinstance(names, dict) and all(isinstance(name, str) for name in names.values())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < LATEST
