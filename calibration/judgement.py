"""Judge a refitted or realigned model on the data at hand, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rt_decoder.counted import counted
from rt_decoder.files.proof import LEVEL
from rt_decoder.model import Model

__all__ = ["GAINS", "why_not_added", "why_not_realigned"]

GAINS = (0.2, 5.0)  # of a channel from one day to another; beyond, it is another unit or amplifier
_SURE = 3.0  # spreads of the null by which a recording of the same person would have been above it
_CLEAR = 2.0  # standard errors


def why_not_added(model: Model, scores: Mapping[str, Any]) -> str:
    """Say why a recording should not join a model: it is no better than guessing on it.

    Only where a recording of the same person, by the rank accuracy of calibration, would nearly
    surely have been better: of a model that knows little, or few events, nothing can be said.

    Parameters
    ----------
    model : Model
        As it was before.
    scores : mapping
        Of `evaluate.evaluate`, on the recording, before it is added.

    Returns
    -------
    str
        What was found, in one clause; empty if nothing speaks against it.
    """
    inner = model.certificate.get("out_of_fold")
    usual = inner.get("rank_accuracy") if isinstance(inner, Mapping) else None
    rank, null, spread = (
        scores.get(name) for name in ("rank_accuracy", "null_rank_accuracy", "null_spread")
    )
    if usual is None or rank is None or null is None or spread is None:
        return ""
    if scores["p"] <= LEVEL or usual - null <= _SURE * spread:
        return ""
    return (
        f"rank accuracy {rank:.3f} (guessing {null:.3f}, p = {scores['p']:.2g}) on "
        f"{counted(scores['n'], 'event')}, {usual:.3f} in calibration"
    )


def why_not_realigned(facts: Mapping[str, Any]) -> str:
    """Say why a model should not be realigned: gains that no day makes, or scores that fall.

    Parameters
    ----------
    facts : mapping
        Of `realign.realign` and `today.effect`.

    Returns
    -------
    str
        What was found, in one clause; empty if nothing speaks against it.
    """
    low, high = facts["gains"]
    if low < GAINS[0] or high > GAINS[1]:
        return (
            f"gains of {low:.3g} to {high:.3g}, beyond {GAINS[0]:g} to {GAINS[1]:g}: another unit, "
            "amplifier or montage than in calibration, or an electrode that came off"
        )
    change = facts.get("change")
    if change and change["rank_accuracy"] < -_CLEAR * change["error"]:
        before, after = (facts[name]["rank_accuracy"] for name in ("before", "after"))
        return f"rank accuracy {before:.3f} before, {after:.3f} after on {counted(facts['before']['n'], 'event')}"
    return ""
