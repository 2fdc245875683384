"""Tell what length and frequency of the words explain: a decoder of these looks like one of meaning.

Vectors of language models carry both, and so does the brain. So the certificate has two more
figures of the locked block: a map to length and frequency alone, and one to vectors without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from calibration.design import Design
from calibration.gram import RidgeGram
from calibration.hold_out import HeldOut
from calibration.nulls import matching_test
from calibration.prior import covariance
from calibration.scores import cosine, rank_accuracies
from calibration.targets import Targets
from rt_decoder.decoding.whitening import whitener
from rt_decoder.model import Model

__all__ = ["covariates", "nuisance_line", "nuisance_scores"]

LEAST = 12  # items: of fewer, length and frequency leave nothing to tell apart
_SHOWN = 0.05  # p


def covariates(targets: Targets, language: str = "en") -> dict[str, np.ndarray]:
    """Compute what is known of each item without its meaning.

    Parameters
    ----------
    targets : Targets
    language : str
        Of the items.

    Returns
    -------
    dict of str to array of shape (V,)
        `length` in characters, `frequency` in the language (logarithm), and `count`, how often the item
        trains (logarithm); standardised over the training events. What does not vary there is left
        out, and so is the frequency where wordfreq is not installed.
    """
    counts = np.bincount(targets.truth, minlength=len(targets.items))
    found = {"length": np.array([len(item) for item in targets.items], float)}
    if find_spec("wordfreq"):
        from calibration.language.words import word_log_prior

        found["frequency"] = word_log_prior(targets.items, language)
    found["count"] = np.log1p(counts)
    said = {name: values[targets.truth] for name, values in found.items()}
    return {
        name: (values - said[name].mean()) / said[name].std()
        for name, values in found.items()
        if said[name].std() > 1e-9
    }


def nuisance_scores(
    model: Model, design: Design, X: np.ndarray, held_out: HeldOut, memory: int
) -> dict[str, Any]:
    """Score the locked block by length and frequency alone, and with both regressed out.

    Penalty and whitening are those of the map; own data only, targets to the power 1.

    Parameters
    ----------
    model : Model
        Its certificate holds `map`.
    design : Design
        All events.
    X : array of shape (n, p)
        Scaled features of all events.
    held_out : HeldOut
        Which events train, and which are locked.
    memory : int
        For `nulls.matching_test`.

    Returns
    -------
    dict
        `covariates` that vary, `n` events; `alone` and `beyond`, each with `rank_accuracy`,
        `null_rank_accuracy`, `low` and `high` of 95 % of the null, `p` and `p_smallest`. Empty where fewer than 12 items train, none of
        the covariates vary, or no item of the locked block has trained.
    """
    targets, train = held_out.targets, held_out.train
    known = covariates(targets, model.recipe.target.spoken)
    trained = {targets.items[i]: int(i) for i in np.unique(targets.truth)}
    locked = held_out.locked[design.answered[held_out.locked]]
    final = np.array([i for i in locked if design.labels[i] in trained], int)
    if len(trained) < LEAST or not known or not len(final):
        return {}
    Z = np.column_stack(list(known.values()))
    ones = np.column_stack([np.ones(len(Z)), Z])
    B = np.linalg.lstsq(ones[targets.truth], targets.Y, rcond=None)[0]
    chosen, n_known = model.certificate["map"], Z.shape[1]
    if chosen["whiten"]:
        X = X @ whitener(covariance(X[train]), chosen["whiten"])
    Y = np.hstack([Z[targets.truth], targets.Y - ones[targets.truth] @ B])
    ridge = RidgeGram(X[train])
    W, _ = ridge.coef(Y, chosen["alpha"])
    predicted = (X[final] - ridge.x_mean) @ W
    truth = np.array([trained[design.labels[i]] for i in final])

    def tested(predicted: np.ndarray, items: np.ndarray) -> dict[str, float]:
        table, rules = rank_accuracies(cosine(predicted, items)), model.recipe.fit
        null = matching_test(
            table, truth, rules.n_permutations, rules.seed, memory, held_out.units[final]
        )
        return {
            "rank_accuracy": null.observed,
            "null_rank_accuracy": float(null.null.mean()),
            "low": float(np.quantile(null.null, 0.025)),
            "high": float(np.quantile(null.null, 0.975)),
            "p": null.p,
            "p_smallest": null.p_smallest,
        }

    return {
        "covariates": list(known),
        "n": len(final),
        "alone": tested(predicted[:, :n_known], Z),
        "beyond": tested(predicted[:, n_known:], targets.item_vectors - ones @ B),
    }


def nuisance_line(scores: Mapping[str, Any]) -> str:
    """Say what length and frequency explain.

    Parameters
    ----------
    scores : mapping
        Of `nuisance_scores`, not empty.

    Returns
    -------
    str

    Examples
    --------
    >>> alone = {"rank_accuracy": 0.774, "null_rank_accuracy": 0.5, "p": 0.001}
    >>> beyond = {"rank_accuracy": 0.49, "null_rank_accuracy": 0.5, "p": 0.7}
    >>> nuisance_line({"covariates": ["length"], "alone": alone, "beyond": beyond})
    '  by length alone: rank accuracy 0.774 (null 0.500, p = 0.001); \
with this taken out 0.490 (null 0.500, p = 0.7): nothing is shown beyond length'
    """
    names = [f"{name} in training" if name == "count" else name for name in scores["covariates"]]
    what = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    told = [
        f"{one['rank_accuracy']:.3f} (null {one['null_rank_accuracy']:.3f}, p = {one['p']:.2g})"
        for one in (scores["alone"], scores["beyond"])
    ]
    only = scores["alone"]["p"] <= _SHOWN < scores["beyond"]["p"]
    these = "these" if len(names) > 1 else "this"
    return f"  by {what} alone: rank accuracy {told[0]}; with {these} taken out {told[1]}" + (
        f": nothing is shown beyond {what}" if only else ""
    )
