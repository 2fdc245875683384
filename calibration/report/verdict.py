"""Say in one sentence what a model can do, and what limits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from calibration.report.above import P_SHOWN, doubts, is_above, p_of, rank_interval
from calibration.report.cleaned import cleaned
from calibration.report.shown import Shown, listed, percent
from rt_decoder.counted import counted

__all__ = [
    "answered",
    "limits",
    "verdict",
]

_FEW = 50  # events
_MISCALIBRATED = 0.1  # mean distance of probability and share that is right: too much
_CHANGED = 0.2  # of the signal at rest, or of the samples: too much


def verdict(shown: Shown) -> str:
    """Return the sentence that stands over a report.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    str
        Above chance or not, by how much, on what, what was removed, and what limits it most.
    """
    done, _ = cleaned(shown)
    if not shown.model.has_map:
        return f"This model cleans and names no words: {done or 'no stage was fitted'}."
    scores, where = shown.claim, shown.best[1]
    if scores.get("rank_accuracy") is None:
        return (
            "How well this model decodes is unknown: it has no certificate, or one without scores."
        )
    above = is_above(shown)
    said = {True: "Above chance", False: "Not shown to be above chance", None: "Untested"}[above]
    unsure = doubts(shown)
    if unsure:
        said = f"Weakly above chance, as {listed(unsure)}"
    if scores.get("trained_on"):
        said = "No proof of anything, as the model was trained on these recordings"
    n, n_items = scores.get("n"), scores.get("n_items", len(shown.model.items))
    on = f"on {counted(n, 'event')} {where}" if n else f"on events {where}"
    after = f"after {done}" if done else "without any cleaning"
    sentence = (
        f"{said}: {on}, {after}, {_ranked(shown, scores['rank_accuracy'], n_items)} "
        f"({_spread(shown)})"
    )
    first = [one for one in limits(shown) if one not in unsure]
    most = "it, too" if unsure else "it most"
    return f"{sentence}; what limits {most}: {first[0]}." if first else f"{sentence}."


def _ranked(shown: Shown, rank: float, n_items: int) -> str:
    if n_items == 2:
        return f"the true {shown.noun} ranked above the other one in {percent(rank)} of them"
    return f"the true {shown.noun} ranked above {percent(rank)} of the others among {shown.among}"


def _spread(shown: Shown) -> str:
    scores = shown.claim
    interval, over = rank_interval(shown)
    parts = [
        f"95 % interval{over} {100 * interval[0]:.1f} to {percent(interval[1])}"
        if interval
        else "no interval: too few units, or a model older than intervals"
    ]
    chance = scores.get("null_rank_accuracy")
    if chance is not None and scores.get("p") is not None:
        parts.append(f"chance {percent(chance)}, of permuted labels; p = {scores['p']:.2g}")
    else:
        parts.append("chance 50.0 %")
    return "; ".join(parts)


def limits(shown: Shown) -> list[str]:
    """List what limits a model, the worst first, as ends of a sentence.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    list of str
    """
    if not shown.model.has_map:
        return []
    found = [*_of_the_test(shown), *_of_the_answers(shown)]
    _, left = cleaned(shown)
    if left:
        found.append(f"cleaning that was asked for could not be fitted ({listed(left)})")
    found += _of_the_cleaning(shown)
    if "people" in shown.certificate:
        found.append("a new person needs the same words, task and window")
    elif shown.scores is None:
        found.append("it was tested within the recordings of its fit: other days are unknown")
    return found


def _of_the_test(shown: Shown) -> list[str]:
    scores = shown.claim
    certificate, found = shown.certificate, []
    if scores.get("trained_on"):
        found.append("the model has seen these recordings")
    if shown.scores is None and "final" not in certificate:
        found.append("no block was locked, so that all figures are optimistic")
    if (smallest := scores.get("p_smallest")) is not None and smallest > P_SHOWN:
        found.append(
            "events that hang together are so few units that nothing can be shown (the smallest p "
            f"that they allow is {smallest:.2g})"
        )
    found += doubts(shown)
    if is_above(shown) is False:
        found.append("no evidence that brain and words are related was found")
    nuisance = certificate.get("nuisance")
    if shown.scores is None and nuisance:
        names, alone, beyond = (
            listed(nuisance["covariates"]),
            *map(nuisance.get, ("alone", "beyond")),
        )
        if beyond["p"] > P_SHOWN >= alone["p"]:
            found.append(f"nothing is shown beyond {names} of the words")
    found += _feigned(shown)
    if scores.get("n") and scores["n"] < _FEW:
        found.append(f"it is tested on {counted(scores['n'], 'event')} only")
    if (
        shown.scores is None
        and nuisance
        and max(nuisance["alone"]["p"], nuisance["beyond"]["p"]) <= P_SHOWN
    ):
        alone, beyond = nuisance["alone"], nuisance["beyond"]
        found.append(
            f"{listed(nuisance['covariates'])} alone tell {shown.noun}s apart, too (rank accuracy "
            f"{alone['rank_accuracy']:.3f}, p = {alone['p']:.2g}), and without them "
            f"{beyond['rank_accuracy']:.3f} remains (p = {beyond['p']:.2g})"
        )
    return found


def _feigned(shown: Shown) -> list[str]:
    """Say which decoders that should fail do not."""
    nulls = shown.certificate.get("nulls") or {}
    if shown.scores is not None or not isinstance(nulls, Mapping):
        return []
    found = []
    if (p := p_of(nulls, "artifacts")) is not None and p <= P_SHOWN:
        score = nulls["artifacts"]["score"]
        found.append(
            "channels of artifacts alone (EOG, ECG, EMG, breath) decode words, too (rank accuracy "
            f"{score:.3f}, p = {p:.2g})"
        )
    return found


def _of_the_cleaning(shown: Shown) -> list[str]:
    """Say where cleaning changes or flags more than it should."""
    stages = shown.certificate.get("cleaning", {})
    eye, muscle = (stages.get(name, {}) for name in ("eye", "muscle"))
    by_rank, flagged, found = eye.get("held_out") or [], muscle.get("held_out") or {}, []
    taken = by_rank[eye["rank"] - 1] if 0 < eye.get("rank", 0) <= len(by_rank) else {}
    if (share := taken.get("rest_distortion")) is not None and share > _CHANGED:
        found.append(f"cleaning of the eyes changes the signal at rest by {percent(share, 0)}")
    if (share := flagged.get("muscle")) is not None and share > _CHANGED:
        found.append(
            f"muscle activity in {percent(share, 0)} of the samples, which are not decoded"
        )
    return found


def answered(shown: Shown) -> str:
    """Say which share of which events is answered; empty if all are, or that is unknown.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    str
        Of the events that the report is about, with the interval; else of the training events.
    """
    scores, where = shown.best
    share = scores.get("answered")
    if share is not None and "people" not in shown.certificate:
        found = (scores.get("detail") or {}).get("intervals", {}).get("answered")
        within = f" (95 % interval {100 * found[0]:.0f} to {percent(found[1], 0)})" if found else ""
        return (
            f"{percent(share, 0)}{within} of the {counted(scores['n'], 'event')} {where}"
            if share < 1
            else ""
        )
    share = shown.certificate.get("out_of_fold", {}).get("coverage")
    told = share is not None and share < 1
    return f"{percent(share, 0)} of the training events, out of fold," if told else ""


def _needed(shown: Shown) -> float:
    """Bits that name one of the items that are heard."""
    n_items = shown.claim.get("n_items", len(shown.model.items))
    return float(np.log2(max(n_items, 2)))


def _bits_interval(scores: Mapping[str, Any]) -> str:
    found = (scores.get("detail") or {}).get("intervals", {}).get("bits_per_word")
    return f" ({found[0]:.2f} to {found[1]:.2f})" if found else ""


def _of_the_answers(shown: Shown) -> list[str]:
    scores = shown.claim
    found = []
    bits = scores.get("bits_per_word")
    if bits is not None and bits <= 0:
        found.append("it tells nothing beyond the prior")
    elif (need := _needed(shown)) and bits is not None and is_above(shown) and bits < 0.9 * need:
        found.append(
            f"one event gives {bits:.2f}{_bits_interval(scores)} of the {need:.1f} bits that tell "
            f"{shown.noun}s apart"
        )
    if (error := scores.get("calibration_error")) is not None and error > _MISCALIBRATED:
        found.append(f"its probabilities are {error:.2f} from the share that is right, on average")
    threshold = shown.model.posterior.threshold
    if threshold > 1:
        found.append("it never answers, as no wanted precision was shown")
    elif share := answered(shown):
        found.append(f"it answers {share} and abstains from the others")
    if never := shown.certificate.get("continuous", {}).get("never"):
        found.append(f"readouts at every hop never answer ({never})")
    return found
