"""Tell from its certificate what was done to a model, and with whose recordings it was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rt_decoder.counted import counted
from rt_decoder.model import Model

__all__ = ["changed_since", "history", "history_lines"]

_SHORT = 12  # digits of a hash that are shown
_UNREAD = "cannot be read: the certificate holds no table of it"


def changed_since(model: Model) -> str:
    """Say what a model has gone through since its certificate was made.

    Parameters
    ----------
    model : Model

    Returns
    -------
    str
        "refitted", "realigned", "refitted and realigned", or nothing.
    """
    keys = {"refit": "refitted", "realigned": "realigned"}
    return " and ".join(told for key, told in keys.items() if model.certificate.get(key))


def history(model: Model) -> dict[str, str]:
    """Say what was done to a model after it was fitted, and what other people have in its map.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict of str to str
        A sentence each by `refitted`, `realigned`, `prior` and `pools`; what there was not is left
        out.
    """
    certificate = model.certificate
    made = certificate.get("map")
    prior = made.get("prior") if isinstance(made, Mapping) else None
    parts = {
        "refitted": (_refitted, certificate.get("refit")),
        "realigned": (_realigned, certificate.get("realigned")),
        "prior": (_prior, prior),
    }
    told = {}
    for name, (text, found) in parts.items():
        if found:
            try:
                told[name] = text(found)
            except (AttributeError, LookupError, TypeError, ValueError):
                told[name] = _UNREAD
    if model.pooling is not None:
        told["pools"] = (
            f"{counted(model.recipe.readout.repeats, 'event')} in a row are a trial of one item, or fewer where "
            f"cue/trial begins the next; their errors correlate by {model.pooling.correlation:.2f}"
        ) + ("; a trial is never answered" if model.pooling.threshold > 1 else "")
    return told


def history_lines(model: Model) -> list[str]:
    """Format `history` as `rt-decoder inspect` prints it.

    Parameters
    ----------
    model : Model

    Returns
    -------
    list of str
    """
    return [f"{name:<11} {text}" for name, text in history(model).items()]


def _refitted(steps: Any) -> str:
    told = []
    for step in steps:
        what = "added" if "added" in step else "taken out"
        of = str(step.get("added") or step["removed"])[:_SHORT]
        before, text = step.get("before"), f"{counted(step['n'], 'event')} of recording {of} {what}"
        if before:
            text += (
                f" (rank accuracy {before['rank_accuracy']:.3f} before, guessing "
                f"{before['null_rank_accuracy']:.3f})"
            )
        told.append(text + (", forced though it only guesses" if step.get("forced") else ""))
    return f"{'; '.join(told)}; the certificate is of the model before"


def _realigned(facts: Any) -> str:
    text = f"{facts['method']} from {counted(facts['n_windows'], 'window')}"
    if facts.get("date"):
        text += f" on {facts['date']}"
    if facts.get("data_hash"):
        text += f", recording {str(facts['data_hash'])[:_SHORT]}"
    if facts.get("model"):
        text += f"; was model {str(facts['model'])[:_SHORT]}"
    if facts.get("trained_on"):
        text += "; on a recording that the model was fitted on"
    if facts.get("forced"):
        text += f"; forced, {facts['forced']}"
    return f"{text}; the certificate is of the model before"


def _prior(prior: Any) -> str:
    n, events, kappa = int(prior["n_people"]), int(prior["n_events"]), float(prior["kappa"])
    people = counted(n, "other person", "other people")
    if not kappa:
        return f"recordings of {people} did not help and are not used (kappa 0)"
    return f"in the map, {counted(events, 'event')} of {people}; each counts {kappa:g} of one's own (kappa)"
