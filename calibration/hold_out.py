"""Decide what is held out and purged, and refuse a split that lets noise be decoded.

The purge is window and measured memory, and more if that still leaks. A purge set by hand is tested
in the same way; one shorter than the memory must show that nothing leaks. Afterwards the locked block has to confirm what was found out of fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.design import Design
from calibration.memory import N_CONFIRM, Leak, check_folds, joint_memory, leak_by_shifts
from calibration.nulls import matching_test
from calibration.scores import cosine, rank_accuracies, rank_accuracy, unit_rows
from calibration.sentences import encode_groups, sentence_numbers
from calibration.splits import Fold, leave_group_out, split_events
from calibration.targets import Targets, make_targets
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.recipe import Fit, Recipe

__all__ = ["HeldOut", "check_agreement", "hold_out", "out_of_fold_null", "split_again"]

_SHORTER = (1.0, 0.5, 0.25, 0.0)  # times the measured memory, until enough is left to train on
_LONGER = (1, 2, 4)  # times the measured memory, until nothing leaks
_BEYOND_CHANCE = 3.1  # standard errors, p = .001
_LOSES = -0.01  # bits a word


class HeldOut(NamedTuple):
    """Split of n events, and how it was found."""

    groups: np.ndarray  # (n,) str, held out together
    train: np.ndarray  # (n_train,) int
    locked: np.ndarray  # (n_locked,) int
    targets: Targets  # of the training events
    purge: float  # s
    memory: float  # s, that features and targets have in common
    measured: bool  # the purge is
    units: np.ndarray  # (n,) int, sentence, group or recording of each event

    @property
    def line(self) -> str:
        """Tell the purge."""
        own = "the window and this memory" if self.memory else "the window"
        how = own if self.measured else "as the recipe says"
        memory = f"remember each other for {self.memory:.3g} s" if self.memory else "have no memory"
        return (
            f"signal and words {memory}: no event within {self.purge:.3g} s of a held-out one trains "
            f"({how})"
        )


def hold_out(design: Design, recipe: Recipe, embedder: Callable[..., np.ndarray]) -> HeldOut:
    """Split the events, and purge as long as noise could be decoded.

    Parameters
    ----------
    design : Design
        All events.
    recipe : Recipe
        Groups, blocks, purge, target.
    embedder : callable
        Turns texts into vectors, as `language.embeddings.embed`.

    Returns
    -------
    HeldOut

    Raises
    ------
    ValueError
        If nothing is left to train on, groups are scattered in time, or a fold leaks into its
        training events at any purge.
    """
    window, rules = recipe.features.tmax - recipe.features.tmin, recipe.fit
    sentences = sentence_numbers(design.contexts, design.run)
    _, train, _ = _split(design, rules, sentences, max(rules.purge, 0.0))
    targets, at = make_targets(design, train, recipe, embedder), design.onsets[train]
    memory = joint_memory(_scaled(design, train, recipe), targets.Y, at, design.run[train])
    measured = rules.purge < 0
    purges = [window + share * memory for share in _SHORTER] if measured else [rules.purge]
    purge, (groups, train, locked), folds = _longest(design, rules, sentences, purges)
    for longer in _LONGER if measured else (1,):
        if longer > 1:
            try:
                purge, (groups, train, locked), folds = _longest(
                    design, rules, sentences, [window + longer * memory]
                )
            except ValueError:  # it would leave too little
                break
        targets = make_targets(design, train, recipe, embedder)
        short = purge < memory and not measured
        leak = Leak(0.5, 1.0, 0.5)
        if memory:
            leak = _leak(_scaled(design, train, recipe), targets, folds, thorough=short)
        if leak.excluded if short else not leak.found:
            units = _units(design, recipe, sentences)
            return HeldOut(groups, train, locked, targets, purge, memory, measured, units)
    raise ValueError(
        f"need folds in which noise is not decoded, got rank accuracy {leak.score:.3f} with the "
        f"words shifted against the signal: at a purge of {purge:.3g} s both are still alike on the "
        f"two sides of a cut (measured memory {memory:.3g} s). Set purge = -1 or longer, hold out "
        "whole recordings (groups), or raise l_freq"
    )


def split_again(
    design: Design, rules: Fit, purge: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split as `hold_out` did, for those who come after it.

    Parameters
    ----------
    design : Design
        All events.
    rules : Fit
        The recipe's.
    purge : float
        That `hold_out` found, in s.

    Returns
    -------
    groups : array of shape (n,), str
    train, final : array of shape (n_train,), array of shape (n_final,), int

    Raises
    ------
    ValueError
        As `hold_out`.
    """
    return _split(design, rules, sentence_numbers(design.contexts, design.run), purge)


def _split(
    design: Design, rules: Fit, sentences: np.ndarray | None, purge: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = split_events(design.groups, design.run, design.onsets, rules, sentences, purge)
    if not design.answered[found[1]].any():
        raise ValueError("need events that a live session would answer, got none to train on")
    return found


def _longest(
    design: Design, rules: Fit, sentences: np.ndarray | None, purges: Sequence[float]
) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray], list[Fold]]:
    """Split by the first of the purges that leaves enough to train on."""
    for purge in purges:
        try:
            found = _split(design, rules, sentences, purge)
            folds = leave_group_out(found[0][found[1]], design.onsets[found[1]], purge)
            check_folds(folds, purge, rules.groups)
        except ValueError:
            if purge == purges[-1]:
                raise
        else:
            return purge, found, folds
    raise ValueError("need a purge, got none")


def _scaled(design: Design, train: np.ndarray, recipe: Recipe) -> np.ndarray:
    rows = design.X[train]
    return scale_features(rows, *robust_scale(rows), recipe.features.clamp)


def _leak(X: np.ndarray, targets: Targets, folds: list[Fold], thorough: bool) -> Leak:
    seen, truth = np.unique(targets.truth, return_inverse=True)
    vectors = unit_rows(targets.item_vectors[seen] - targets.Y.mean(axis=0))

    def score(y: np.ndarray) -> float:
        return float(rank_accuracy(cosine(y, vectors), truth).mean())

    if thorough:
        return leak_by_shifts(X, targets.Y, folds, score, N_CONFIRM)
    leak = leak_by_shifts(X, targets.Y, folds, score)
    if leak.found:  # a few shifts can agree by chance
        again = leak_by_shifts(X, targets.Y, folds, score, N_CONFIRM)
        leak = max(leak, again, key=lambda one: one.p)
    return leak


def _units(design: Design, recipe: Recipe, sentences: np.ndarray | None) -> np.ndarray:
    if recipe.fit.groups:
        return encode_groups(design.groups)
    return np.asarray(design.run) if sentences is None else sentences


def out_of_fold_null(
    cosines: np.ndarray, truth: np.ndarray, units: np.ndarray, recipe: Recipe
) -> dict[str, float]:
    """Test out-of-fold predictions against labels permuted in units.

    Parameters
    ----------
    cosines : array of shape (n, V)
        Out of fold, in order of time.
    truth : array of shape (n,), int
    units : array of shape (n,)
        As in `HeldOut`.
    recipe : Recipe
        Number and seed of the permutations.

    Returns
    -------
    dict
        `memory` in events; mean (`null_rank_accuracy`) and standard deviation (`null_spread`) of
        the rank accuracy.
    """
    rules = recipe.fit
    test = matching_test(
        rank_accuracies(cosines), truth, rules.n_permutations, rules.seed, groups=units
    )
    return {
        "memory": test.unit // 2,
        "null_rank_accuracy": float(test.null.mean()),
        "null_spread": float(test.null.std()),
    }


def check_agreement(
    out_of_fold: Mapping[str, Any], null: Mapping[str, float], final: Mapping[str, Any]
) -> None:
    """Refuse a fit that the locked block contradicts: what was chosen out of fold is not to be trusted.

    Parameters
    ----------
    out_of_fold, final : mapping
        Scores of the certificate.
    null : mapping
        As from `out_of_fold_null`.

    Raises
    ------
    ValueError
        If the rank accuracy out of fold is higher than in the locked block, beyond chance, and the
        model loses bits there.
    """
    bits = final["bits_per_word"]
    if bits is None or bits >= _LOSES or final["p"] <= 0.05:
        return
    above = out_of_fold["rank_accuracy"] - null["null_rank_accuracy"]
    confirmed = final["rank_accuracy"] - final["null_rank_accuracy"]
    chance = float(np.hypot(null["null_spread"], final["null_spread"]))
    if above - confirmed <= _BEYOND_CHANCE * chance:
        return
    raise ValueError(
        "need a locked block that confirms what was found out of fold, got rank accuracy "
        f"{out_of_fold['rank_accuracy']:.3f} there and {final['rank_accuracy']:.3f} in the locked "
        f"block, which loses {-bits:.2f} bits a word: penalty, sharpness and threshold come from "
        "folds that share signal or context with their training. Hold out longer stretches "
        "(groups), set purge = -1 or longer, or raise l_freq"
    )
