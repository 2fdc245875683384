"""Tell from its certificate whether a model has been shown to know anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rt_decoder.model import Model

__all__ = [
    "LEVEL",
    "answers_line",
    "anytime_lines",
    "check_proven",
    "forced",
    "proof",
    "why_unproven",
]

LEVEL = 0.05  # largest p of a model that is above its nulls


def proof(model: Model) -> Mapping[str, Any]:
    """Return the scores on events that the model has never seen; empty if there are none.

    These are the table `final` of the certificate; of a group model, which is tested by leaving
    people out, the table `people`, or `final` in it.

    Parameters
    ----------
    model : Model
        With a certificate.

    Returns
    -------
    mapping
    """
    for name in ("final", "people"):
        found = model.certificate.get(name)
        if isinstance(found, Mapping) and isinstance(found.get("final"), Mapping):
            found = found["final"]
        if isinstance(found, Mapping) and found:
            return _among_heard(found)
    return {}


def _among_heard(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Scores with those among the items that are heard in place of others, where there are such."""
    heard = scores.get("heard")
    return {**scores, **heard} if isinstance(heard, Mapping) else scores


def why_unproven(model: Model) -> str:
    """Say why a model is not above its nulls.

    A model is proven if, on events that it has never seen, its rank accuracy is above chance with
    p of `LEVEL` or below, and its posterior tells more of the word than the prior does. The rank
    accuracy of the held-out groups, where the certificate has it, must be above chance as well:
    at level .05 alone one model of noise in twenty would pass.

    Parameters
    ----------
    model : Model
        With a map.

    Returns
    -------
    str
        What was found, in one clause; empty if the model is proven.
    """
    final = proof(model)
    if not final:
        return "no locked block: nothing is proven"
    names = ("p", "bits_per_word", "rank_accuracy", "chance_rank_accuracy", "n")
    p, bits, rank, chance, n = values = [_number(final.get(name)) for name in names]
    if any(math.isnan(value) for value in values):
        return "its certificate cannot be read: it holds no p, bits, rank accuracy and n"
    smallest = _number(final.get("p_smallest"))
    found = (
        f"p = {p:.2g}, {bits:.3f} bits a word and rank accuracy {rank:.3f} on {n:g} locked events"
    )
    if smallest > LEVEL:
        return f"{found}, too few to show anything (the smallest p that they can give is {smallest:.2g})"
    if p > LEVEL:
        return f"{found}, which guessing gives as well (need p of {LEVEL:g} or below)"
    if bits <= 0:
        return f"{found}: no more than the prior knows"
    if rank <= chance:
        return f"{found}: not above chance, {chance:.3f}"
    inner = model.certificate.get("out_of_fold")
    inner = _among_heard(inner) if isinstance(inner, Mapping) else {}
    held_out = _number(inner.get("rank_accuracy"))
    if held_out <= chance:
        return f"{found}, but {held_out:.3f} in the held-out groups: only chance fits both"
    return ""


def _number(value: Any) -> float:
    """A finite number, or NaN."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else math.nan


def check_proven(model: Model, name: str) -> None:
    """Refuse a model that is not proven.

    Parameters
    ----------
    model : Model
        With a map.
    name : str
        Of its file.

    Raises
    ------
    ValueError
        If it is not above its nulls; says what was found.
    """
    if why := why_unproven(model):
        more = "pool more people" if "people" in model.certificate else "calibrate with more data"
        raise ValueError(
            f"{name} is not above its nulls: {why}; {more} (--force decodes all the same, and says "
            "so in log and outlets)"
        )


def forced(model: Model, *, force: bool) -> dict[str, str]:
    """Say for logs and outlets that a model decodes though it is not proven.

    Parameters
    ----------
    model : Model
        What decodes.
    force : bool
        Whether that was asked for.

    Returns
    -------
    dict
        `forced` with the reason; empty if the model is proven, or only cleans.
    """
    why = why_unproven(model) if force and model.has_map else ""
    return {"forced": why} if why else {}


def anytime_lines(anytime: Mapping[str, Any]) -> list[str]:
    """Say what windows reach that end earlier, on the locked block.

    Parameters
    ----------
    anytime : mapping
        Of the certificate: `windows`, a row each, and `earliest`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> rows = [{"end": 0.2, "rank": 0.55, "bits": 0.1, "p": 0.2, "low": None, "high": None}]
    >>> anytime_lines({"windows": rows, "earliest": None})[0]
    'window end   0.2'
    """

    def cells(name: str, form: str) -> str:
        told = [f"{'n/a':>5}" if row[name] is None else f"{row[name]:>5{form}}" for row in rows]
        return " ".join(told)

    rows, earliest = anytime["windows"], anytime["earliest"]
    shown = "no window is" if earliest is None else f"windows from {earliest:g} s on are"
    return [
        f"window end {cells('end', 'g')}",
        f"      rank {cells('rank', '.3f')} (chance 0.500)",
        f"      from {cells('low', '.3f')}",
        f"        to {cells('high', '.3f')} (95 %)",
        f"      bits {cells('bits', '.3f')}",
        f"         p {cells('p', '.2g')}; {shown} above chance, tested from the longest on",
    ]


def answers_line(threshold: float, scores: Mapping[str, Any]) -> str:
    """Say how often a model answers, and what it promises.

    Parameters
    ----------
    threshold : float
        Of the posterior.
    scores : mapping
        Out of fold, of the certificate: coverage, precision, wanted precision; None if unknown.

    Returns
    -------
    str

    Examples
    --------
    >>> answers_line(0.4, {"coverage": 0.25, "precision": 0.58, "wanted_precision": 0.5})
    'answers 25 % of events out of fold; 58 % of these answers are right (50 % promised)'
    """
    wanted, share = scores.get("wanted_precision"), scores.get("precision")
    if threshold > 1:
        what = f"a precision of {wanted:g}" if wanted else "no precision beyond the prior's"
        shown = "was not shown" if wanted else "was shown"
        return f"never answers: {what} {shown} out of fold; with precision = 0 it always answers"
    if threshold == 0 and not wanted:
        return "always answers, however uncertain it is (precision = 0)"
    if scores.get("coverage") is None:  # of an older model
        return f"answers where the probability is at least {threshold:.3g}"
    told = f"answers {100 * scores['coverage']:.0f} % of events out of fold"
    told += f"; {100 * share:.0f} % of these answers are right" if share is not None else ""
    return told + (f" ({100 * wanted:g} % promised)" if wanted else "")
