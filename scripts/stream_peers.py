"""Decode the epochs of `eval_stream.py` by what the field uses: its peers on the same split.

Shrinkage LDA sees the features of our design, unscaled (`lda`), or scaled and clamped as ours are
(`clamped`), which keeps blinks from ruling its covariance. Xdawn covariances in tangent space, with
logistic regression, see every cleaned sample of the same windows; they need pyriemann. Both come
out of the live pipeline, as calibration's features do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from calibration.design import Design, build_design
from calibration.events import LabelledRecording
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.model import Model

PEERS = ("lda", "clamped", "xdawn")


def peer_aucs(
    draft: Model,
    train: Design,
    calibration: Sequence[LabelledRecording],
    test: LabelledRecording,
    second: str,
) -> dict[str, float | None]:
    """AUC of each of `PEERS` for the item `second`; None for Xdawn without pyriemann."""
    held_out = build_design(draft, [test])
    scaled = clamped(train, held_out, draft.recipe.features.clamp)
    found: dict[str, float | None] = {
        "lda": lda_auc(train, held_out, second),
        "clamped": lda_auc(*scaled, second),
        "xdawn": None,
    }
    if find_spec("pyriemann") is not None:
        raw = epochs_draft(draft)
        designs = build_design(raw, calibration), build_design(raw, [test])
        found["xdawn"] = xdawn_auc(*designs, second, draft.n_picks)
    return found


def auc(is_second: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the curve of `scores` (n,); None unless both items are there."""
    return float(roc_auc_score(is_second, scores)) if len(set(is_second.tolist())) == 2 else None


def lda_auc(train: Design, test: Design, second: str) -> float | None:
    """Fit shrinkage LDA on one design, and score the other."""
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    lda.fit(np.asarray(train.X, float), is_second(train, second))
    scores = lda.decision_function(np.asarray(test.X, float))
    return auc(is_second(test, second), scores)


def clamped(train: Design, test: Design, clamp: float) -> tuple[Design, Design]:
    """Return both designs with their features scaled by the first one, and clamped."""
    center, scale = robust_scale(train.X)
    first, second = (
        replace(design, X=scale_features(design.X, center, scale, clamp))
        for design in (train, test)
    )
    return first, second


def xdawn_auc(train: Design, test: Design, second: str, n_channels: int) -> float | None:
    """Fit Xdawn, tangent space and logistic regression on epochs, and score the other design."""
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace

    peer = make_pipeline(
        XdawnCovariances(nfilter=2, estimator="oas"),
        TangentSpace(),
        LogisticRegression(max_iter=1000),
    )
    peer.fit(epochs(train, n_channels), is_second(train, second))
    scores = peer.decision_function(epochs(test, n_channels))
    return auc(is_second(test, second), scores)


def is_second(design: Design, second: str) -> np.ndarray:
    """Whether each event has the item `second`, (n,) bool."""
    return np.array(design.labels) == second


def epochs_draft(draft: Model) -> Model:
    """Return the draft with a feature for every cleaned sample of the window."""
    features = replace(draft.recipe.features, kind="amplitude", decim=1, baseline=())
    return replace(draft, recipe=replace(draft.recipe, features=features))


def epochs(design: Design, n_channels: int) -> np.ndarray:
    """Epochs (n, n_channels, n_samples) in uV, from a design of `epochs_draft`."""
    return 1e6 * np.asarray(design.X, float).reshape(len(design.X), -1, n_channels).swapaxes(1, 2)
