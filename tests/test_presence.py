"""The posterior of windows at any time: fitted on what is said in them, though some cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.hops import Hops
from calibration.presence import Presence, fit_presence
from calibration.scores import expected_calibration_error

N_ITEMS, RANK = 6, 5
ITEMS = np.linalg.qr(np.random.default_rng(0).standard_normal((N_ITEMS, N_ITEMS)))[0][:, :RANK]
ITEMS /= np.linalg.norm(ITEMS, axis=1, keepdims=True)
PRIOR = np.log(np.full(N_ITEMS, 1 / N_ITEMS))


def windows(seed: int, strength: float, n: int = 8000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tenth are of an item, of which half can be read: cosines, lengths, and what is said."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(n) < 0.1, rng.integers(0, N_ITEMS, n), -1)
    is_read = (said >= 0) & (rng.random(n) < 0.5)
    y = rng.standard_normal((n, RANK)) + strength * is_read[:, None] * ITEMS[said]
    lengths = np.linalg.norm(y, axis=1)
    return y / lengths[:, None] @ ITEMS.T, lengths, said


def shown(found: Presence, cosines: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Probabilities as a live readout shows them (n, items + 1), the last one of nothing."""
    gain = lengths / np.hypot(lengths, found.length)
    energy = found.tau * gain[:, None] * cosines + PRIOR
    weights = np.exp(np.column_stack([energy, np.full(len(energy), found.nothing)]))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("strength", [0.0, 3.0, 5.0])
def test_what_it_shows_is_true_of_new_windows(strength: float) -> None:
    cosines, lengths, said = windows(1, strength)
    found = fit_presence(cosines, lengths, said, PRIOR)
    assert found.unread == pytest.approx(0.1 if strength == 0 else 0.05, abs=0.03)
    cosines, lengths, said = windows(2, strength)
    p = shown(found, cosines, lengths)
    best, right = p[:, :-1].max(axis=1), p[:, :-1].argmax(axis=1) == said
    assert expected_calibration_error(best, right) < 0.03
    likely = best > 0.1
    if strength:
        assert likely.sum() > 200
        assert expected_calibration_error(best[likely], right[likely]) < 0.06
    truly = p[:, -1] * (1 - found.unread)
    assert expected_calibration_error(truly, said == -1) < 0.03


def test_weights_stand_for_windows_and_the_unit_of_length_does_not_count() -> None:
    cosines, lengths, said = windows(3, 4.0)
    whole = fit_presence(cosines, lengths, said, PRIOR)
    scaled = fit_presence(cosines, 1e-3 * lengths, said, PRIOR)
    assert scaled.length == pytest.approx(1e-3 * whole.length, rel=0.05)
    assert scaled.nothing == pytest.approx(whole.nothing, rel=0.05)
    kept = np.concatenate([np.flatnonzero(said >= 0), np.flatnonzero(said < 0)[::4]])
    weights = np.where(said[kept] >= 0, 1, 4)
    thinned = fit_presence(cosines[kept], lengths[kept], said[kept], PRIOR, weights)
    expected, got = shown(whole, cosines, lengths), shown(thinned, cosines, lengths)
    assert np.abs(expected - got).mean() < 0.01


def test_windows_of_one_kind_are_refused() -> None:
    cosines, lengths, _ = windows(4, 1.0, n=50)
    for one in (np.full(50, -1), np.zeros(50, int)):
        with pytest.raises(ValueError, match="need windows with an item and windows with none"):
            fit_presence(cosines, lengths, one, PRIOR)


def test_a_window_is_of_the_event_that_it_begins_at_or_lies_in() -> None:
    onset = np.array([0.0, 0.95, 1.0, 1.09, 1.11, 3.0, 4.0, 5.3, 7.0])
    zeros = np.zeros(len(onset))
    hops = Hops(
        onset, zeros, zeros, zeros.astype(int), zeros > -1,
        np.array([1.0, 3.0, 7.0]), np.array([1.8, 6.0, 7.8]), np.array([4, 2, -1]),
        0.8, 0.01, 0.8, np.zeros((len(onset), 1)),
    )  # fmt: skip
    assert hops.said().tolist() == [-1, 4, 4, 4, -1, 2, 2, -1, -2]
