"""The first seconds of a stream against the scale of calibration."""

from __future__ import annotations

import numpy as np
import pytest

from rt_decoder.live.scale import ScaleCheck

N = 2500
EXPECTED = np.array([1e-6, 2e-6, 3e-6])


def ratio(data: np.ndarray, chunk: int) -> np.ndarray:
    check = ScaleCheck(EXPECTED, N)
    for first in range(0, len(data), chunk):
        found = check.update(data[first : first + chunk])
        if found is not None:
            assert check.done
            return found
    raise AssertionError("need more samples")


def noise() -> np.ndarray:
    """Walks whose steps have the mean size that is expected, (n, 3)."""
    steps = np.random.default_rng(0).standard_normal((N + 100, 3))
    return np.cumsum(steps * EXPECTED * np.sqrt(np.pi / 2), axis=0)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_the_ratio_is_that_of_the_units(chunk: int) -> None:
    np.testing.assert_allclose(ratio(noise(), chunk), 1.0, atol=0.1)
    np.testing.assert_allclose(ratio(1e6 * noise(), chunk), 1e6, rtol=0.1)


@pytest.mark.parametrize("chunk", [1, 7, 100, 2600])
def test_a_cap_that_is_plugged_in_is_no_scale(chunk: int) -> None:
    data = noise()
    data[400:] += 0.2
    data[700:750] = np.nan
    data[800] = np.inf
    data[1200:] -= 0.3
    np.testing.assert_allclose(ratio(data, chunk), 1.0, atol=0.1)
    np.testing.assert_allclose(ratio(data, chunk), ratio(data, 13), rtol=1e-9)


def test_what_stands_still_at_first_says_nothing() -> None:
    data = noise()
    data[:1400] = 0.0
    np.testing.assert_allclose(ratio(data, 50), 1.0, atol=0.1)
    np.testing.assert_allclose(ratio(1e6 * data, 50), 1e6, rtol=0.1)


def test_a_channel_that_is_not_there_has_no_scale() -> None:
    data = noise()
    data[:, 1] = np.nan
    data[:, 2] = 1.0
    np.testing.assert_array_equal(ratio(data, 50)[1:], 0.0)
    np.testing.assert_allclose(ratio(data, 50)[0], 1.0, atol=0.1)
