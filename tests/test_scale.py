"""The first seconds of a stream against the scale of calibration."""

from __future__ import annotations

import numpy as np
import pytest

from rt_decoder.live.scale import ScaleCheck, channels_off, scale_check
from rt_decoder.signal import ModelMismatch
from tests.small import random_model, small_recipe, small_recording

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


def test_one_loose_electrode_is_told_and_a_wrong_unit_is_refused() -> None:
    recording = small_recording(seconds=10.0)
    model = random_model(recording, small_recipe())
    n, names = model.n_picks, model.info.ch_names
    ratio = np.ones(model.info.n_channels)
    assert channels_off(model, ratio) == []
    ratio[1] = 20.0
    assert channels_off(model, ratio) == [f"{names[1]} x20"]
    ratio[0] = 1e-3
    assert n == 8
    with pytest.raises(
        ModelMismatch, match=rf"got {names[0]} x0\.001, {names[1]} x20: is the unit"
    ):
        channels_off(model, ratio)
    assert channels_off(model, np.append(np.ones(n), 1e6)) == []  # a reference may be as it likes


def test_seconds_become_samples() -> None:
    model = random_model(small_recording(seconds=10.0), small_recipe())
    check = scale_check(model, 100.0)
    data = np.random.default_rng(0).standard_normal((1001, model.info.n_channels))
    check.update(data[:1000])
    assert not check.done
    check.update(data[1000:])
    assert check.done
