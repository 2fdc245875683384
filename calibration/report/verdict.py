"""Say in one sentence what a model can do, and what limits it."""

from __future__ import annotations

import numpy as np

from calibration.report.shown import Shown
from rt_decoder.cleaning.stages import FLOW

__all__ = ["is_above", "limits", "people_interval", "removed", "verdict"]

P_SHOWN = 0.05
_FEW = 50  # events
_N_DRAWS = 2000
_SHORT = {
    "mains": "mains",
    "projector": "projections of the file",
    "muscle": "muscle (flagged)",
    "repair": "bad channels",
    "eye": "blinks and gaze",
    "regressors": "recorded references",
    "heartbeat": "heartbeat",
}


def is_above(shown: Shown) -> bool | None:
    """Say whether the true items rank higher than under permuted labels; None without a test."""
    scores, _ = shown.best
    if scores.get("p") is None or scores.get("rank_accuracy") is None:
        return None
    chance = scores.get("null_rank_accuracy")
    return scores["p"] <= P_SHOWN and scores["rank_accuracy"] > (0.5 if chance is None else chance)


def removed(shown: Shown) -> tuple[list[str], list[str]]:
    """List what cleaning takes out, and what it was asked for and could not be fitted."""
    stages = shown.certificate.get("cleaning", {})
    named = {name: _SHORT.get(name, FLOW[name].title if name in FLOW else name) for name in stages}
    left = [named[name] for name, found in stages.items() if "left_out" in found]
    return [title for title in named.values() if title not in left], left


def people_interval(values: list[float], seed: int = 0) -> list[float] | None:
    """Bootstrap the mean over people; None for fewer than three.

    Parameters
    ----------
    values : list of float
        One a person.
    seed : int

    Returns
    -------
    list of float or None
        95 % interval.
    """
    if len(values) < 3:
        return None
    rows = np.random.default_rng(seed).integers(len(values), size=(_N_DRAWS, len(values)))
    return np.percentile(np.asarray(values)[rows].mean(axis=1), (2.5, 97.5)).tolist()


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
    out, _ = removed(shown)
    after = f"after cleaning ({', '.join(out)})" if out else "without any cleaning"
    if not shown.model.has_map:
        return f"This model cleans and names no words; fitted: {', '.join(out) or 'no stage'}."
    scores, where = shown.best
    if scores.get("rank_accuracy") is None:
        return (
            "How well this model decodes is unknown: it has no certificate, or one without scores."
        )
    above = is_above(shown)
    said = {True: "Above chance", False: "Not shown to be above chance", None: "Untested"}[above]
    if scores.get("trained_on"):
        said = "No proof of anything, as the model was trained on these recordings"
    n, n_items = scores.get("n"), scores.get("n_items", len(shown.model.items))
    on = f"on {n} events {where}" if n else f"on events {where}"
    sentence = (
        f"{said}: {on}, {after}, the true word ranked above {scores['rank_accuracy']:.1%} of the "
        f"others among {n_items} ({_spread(shown)})"
    )
    first = limits(shown)
    return f"{sentence}; what limits it most: {first[0]}." if first else f"{sentence}."


def _spread(shown: Shown) -> str:
    scores, _ = shown.best
    if "people" in shown.certificate and shown.scores is None:
        each = [one["rank_accuracy"] for one in shown.certificate["people"]["each"]]
        interval, over = people_interval(each), " over people"
    else:
        interval, over = (scores.get("detail") or {}).get("intervals", {}).get("rank_accuracy"), ""
    parts = [
        f"95 % interval{over} {interval[0]:.1%} to {interval[1]:.1%}"
        if interval
        else "no interval: too few units, or a model older than intervals"
    ]
    chance = scores.get("null_rank_accuracy")
    if chance is not None and scores.get("p") is not None:
        parts.append(f"{chance:.1%} with permuted labels, p = {scores['p']:.2g}")
    else:
        parts.append("chance 50.0%")
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
    _, left = removed(shown)
    if left:
        found.append(f"cleaning that was asked for and could not be fitted ({', '.join(left)})")
    if "people" in shown.certificate:
        found.append("a new person needs the same words, task and window")
    elif shown.scores is None:
        found.append("it was tested within the recordings of its fit: other days are unknown")
    return found


def _of_the_test(shown: Shown) -> list[str]:
    scores, _ = shown.best
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
    if is_above(shown) is False:
        found.append("no evidence that brain and words are related was found")
    nuisance = certificate.get("nuisance")
    if shown.scores is None and nuisance:
        names = " and ".join(nuisance["covariates"])
        if nuisance["beyond"]["p"] > P_SHOWN >= nuisance["alone"]["p"]:
            found.append(f"nothing is shown beyond {names} of the words")
    if scores.get("n") and scores["n"] < _FEW:
        found.append(f"only {scores['n']} events test it")
    return found


def _needed(shown: Shown) -> float:
    """Bits that name one of the items."""
    return float(np.log2(max(shown.best[0].get("n_items", len(shown.model.items)), 2)))


def _of_the_answers(shown: Shown) -> list[str]:
    scores, _ = shown.best
    inner = shown.certificate.get("out_of_fold", {})
    found = []
    bits = scores.get("bits_per_word")
    if bits is not None and bits <= 0:
        found.append("it tells nothing about a word beyond the prior")
    elif (need := _needed(shown)) and bits is not None and is_above(shown) and bits < 0.9 * need:
        found.append(f"one event gives {bits:.2f} of the {need:.1f} bits that name a word")
    threshold = shown.model.posterior.threshold
    if threshold > 1:
        found.append("it never answers, as no wanted precision was shown")
    elif inner.get("coverage") is not None and inner["coverage"] < 1:
        found.append(f"it answers {inner['coverage']:.0%} of events and abstains from the others")
    if never := shown.certificate.get("continuous", {}).get("never"):
        found.append(f"readouts at every hop never answer ({never})")
    return found
