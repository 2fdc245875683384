"""Format of a session record: its streams, the text of its decisions, and their checks.

A session record is an XDF file with the data stream, its markers, and two more streams: the pulls,
and the decisions as one JSON object each, which are checked here: a file may be damaged or forged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from rt_decoder.files import choices
from rt_decoder.files.decisions import (
    FORMAT_VERSION,
    Added,
    Chosen,
    Decision,
    Dropped,
    LogEnded,
    MarkerCame,
    MarkerWithoutTime,
    Note,
    Paused,
    Prior,
    Realigned,
    Restart,
    Skip,
    Start,
    Swapped,
    Truth,
)
from rt_decoder.files.plain import (
    are_details,
    are_names,
    is_count,
    is_finite,
    is_flag,
    is_text,
    is_time,
)
from rt_decoder.files.stamps import LATEST
from rt_decoder.monitor.verdict import WHEN_UNLIKE
from rt_decoder.signal import FLAGS_VERSION
from rt_decoder.timing.markers import MarkerRules

__all__ = [
    "ARRIVALS",
    "DECISIONS",
    "REFERENCE",
    "checked_decisions",
    "checked_pulls",
    "encode",
    "parse",
    "reference_arrivals",
]

# An XDF file with a stream of the first name is a session record.
ARRIVALS = "rt_decoder-arrivals"  # a row for each pull: n samples, arrival, clock correction
DECISIONS = "rt_decoder-decisions"  # JSON text
REFERENCE = "Reference"  # type of auxiliary streams in a session record, each on another clock
MAX_WAIT = 600.0  # s; the ring holds that much
MAX_LEVEL = 0.99  # the largest of `decoding.sets`
RENAMED = {"line": "mains"}  # stages renamed since version 1


def reference_arrivals(name: str) -> str:
    """Name the stream of an auxiliary stream's pulls: as `ARRIVALS`, plus the main stream's row."""
    return f"{ARRIVALS}:{name}"


def checked_pulls(name: str, values: np.ndarray) -> np.ndarray:
    """Check the pulls of a record.

    Parameters
    ----------
    name : str
        File name of the record, for the error.
    values : array of shape (n_pulls, n_columns)
        Number of samples, arrival in s, clock correction in s, and for an auxiliary stream the row
        of the main stream.

    Returns
    -------
    array of shape (n_pulls, n_columns), float64

    Raises
    ------
    ValueError
        If columns are missing, or a number is one that no session writes.
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


def encode(decision: Decision) -> str:
    """Write a decision as JSON text of the present version.

    Parameters
    ----------
    decision : Decision
        Read from a record of any version.

    Returns
    -------
    str

    Examples
    --------
    >>> encode(Skip(120, n=30))
    '{"index": 120, "decision": "skip", "n": 30}'
    """
    plain: dict[str, Any] = {"index": decision.index, "decision": _NAMES[type(decision)]}
    plain |= {one.name: getattr(decision, one.name) for one in fields(decision)}
    if (choice := plain.pop("choice", None)) is not None:
        plain["choice"] = asdict(choice)
    if isinstance(decision, Start):
        plain["rules"] = decision.rules._asdict()
        plain |= {"format_version": FORMAT_VERSION, "flags_version": FLAGS_VERSION}
    return json.dumps(plain, ensure_ascii=False)


def parse(text: Any, version: int = FORMAT_VERSION) -> Decision:
    """Read a decision.

    Parameters
    ----------
    text : str
        JSON, as `encode` writes it.
    version : int
        Format version of the record; a `Start` has its own.

    Returns
    -------
    Decision

    Raises
    ------
    ValueError
        If `text` is no decision of a session, or the record is newer than this program.

    Examples
    --------
    >>> parse('{"index": 120, "decision": "skip", "n": 30}')
    Skip(index=120, n=30)
    """
    try:
        plain = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        plain = None
    decision = _decision(plain, version) if isinstance(plain, dict) else None
    if decision is None:
        raise ValueError(
            f"need a decision of a session, got {str(text)[:60]!r}: the session record is damaged"
        )
    return decision


def checked_decisions(name: str, texts: Sequence[Any]) -> tuple[Decision, ...]:
    """Read the decisions of a record, in order.

    Parameters
    ----------
    name : str
        File name of the record, for the error.
    texts : sequence of str
        As `encode` writes them, in this version or an older one.

    Returns
    -------
    tuple of Decision

    Raises
    ------
    ValueError
        As `parse`.
    """
    version = 1  # until a `Start` declares another
    decisions = []
    for text in texts:
        try:
            decision = parse(text, version)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if isinstance(decision, Start):
            version = decision.format_version
        decisions.append(decision)
    return tuple(decisions)


def _decision(plain: dict[str, Any], version: int) -> Decision | None:
    """Return the decision, or None if `plain` is none."""
    index, kind = plain.pop("index", None), plain.pop("decision", None)
    if not (is_count(index) and isinstance(kind, str)):
        return None
    if kind == "start":
        return _start(index, plain)
    if kind in _OTHERS:
        make, checks = _OTHERS[kind]
        good = all(check(plain.get(name)) for name, check in checks.items())
        return make(index, *(plain.get(name) for name in checks)) if good else None
    if version == 1:
        return Note(index, kind, plain) if are_details(plain) else None
    raise ValueError(
        f"need a decision among start, {', '.join(_OTHERS)}, got {kind[:60]!r}: upgrade "
        "rt-decoder, unless the session record is damaged"
    )


def _start(index: int, plain: dict[str, Any]) -> Start | None:
    versions = plain.get("format_version", 1), plain.get("flags_version", 1)
    if not all(is_count(version) and version > 0 for version in versions):
        return None
    if versions[0] > FORMAT_VERSION or versions[1] > FLAGS_VERSION:
        raise ValueError(
            f"need a session record of version {FORMAT_VERSION} with flags of version "
            f"{FLAGS_VERSION}, or older, got {versions[0]} and {versions[1]}: upgrade rt-decoder"
        )
    rules, continuous = _rules(plain.get("rules")), plain.get("continuous")
    without, references = plain.get("without", []), plain.get("references", [])
    if rules is None or not isinstance(continuous, bool) or not are_names(without):
        return None
    if not (isinstance(references, list) and all(map(are_details, references))):
        return None
    align, learn = plain.get("align"), plain.get("learn", False)
    when_unlike, anytime = plain.get("when_unlike", WHEN_UNLIKE[0]), plain.get("anytime", False)
    if not ((align is None or is_flag(align)) and is_flag(learn)):
        return None
    level = plain.get("level", 0.0)
    is_level = is_finite(level) and 0 <= level <= MAX_LEVEL
    if when_unlike not in WHEN_UNLIKE or not (is_flag(anytime) and is_level):
        return None
    if versions[0] == 1:
        without = [RENAMED.get(stage, stage) for stage in without]
    options = (tuple(without), tuple(references), align, learn, when_unlike, anytime, float(level))
    return Start(index, rules, continuous, *options, *versions)


def _rules(plain: Any) -> MarkerRules | None:
    if not isinstance(plain, dict) or not set(plain) <= set(MarkerRules._fields):
        return None
    patterns = [plain.get(name, []) for name in ("include", "exclude")]
    if not all(map(are_names, patterns)) or not isinstance(plain.get("fold", False), bool):
        return None
    include, exclude = map(tuple, patterns)
    rules = MarkerRules(**plain)._replace(include=include, exclude=exclude)
    names, mask = rules.names, rules.mask
    good = (
        isinstance(rules.trigger, str)
        and (names is None or (isinstance(names, dict) and are_names([*names.values()])))
        and (mask is None or (is_count(abs(mask)) if isinstance(mask, int) else False))
        and is_time(rules.offset)
        and is_time(rules.wait)
        and 0 <= rules.wait <= MAX_WAIT
    )
    return rules if good else None


# kinds except the start: their type, and a check for each of their values
_OTHERS: dict[str, tuple[Callable[..., Decision], dict[str, Callable[[Any], bool]]]] = {
    "restart": (Restart, {}),
    "marker": (
        choices.marker,
        {"label": is_text, "time": is_finite, "choice": choices.may_choose},
    ),
    "marker_without_time": (MarkerWithoutTime, {"label": is_text}),
    "skip": (Skip, {"n": is_count}),
    "realigned": (Realigned, {"n_events": is_count}),
    "restricted": (choices.restricted, {"items": are_names}),  # of version 5
    "chosen": (choices.chosen, {"choice": choices.is_choice}),
    "prior": (Prior, {"log_prior": Prior.is_text}),
    "swapped": (Swapped, {"model": is_text}),
    "added": (choices.added, {"items": are_names, "vectors": Prior.is_text}),
    "paused": (Paused, {"on": is_flag}),
    "truth": (Truth, {"seq": is_count, "label": is_text}),
    "dropped": (Dropped, {"n_jobs": is_count, "n_samples": is_count}),
    "log_ended": (LogEnded, {"reason": is_text}),
    "note": (Note, {"event": is_text, "details": are_details}),
}
_NAMES = {make: kind for kind, (make, _) in _OTHERS.items()} | {
    Start: "start",
    Chosen: "chosen",
    Added: "added",
    MarkerCame: "marker",
}
