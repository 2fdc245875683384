"""Say what the cleaning of a model does, and what was asked for and could not be fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.report.shown import Shown, listed
from rt_decoder.cleaning.stages import FLOW

__all__ = ["cleaned", "why_left"]

_DONE = {
    "mains": ("removing", "mains"),
    "projector": ("removing", "projections of the file"),
    "eye": ("removing", "blinks and gaze"),
    "regressors": ("removing", "what reference channels record"),
    "heartbeat": ("removing", "heartbeat"),
    "repair": ("repairing", "bad channels"),
    "muscle": ("flagging", "muscle activity"),
}

_LEFT = {"regressors": "reference channels", "repair": "repair of bad channels"}
_OLD = "no reference explains anything of the data"  # of older models, also if there was none


def cleaned(shown: Shown) -> tuple[str, list[str]]:
    """Say what cleaning does, and list what it was asked for and could not be fitted."""
    stages = shown.certificate.get("cleaning", {})
    done: dict[str, list[str]] = {}
    left: list[str] = []
    for name in [*(one for one in _DONE if one in stages), *(set(stages) - set(_DONE))]:
        title = FLOW[name].title if name in FLOW else name
        how, what = _DONE.get(name, ("applying", title))
        if "left_out" in stages[name]:
            left.append(_LEFT.get(name) or what)
        else:
            done.setdefault(how, []).append(_fitted(name, stages[name]) or what)
    return listed([f"{how} {listed(what)}" for how, what in done.items()]), left


def _fitted(name: str, found: Mapping[str, Any]) -> str:
    """Say what a stage was fitted to; empty where its usual name says it."""
    if name == "repair" and "bad" in found and not found["bad"]:
        return "bad channels (none was)"
    if name == "regressors" and isinstance(found.get("references"), Mapping):
        kept = [one for one, what in found["references"].items() if what.get("kept", True)]
        return f"what {listed(kept)} record{'' if kept[1:] else 's'}" if kept else ""
    if name != "eye" or not (rows := found.get("held_out") or []):
        return ""
    taken = rows[found["rank"] - 1] if 0 < found.get("rank", 0) <= len(rows) else rows[-1]
    if taken.get("blink_db") is None:
        return "eye activity (blinks not measured)"
    return "blinks" if taken.get("eye_db") is None else ""


def why_left(shown: Shown, found: Mapping[str, Any]) -> str:
    """Say why a stage was left out.

    Parameters
    ----------
    shown : Shown
    found : mapping
        The stage's, with `left_out`.

    Returns
    -------
    str
    """
    nulls = shown.certificate.get("nulls")
    artifacts = nulls.get("artifacts") if isinstance(nulls, Mapping) else None
    none = isinstance(artifacts, Mapping) and artifacts.get("note") == "none recorded"
    if none and found["left_out"] == _OLD:
        return "no reference channel was recorded, or none varies"
    return str(found["left_out"])
