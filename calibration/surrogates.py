r"""Null distributions that move labels in time, or take what happened out of the signal.

Random phases, the same for all features of a recording, are an orthogonal circulant matrix
:math:`C`: spectra and correlations of the features stay, when what happened is lost. Then
:math:`(CX)^\top(CX) = X^\top X` and :math:`(CX)^\top Y = X^\top(C^\top Y)`, so that a refit is one
more column of targets on the same eigendecomposition.

References
----------
Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S (surrogates of random phases)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.gram import RidgeGram
from calibration.nulls import NullTest
from calibration.scores import cosine, rank_accuracy

__all__ = ["circular_shift_test", "phase_test", "random_phases"]

N_PHASES = 99
_AT_ONCE = 8  # refits


def circular_shift_test(table: np.ndarray, truth: np.ndarray, memory: int = 0) -> NullTest:
    """Test how well events match their items against labels shifted around, by all shifts.

    Parameters
    ----------
    table : array of shape (n, V)
        Score of event t if its item were v; higher is better.
    truth : array of shape (n,), int
        Item of each event, in order of time.
    memory : int
        Events over which neighbours are alike: smaller shifts are no null.

    Returns
    -------
    NullTest
        Its smallest p is one over the number of shifts, the one by nothing included.

    Raises
    ------
    ValueError
        If there is not one item per event.
    """
    table, truth = np.asarray(table, float), np.asarray(truth)
    n = len(truth)
    if table.ndim != 2 or len(table) != n or n < 2:
        raise ValueError(f"need an item for each of 2 events or more, got {n} and {table.shape}")
    events = np.arange(n)
    least = min(memory + 1, n // 2)
    shifts = np.arange(least, n - least + 1)
    observed = float(table[events, truth].mean())
    null = np.array([table[events, np.roll(truth, shift)].mean() for shift in shifts])
    n_as_high = int(np.sum(null >= observed - 1e-12))
    smallest = 1 / (len(null) + 1)
    return NullTest(observed, (n_as_high + 1) * smallest, null, smallest)


def random_phases(rows: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Randomise the phases over the events of each run, the same for all columns.

    Parameters
    ----------
    rows : array of shape (n, p)
        In order of time.
    run : array of shape (n,)
        Recording of each event.
    rng : numpy.random.Generator

    Returns
    -------
    array of shape (n, p), float64
        The means of each run, and all products of its columns, are those of `rows`.
    """
    rows, run = np.asarray(rows, float), np.asarray(run)
    found = np.empty_like(rows)
    for one in np.unique(run):
        at = np.flatnonzero(run == one)
        spectrum = np.fft.rfft(rows[at], axis=0)
        turn = np.exp(2j * np.pi * rng.random(len(spectrum)))
        turn[0] = 1.0
        if len(at) % 2 == 0:
            turn[-1] = rng.choice([-1.0, 1.0])
        found[at] = np.fft.irfft(spectrum * turn[:, None], len(at), axis=0)
    return found


def phase_test(
    ridge: RidgeGram,
    penalty: float,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray, np.ndarray],
    items: np.ndarray,
    seed: int = 0,
) -> NullTest:
    """Refit with random phases, in training and test, and rank the items.

    Parameters
    ----------
    ridge : RidgeGram
        Of the training events.
    penalty : float
        Its alpha.
    train : (Y, run), arrays of shapes (n_train, r) and (n_train,)
        Targets and recording of the training events.
    test : (X, truth, run), arrays of shapes (n, p), (n,) and (n,)
        Features, item and recording of the test events.
    items : array of shape (V, r)
    seed : int

    Returns
    -------
    NullTest
        The score is that of the same refit without random phases.
    """
    (Y, run), (X, truth, test_run) = train, test
    rng, r = np.random.default_rng(seed), Y.shape[1]

    def scores(targets: Sequence[np.ndarray], turned: bool) -> list[float]:
        both = next(ridge.sweep_new(X, np.hstack(targets), [penalty]))
        if turned:  # as the features, since the map is linear
            both = np.hstack([random_phases(one, test_run, rng) for one in _columns(both, r)])
        return [float(rank_accuracy(cosine(one, items), truth).mean()) for one in _columns(both, r)]

    observed, null = scores([Y], False)[0], list[float]()
    while len(null) < N_PHASES:
        n = min(_AT_ONCE, N_PHASES - len(null))
        null += scores([random_phases(Y, run, rng) for _ in range(n)], True)
    smallest = 1 / (N_PHASES + 1)
    p = (int(np.sum(np.array(null) >= observed - 1e-12)) + 1) * smallest
    return NullTest(observed, p, np.array(null), smallest)


def _columns(table: np.ndarray, r: int) -> list[np.ndarray]:
    return np.split(table, table.shape[1] // r, axis=1)
