"""Doubt in a watched reference: it fades out soon after it goes wrong, whatever the cuts."""

from __future__ import annotations

import numpy as np
import pytest

from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.signal import FLAGS, Chunk, SignalInfo
from tests.contract import copy, cut, join

C, SFREQ, BEGINS = 8, 100.0, 60.0
INFO = SignalInfo(SFREQ, (*"abcdefgh", "RESP"), ("eeg",) * C + ("resp",), ("V",) * (C + 1))


def stage(weights: np.ndarray) -> Regressors:
    """A belt of RMS 1 mV, whose breath is 1 in the direction in which all else is 1."""
    size = float(weights @ weights)
    watched = np.concatenate(
        [2e5 * weights / np.sqrt(size) * 0.5, [1e5 * np.sqrt(size)], [1.0, 5.0, 0.0]]
    )
    watched[-3] = (1e5 * np.sqrt(size)) ** 2
    return Regressors(
        INFO, ["RESP"], np.zeros((1, 2), int), weights[None], np.eye(1), np.array([1e-3]),
        np.array([4.5e-3]), np.full(C, 1e-5), None, None, watched[None],
    )  # fmt: skip


def recorded(factor: float, seed: int = 0) -> tuple[Chunk, np.ndarray, np.ndarray]:
    """Breath that the belt shows, `factor` as large from the fault on; clean data and weights."""
    rng, n = np.random.default_rng(seed), round(120 * SFREQ)
    breath = np.sqrt(2) * np.sin(2 * np.pi * 0.25 * np.arange(n) / SFREQ)
    weights = 5e-6 * rng.standard_normal(C)
    clean = 1e-5 * rng.standard_normal((n, C))
    belt = 1e-3 * np.where(np.arange(n) < BEGINS * SFREQ, 1.0, factor) * breath
    data = np.column_stack([clean + np.outer(breath, weights), belt])
    flags = np.zeros(n, FLAGS), np.zeros(data.shape, FLAGS)
    return Chunk(data, np.arange(n) / SFREQ, 0, *flags), clean, weights


def left(factor: float, start: float, stop: float) -> float:
    """RMS of what is left of the breath, over that without the stage."""
    chunk, clean, weights = recorded(factor)
    out = stage(weights).process(chunk).data[:, :C]
    rows = slice(round(start * SFREQ), round(stop * SFREQ))
    errors = out - clean, chunk.data[:, :C] - clean
    now, before = (float(np.sqrt(np.mean(e[rows] ** 2))) for e in errors)
    return now / before


@pytest.mark.parametrize("factor", [-6.0, -1.0, 3.0, 4.0, 6.0, 100.0])
def test_a_belt_that_goes_wrong_harms_for_a_moment_only(factor: float) -> None:
    assert left(factor, 40.0, BEGINS) < 0.3
    assert left(factor, BEGINS, BEGINS + 50.0) <= 1.05
    assert left(factor, BEGINS + 10.0, BEGINS + 50.0) <= 1.01


def test_what_speaks_against_a_belt_counts_at_once() -> None:
    """The running mean alone would take longer: 1.14."""
    assert left(-1.0, BEGINS, BEGINS + 10.0) <= 1.1


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3])
def test_a_belt_that_still_helps_is_kept(factor: float) -> None:
    assert left(factor, BEGINS, BEGINS + 50.0) < 0.75


def test_no_cut_changes_what_is_doubted() -> None:
    chunk, _, weights = recorded(-1.0)
    whole = copy(stage(weights).process(chunk))
    one = stage(weights)
    pieces = [copy(one.process(piece)) for piece in cut(chunk, [1, 10, 6001, 6013, 7000])]
    np.testing.assert_array_equal(join(pieces, chunk).data, whole.data)


def test_reset_forgets_doubt() -> None:
    chunk, _, weights = recorded(-1.0)
    one = stage(weights)
    first = copy(one.process(chunk)).data
    assert one.agreement[0] < 0.0
    one.reset()
    np.testing.assert_array_equal(one.process(chunk).data, first)
