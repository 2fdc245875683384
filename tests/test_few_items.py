"""Two items: answers follow the size of a prediction, as shrinkage discriminant analysis does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from calibration.confidence import log_posterior
from calibration.design import Design, draft_model
from calibration.evaluate import evidence
from calibration.fit import fit_model
from rt_decoder.decoding.features import scale_features
from rt_decoder.model import Model
from tests.small import small_recipe, small_recording

P = 24
RECORDING = small_recording(seconds=4.0)
NAMES = ("house", "face")
QUICK = ((0.5, 1.0), (1 / 6, 2.0))
PAIR = np.random.default_rng(7).standard_normal((2, 8))


def trials(
    n: int, share: float, distance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of equal covariance: white features, as whitening leaves them."""
    truth = (rng.random(n) < share).astype(int)
    direction = np.random.default_rng(8).standard_normal(P)
    shift = distance * direction / np.linalg.norm(direction)
    return rng.standard_normal((n, P)) + truth[:, None] * shift, truth


def fitted(X: np.ndarray, truth: np.ndarray, **sections: Any) -> Model:
    n = len(X)
    design = Design(
        X.astype(np.float32), tuple(NAMES[i] for i in truth), 2.0 * np.arange(n), ("",) * n, None,
        np.zeros(n, int), 0, np.ones(n, bool),
    )  # fmt: skip
    recipe = small_recipe(fit={"final_block": 0.0, "n_blocks": 10, "purge": 0.0}, **sections)

    def embedder(texts: list[str], **_: Any) -> np.ndarray:
        return PAIR[[NAMES.index(text) for text in texts]]

    return fit_model(draft_model([RECORDING], recipe), design, embedder=embedder)


def probability(model: Model, X: np.ndarray) -> np.ndarray:
    """Of the second item, (n,)."""
    scaled = scale_features(X.astype(np.float32), model.center, model.scale, 20.0)
    found = log_posterior(
        evidence(model, scaled), model.posterior, model.log_prior, model.item_bias
    )
    return np.exp(found[:, model.items.index(NAMES[1])])


@pytest.mark.parametrize(
    ("share", "distance"),
    [
        pytest.param(share, distance, marks=[pytest.mark.slow] * ((share, distance) not in QUICK))
        for share in (0.5, 1 / 6)
        for distance in (0.5, 1.0, 2.0)
    ],
)
def test_ranks_trials_as_shrinkage_discriminant_analysis(share: float, distance: float) -> None:
    rng = np.random.default_rng(1)
    X, truth = trials(600, share, distance, rng)
    later, later_truth = trials(4000, share, distance, rng)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5, priors=[0.5, 0.5]).fit(X, truth)
    model = fitted(X, truth)
    p = probability(model, later)
    ours, theirs = (roc_auc_score(later_truth, s) for s in (p, lda.decision_function(later)))
    assert ours > theirs - 0.005
    # at a uniform prior, the middle between the two is found, whatever their frequencies
    balanced = balanced_accuracy_score(later_truth, p > 0.5)
    assert balanced > balanced_accuracy_score(later_truth, lda.predict(later)) - 0.02
    assert len(np.unique(p)) > 1000
    assert model.posterior.length > 0


def test_probabilities_of_two_items_are_calibrated() -> None:
    rng = np.random.default_rng(2)
    model = fitted(*trials(800, 0.5, 1.5, rng))
    later, truth = trials(20_000, 0.5, 1.5, rng)
    p = probability(model, later)
    bins = np.digitize(p, np.arange(0.1, 1.0, 0.1))
    for one in np.unique(bins):
        inside = bins == one
        assert abs(p[inside].mean() - truth[inside].mean()) < 0.08
    exact = 1 / (1 + np.exp(-(later @ (np.linalg.lstsq(later, truth - 0.5, rcond=None)[0]))))
    assert (
        -np.log2(np.where(truth, p, 1 - p)).mean()
        < -np.log2(np.where(truth, exact, 1 - exact)).mean()
    )


@pytest.mark.parametrize("n_sessions", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_two_items_without_signal_lose_next_to_nothing(n_sessions: int) -> None:
    lost = []
    for seed in range(n_sessions):
        rng = np.random.default_rng(seed)
        model = fitted(*trials(300, 1 / 3, 0.0, rng))
        later, truth = trials(3000, 1 / 3, 0.0, rng)
        p = probability(model, later)
        lost.append(1 + np.log2(np.where(truth, p, 1 - p)).mean())
    assert np.mean(lost) > -0.002
    assert min(lost) > -0.01
