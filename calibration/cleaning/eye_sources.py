"""Find the sources that are active when the eyes are, and little at rest.

A generalized eigendecomposition of the covariance during eye activity against that at rest. This
module knows nothing of channel types, of cues or of the live stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from calibration.cleaning.eye_moves import mean_around

__all__ = ["LEAST_RATIO", "LEAST_REST", "MAX_RANK", "NO_ONSETS", "Sources", "fit_sources"]

MAX_RANK = 5
NO_ONSETS = np.empty(0, np.int64)
LEAST_REST = 2.0  # s; of eye activity, too
LEAST_RATIO = 2.5  # of variances; the gate of a source below it would hardly ever open
_SHRINKAGE = 1e-3  # least shrinkage towards a multiple of the identity
_N_NULL = 20
_WINDOW = 0.3  # s in which the size of a source is measured to find its scale at rest
_QUANTILE = 0.05
_CALM, _MARGIN = 3.0, 0.15  # scales at rest; s
_RESPONSE = 0.8  # s after an event in which it is answered
_LEAST_ANSWERS = 4  # at rest, in each half of the events, at each time after them
_PROTECTION = 5.0  # times the power of answers is added to that at rest
_STRONG = 0.5  # of the size that a source seldom exceeds


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Eye sources of scaled channels, the strongest first. c channels, k sources."""

    mixing: np.ndarray  # (c, k)
    unmixing: np.ndarray  # (c, k)
    rest_scale: np.ndarray  # (k,)
    at_rest: np.ndarray  # (c, c) power at rest, and of answers
    ratios: np.ndarray  # (c,) of variances, largest first
    null: float  # largest ratio of rest to rest
    rank: int  # number of sources whose ratio stands out


def fit_sources(
    x: np.ndarray,
    eye: np.ndarray,
    rest: np.ndarray,
    sfreq: float,
    most: int,
    onsets: np.ndarray = NO_ONSETS,
) -> Sources:
    """Fit the sources twice; the second fit uses what the first found.

    The sources show the eyes better than any channel. So the second fit takes rest from them, and
    weighs the strongest moments of each source equally: a blink is brief, a gaze is long.

    Answers to events may look like eye activity from outside, and are so weak that rest tells
    little of them. The mean answer at rest joins both sides of the ratio five times over, so that
    sources do without it.

    Parameters
    ----------
    x : array of shape (n, c), float64
        Channels, in units of their typical size at rest.
    eye, rest : array of shape (n,), bool
        Samples of eye activity, and samples at rest.
    sfreq : float
        Sampling rate in Hz.
    most : int
        Number of sources to return.
    onsets : array of shape (n_events,), int
        Samples at which events begin; each is followed by 0.8 s.

    Returns
    -------
    Sources
    """
    groups = [eye]
    for again in (True, False):
        answers = _PROTECTION * _answers(x, rest, sfreq, onsets)
        ratios, w, a = _gevd(x, groups, rest, sfreq, answers)
        null = _null_ratio(x, np.any(groups, axis=0), rest, sfreq, answers)
        rank = min(int(np.sum(ratios > max(LEAST_RATIO, null))), MAX_RANK)
        scale = _rest_scale(x @ w, rest, sfreq, max(rank, 1))
        if again and rank:
            sizes = np.abs(x @ w[:, :rank] / scale[:rank])
            margin = 2 * round(_MARGIN * sfreq) + 1
            calm = mean_around((sizes.max(axis=1) > _CALM).astype(float), margin) < 0.5 / margin
            calm &= ~eye
            if calm.sum() >= LEAST_REST * sfreq:
                rest = calm
                strong = np.maximum(_STRONG * np.quantile(sizes, 0.98, axis=0), 2 * _CALM)
                strongest = [eye & group for group in (sizes > strong).T]
                groups = [group for group in strongest if group.any()] or [eye]
    scale[rank:] *= 2
    # as w' P w = I and a = P w, the power at rest P is a a'
    return Sources(a[:, :most], w[:, :most], scale[:most], a @ a.T, ratios, null, rank)


def _gevd(
    x: np.ndarray, groups: Sequence[np.ndarray], rest: np.ndarray, sfreq: float, answers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute variance ratios (c,), unmixing and mixing (c, c), largest ratio first.

    A ratio is the variance averaged over the groups of samples, over the variance at rest. The
    variance of answers (c, c) is added to both.
    """
    c = x.shape[1]
    at_rest = _power(x, rest)
    n_free = rest.sum() * min(1.0, 80.0 / sfreq)  # independent samples in a band of 40 Hz
    shrinkage = min(max(_SHRINKAGE, 0.05 * c / n_free), 0.5)
    at_rest = (1 - shrinkage) * at_rest + shrinkage * np.trace(at_rest) / c * np.eye(c)
    at_rest = at_rest + answers
    active = np.mean([_power(x, group) for group in groups], axis=0) + answers
    ratios, w = eigh(active, at_rest)
    return ratios[::-1], w[:, ::-1], at_rest @ w[:, ::-1]


def _power(x: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Compute the mean outer product (c, c) of the samples of `x` at `where`."""
    part = x[where]
    return part.T @ part / len(part)


def _answers(x: np.ndarray, rest: np.ndarray, sfreq: float, onsets: np.ndarray) -> np.ndarray:
    """Compute the power (c, c) of the mean answer to events at rest; 0 if there are too few.

    It is the product of the means of two halves of the events, in which all else cancels.
    """
    n, c = round(_RESPONSE * sfreq), x.shape[1]
    sums, counts = np.zeros((2, n, c)), np.zeros((2, n))
    for number, at in enumerate(onsets[onsets + n <= len(x)].tolist()):
        calm = rest[at : at + n]
        sums[number % 2] += x[at : at + n] * calm[:, None]
        counts[number % 2] += calm
    enough = (counts >= _LEAST_ANSWERS).all(axis=0)
    if enough.mean() < 0.5:
        return np.zeros((c, c))
    first, second = sums[:, enough] / counts[:, enough, None]
    values, vectors = np.linalg.eigh((first.T @ second + second.T @ first) / (2 * enough.sum()))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _null_ratio(
    x: np.ndarray, eye: np.ndarray, rest: np.ndarray, sfreq: float, answers: np.ndarray
) -> float:
    """Find the largest ratio of rest to rest, over circular shifts of the eye activity."""
    found = [0.0]
    least = 0.1 * min(eye.sum(), rest.sum())
    for shift in np.linspace(0, len(x), _N_NULL + 2)[1:-1].astype(int):
        covered = np.roll(eye, shift)
        inside, outside = rest & covered, rest & ~covered
        if min(inside.sum(), outside.sum()) >= least:
            found.append(float(_gevd(x, [inside], outside, sfreq, answers)[0][0]))
    return max(found)


def _rest_scale(sources: np.ndarray, rest: np.ndarray, sfreq: float, rank: int) -> np.ndarray:
    """Estimate the standard deviation (k,) of each source without eye activity.

    Gaze is seldom quite still, so rest holds some eye activity; the quietest windows of a source
    hold none. How much smaller the quietest windows of brain activity are than its standard
    deviation is measured on the sources that have nothing to do with the eyes.
    """
    at_rest = sources[rest].std(axis=0)
    length = max(round(_WINDOW * sfreq), 2)
    n = len(sources) // length * length
    windows = sources[:n].reshape(-1, length, sources.shape[1])
    quiet = np.quantile(np.sqrt(np.mean(windows**2, axis=1)), _QUANTILE, axis=0)
    others = slice(rank, None)
    alive = at_rest[others] > 1e-6 * at_rest.max()
    if alive.sum() < 4:
        return np.maximum(at_rest, 1e-300)
    ratio = np.median(quiet[others][alive] / sources[:, others][:, alive].std(axis=0))
    return np.maximum(np.minimum(quiet / max(ratio, 1e-3), 1.2 * at_rest), 1e-300)
