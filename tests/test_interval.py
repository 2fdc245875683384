"""Intervals of mean scores hold the truth about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.interval import mean_interval


@pytest.mark.parametrize("unit", [1, 4])
def test_the_interval_holds_the_truth(unit: int) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        values = np.repeat(rng.normal(0.5, 0.2, 40), unit)
        low, high = mean_interval(values, unit, seed)
        hits += low <= 0.5 <= high
    assert 175 <= hits <= 199
