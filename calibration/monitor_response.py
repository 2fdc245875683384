"""Fit the mean response to events, by which a session is told from calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rt_decoder.monitor.response import LAGS, ORDER, EventScores

__all__ = ["Response", "fit_response", "score_epochs"]

_RANK = 4
_FOLDS = 5


class Response(NamedTuple):
    """The mean response of calibration, as arguments of `EventScores` and `ResponseTest`."""

    projection: np.ndarray  # (c, r)
    ar: np.ndarray  # (ORDER,)
    template: np.ndarray  # (n_times, r)
    log_size: float
    profile: np.ndarray  # (2 * LAGS + 1,)
    spread: float
    spreads: np.ndarray  # (2 * LAGS + 1,)
    n: int  # events


class _Whitening(NamedTuple):
    ar: np.ndarray  # (ORDER,)
    root: np.ndarray  # (c, c), takes samples to whitened components


def fit_response(epochs: np.ndarray, sfreq: float) -> Response | None:
    """Fit the template on epochs, and its scores out of fold.

    A common autoregression and the covariance of its residuals whiten the epochs; the template is their
    mean from the onset on, of rank 4 at most. Scores of five contiguous folds, each by the template of
    the others, give their mean, which becomes 1, and their spread.

    Parameters
    ----------
    epochs : array of shape (n, n_bins, c)
        Binned as `EventScores.look` does, in order of time.
    sfreq : float
        Sampling rate in Hz before binning.

    Returns
    -------
    Response or None
        None where no response is found at all.
    """
    if len(epochs) < 2 * _FOLDS:
        return None
    white = _whitening(epochs)
    folds = np.array_split(np.arange(len(epochs)), _FOLDS)
    scores = np.zeros((len(epochs), 2 * LAGS + 1))
    for fold in folds:
        others = np.setdiff1d(np.arange(len(epochs)), fold)
        projection, template = _template(epochs[others], white)
        norm = float(np.sum(template**2))
        if not norm > 0:
            return None
        scores[fold] = _scores(epochs[fold], sfreq, projection, white.ar, template / norm)[0]
    level = float(scores[:, LAGS].mean())
    if not level > 0:
        return None
    projection, template = _template(epochs, white)
    # the noise in the template falls with its events, of which the final one has more
    final = 1 / (1 + (1 - 1 / _FOLDS) * (1 / level - 1))
    template = template / (np.sum(template**2) * final)
    scores /= level
    log_size = _scores(epochs, sfreq, projection, white.ar, template)[1]
    difference = scores - scores[:, LAGS : LAGS + 1]
    return Response(
        projection, white.ar, template, log_size, scores.mean(axis=0),
        float(scores[:, LAGS].std(ddof=1)), difference.std(axis=0, ddof=1), len(epochs),
    )  # fmt: skip


def _whitening(epochs: np.ndarray) -> _Whitening:
    """Autoregression common to all channels, and the inverse root of the residuals' covariance."""
    from sklearn.covariance import ledoit_wolf

    c = epochs.shape[2]
    scale = epochs.std(axis=(0, 1))
    scale = np.where(scale > 0, scale, np.inf)
    noise = (epochs - epochs.mean(axis=0)) / scale
    n_bins = noise.shape[1]
    products = [np.mean(noise[:, lag:] * noise[:, : n_bins - lag]) for lag in range(ORDER + 1)]
    gram = np.array([[products[abs(i - j)] for j in range(ORDER)] for i in range(ORDER)])
    ar = np.linalg.solve(gram + 1e-9 * products[0] * np.eye(ORDER), np.array(products[1:]))
    residual = _residual(noise, ar).reshape(-1, c)
    step = max(1, len(residual) // 200_000)
    covariance, _ = ledoit_wolf(residual[::step], assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors / np.sqrt(np.maximum(values, 1e-9 * values[-1])) @ vectors.T
    return _Whitening(ar, root / scale[:, None])


def _residual(epochs: np.ndarray, ar: np.ndarray) -> np.ndarray:
    """Whiten epochs (n, n_bins, c) in time, (n, n_bins - ORDER, c)."""
    out = epochs[:, ORDER:].copy()
    for j, weight in enumerate(ar):
        out -= weight * epochs[:, ORDER - 1 - j : epochs.shape[1] - 1 - j]
    return out


def _template(epochs: np.ndarray, white: _Whitening) -> tuple[np.ndarray, np.ndarray]:
    """Spatial components (c, r) and whitened response (n_times, r), of the lowest rank that counts."""
    mean = _residual(epochs.mean(axis=0, keepdims=True), white.ar)[0] @ white.root
    n_times = mean.shape[0] - 2 * LAGS
    left, values, right = np.linalg.svd(mean[LAGS : LAGS + n_times], full_matrices=False)
    r = min(_RANK, len(values))
    return white.root @ right[:r].T, left[:, :r] * values[:r]


def score_epochs(epochs: np.ndarray, sfreq: float, response: Response) -> np.ndarray:
    """Score epochs as a session does.

    Parameters
    ----------
    epochs : array of shape (n, n_bins, c)
        In order of time.
    sfreq : float
        Sampling rate in Hz before binning.
    response : Response
        To compare with.

    Returns
    -------
    array of shape (n, n_lags)
    """
    scorer = EventScores(
        sfreq, response.projection, response.ar, response.template, response.log_size
    )
    scores = np.zeros((len(epochs), 2 * LAGS + 1))
    for row, epoch in zip(scores, epochs @ response.projection, strict=True):
        scorer.bins[:] = epoch
        if scorer.score():
            row[:] = scorer.scores
    return scores


def _scores(
    epochs: np.ndarray, sfreq: float, projection: np.ndarray, ar: np.ndarray, template: np.ndarray
) -> tuple[np.ndarray, float]:
    """Score epochs with a template, (n, n_lags); and the mean log size of their components."""
    residuals = _residual(epochs @ projection, ar)
    log_size = float(np.mean(0.5 * np.log(np.maximum(np.mean(residuals**2, axis=(1, 2)), 1e-300))))
    nothing = np.zeros(2 * LAGS + 1)
    response = Response(projection, ar, template, log_size, nothing, 1.0, nothing, len(epochs))
    return score_epochs(epochs, sfreq, response), log_size
