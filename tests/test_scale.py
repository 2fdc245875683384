"""The first seconds of a stream against the scale of calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.design import draft_model
from rt_decoder.cleaning.scale import ScaleCheck, channels_off, measuring_filter, scale_check
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recorded import decode_recording, features_of_recording
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


# --- recordings

RECORDING = small_recording(seconds=15.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(RECORDING, small_recipe())


def scaled(gain: float | np.ndarray, more: np.ndarray | float = 0.0) -> Recording:
    """The recording with its EEG at another scale, and something added."""
    data = RECORDING.data.copy()
    data[:, :8] = gain * (data[:, :8] + more)
    return replace(RECORDING, data=data, name="other.xdf")


def decoded(model: Model, recording: Recording) -> int:
    return len(list(decode_recording(model, recording, recording.markers)))


def evaluated(model: Model, recording: Recording) -> int:
    return len(list(features_of_recording(model, recording, recording.markers)))


@pytest.mark.parametrize("meet", [decoded, evaluated])
@pytest.mark.parametrize("gain", [1e-6, 1e-3, 1 / 30, 30.0, 1e3, 1e6])
def test_a_recording_of_another_unit_is_refused_with_the_factor(model, meet, gain) -> None:
    with pytest.raises(ModelMismatch, match=r"^other\.xdf: need the scale of cal.* x[\d.e+-]+,"):
        meet(model, scaled(gain))
    short = scaled(gain)
    with pytest.raises(ModelMismatch, match="need the scale of calibration"):
        meet(model, replace(short, data=short.data[:500], stamps=short.stamps[:500], markers=()))


@pytest.mark.parametrize("meet", [decoded, evaluated])
def test_what_another_day_brings_is_no_unit(model, meet) -> None:
    n = meet(model, RECORDING)
    times = RECORDING.stamps[:, None]
    mains = 100e-6 * np.sqrt(2) * np.sin(2 * np.pi * 50.0 * times)
    for other in (scaled(3.0), scaled(1 / 3), scaled(1.0, mains), scaled(1.0, 0.3 + 1e-5 * times)):
        assert meet(model, other) == n


def test_a_loose_electrode_of_a_recording_is_said(model) -> None:
    gain = np.ones(8)
    gain[2] = 1e-3
    with pytest.warns(RuntimeWarning, match=rf"other\.xdf: .* {RECORDING.info.ch_names[2]} x0\.00"):
        decoded(model, scaled(gain))


def test_runs_of_a_fit_have_one_scale() -> None:
    draft_model([RECORDING, scaled(3.0)], small_recipe())
    with pytest.raises(
        ModelMismatch, match=r"other\.xdf: need the scale of session-1, got .*x0\.001"
    ):
        draft_model([RECORDING, scaled(1e-3)], small_recipe())


def test_a_model_of_an_earlier_version_compares_steps(model) -> None:
    old = replace(model, channel_level=np.zeros(0))
    assert decoded(old, RECORDING)
    with pytest.raises(ModelMismatch, match=r"x0\.000"):
        decoded(old, scaled(1e-3))


def test_faster_streams_are_measured_in_the_same_band(model) -> None:
    slow = noise_between(250.0, 4000)
    fast = np.repeat(slow, 4, axis=0)
    levels = []
    for data, sfreq in ((slow, 250.0), (fast, 1000.0)):
        check = ScaleCheck(np.ones(3), len(data) - 1, measuring_filter(model, sfreq))
        levels.append(check.update(data))
    np.testing.assert_allclose(levels[0], levels[1], rtol=0.05)


def noise_between(sfreq: float, n: int) -> np.ndarray:
    times = np.arange(n)[:, None] / sfreq
    return np.sin(2 * np.pi * np.array([5.0, 8.0, 12.0]) * times)


def test_a_channel_in_use_that_holds_no_number_is_named() -> None:
    data = RECORDING.data.copy()
    data[:, 3] = np.nan
    with pytest.raises(ValueError, match=rf"only NaN in {RECORDING.info.ch_names[3]}: leave it"):
        draft_model([replace(RECORDING, data=data)], small_recipe())
