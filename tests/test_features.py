"""Features of a window against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.decoding.features import FeatureWindow, robust_scale, scale_features
from rt_decoder.decoding.ring import Ring
from rt_decoder.signal import FLAGS, Reason
from tests.contract import INFO, allocated, make_chunk

SFREQ, C = INFO.sfreq, INFO.n_channels


def around(window, seed=0):
    """Samples that a window asks for, and the offset of each from the onset."""
    chunk = make_chunk(window.n_samples, seed)
    return chunk.data, chunk.flags, np.arange(window.first, window.last)


@given(
    tmin=st.integers(-60, 60),
    n=st.integers(1, 80),
    decim=st.integers(1, 9),
    baseline=st.none() | st.tuples(st.integers(-60, 100), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_amplitudes_are_bin_means_less_baseline(tmin, n, decim, baseline):
    n = max(n, decim)
    span = baseline and (baseline[0] / SFREQ, (baseline[0] + baseline[1]) / SFREQ)
    window = FeatureWindow(
        INFO, "amplitude", tmin / SFREQ, (tmin + n) / SFREQ, decim=decim, baseline=span
    )
    data, flags, offsets = around(window)
    rows = data[(offsets >= tmin) & (offsets < tmin + n // decim * decim)]
    want = rows.reshape(n // decim, decim, C).mean(axis=1)
    if baseline:
        inside = (offsets >= baseline[0]) & (offsets < sum(baseline))
        assert inside.sum() == baseline[1]
        want = want - data[inside].mean(axis=0)
    features = window.process(data, flags, 1.5)
    assert features.values.dtype == np.float32
    assert np.allclose(features.values, want.ravel(), rtol=1e-5, atol=1e-10)
    assert features.time == 1.5
    assert window.n_features == want.size


def test_bin_and_channel_order():
    window = FeatureWindow(INFO, "amplitude", 0.1, 0.2, decim=10)
    assert (window.first, window.last, window.n_features) == (20, 40, 14)
    data = np.zeros((20, C))
    data[10:, 1] = 1.0
    assert np.flatnonzero(window.process(data, np.zeros(20, FLAGS), 0.0).values) == [8]


def test_a_short_last_bin_is_left_out():
    window = FeatureWindow(INFO, "amplitude", 0.0, 0.1, decim=8)
    assert window.n_features == 2 * C
    assert window.last == 16


def test_offset_vanishes_with_a_baseline():
    window = FeatureWindow(INFO, "amplitude", 0.0, 0.5, decim=10, baseline=(-0.2, 0.0))
    data, flags, _ = around(window)
    plain = window.process(data, flags, 0.0).values.copy()
    assert np.allclose(window.process(data + 0.01, flags, 0.0).values, plain, atol=1e-9)


def test_bandpower_is_log10_of_mean_power():
    window = FeatureWindow(INFO, "bandpower", 0.0, 0.4, decim=20)
    data, flags, _ = around(window)
    power = data**2 + 1e-14
    want = np.log10(power.reshape(4, 20, C).mean(axis=1)).ravel()
    assert np.allclose(window.process(power, flags, 0.0).values, want, rtol=1e-6)


def test_bandpower_baseline_is_a_log_ratio():
    window = FeatureWindow(INFO, "bandpower", 0.0, 0.1, decim=20, baseline=(-0.1, 0.0))
    data, flags, offsets = around(window)
    power = np.where(offsets[:, None] >= 0, 100.0, 1.0) * np.full(data.shape, 3e-12)
    assert np.allclose(window.process(power, flags, 0.0).values, 2.0)


def test_a_dead_channel_has_finite_power():
    window = FeatureWindow(INFO, "bandpower", 0.0, 0.1, decim=20)
    values = window.process(np.zeros((20, C)), np.zeros(20, FLAGS), 0.0).values
    assert np.allclose(values, -40.0)


def test_scaling_and_clamp():
    rng = np.random.default_rng(0)
    center, scale = rng.standard_normal(C), rng.uniform(0.5, 2.0, C)
    window = FeatureWindow(
        INFO, "amplitude", 0.0, 0.1, decim=20, center=center, scale=scale, clamp=1.5
    )
    data = 3 * rng.standard_normal((20, C))
    want = np.clip((data.mean(axis=0) - center) / scale, -1.5, 1.5)
    values = window.process(data, np.zeros(20, FLAGS), 0.0).values
    assert np.allclose(values, want, rtol=1e-6)
    assert (np.abs(want) == 1.5).any()
    data[3, 2] = np.nan
    values = window.process(data, np.zeros(20, FLAGS), 0.0).values
    assert np.flatnonzero(np.isnan(values)) == [2]


def test_good_is_the_share_of_unflagged_samples():
    window = FeatureWindow(INFO, "amplitude", 0.0, 0.1)
    flags = np.zeros(20, FLAGS)
    flags[[2, 5, 6]] = [Reason.RAIL, Reason.RAIL, Reason.GAP]
    features = window.process(np.zeros((20, C)), flags, 0.0)
    assert features.good == pytest.approx(17 / 20)
    assert features.reasons == Reason.RAIL | Reason.GAP
    flags[7] = 1 << 31  # a reason without a name yet is no less bad
    features = window.process(np.zeros((20, C)), flags, 0.0)
    assert features.good == pytest.approx(16 / 20)
    assert features.reasons == Reason.RAIL | Reason.GAP | 1 << 31


def test_ring_window_goes_straight_in():
    window = FeatureWindow(INFO, "amplitude", -0.05, 0.3, decim=7, baseline=(-0.1, 0.0))
    ring, chunk, onset = Ring(300, C), make_chunk(400, index=0), 250
    for start in range(0, 400, 10):
        ring.write(chunk.data[start : start + 10], chunk.flags[start : start + 10])
    rows = slice(onset + window.first, onset + window.last)
    got = window.process(*ring.window(rows.start, rows.stop), 0.0).values.copy()
    want = window.process(chunk.data[rows], chunk.flags[rows], 0.0).values
    assert np.array_equal(got, want)


def test_no_allocation():
    window = FeatureWindow(INFO, "amplitude", 0.0, 2.0, decim=10, baseline=(-0.2, 0.0))
    data, flags, _ = around(window)
    stays, peak = allocated(lambda: window.process(data, flags, 0.0), 500)
    assert stays < 512
    assert peak < 2048


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "phase"}, "amplitude"),
        ({"tmax": 0.0}, "window of at least"),
        ({"tmax": 0.02, "decim": 5}, "window of at least 5"),
        ({"decim": 0}, "decim"),
        ({"baseline": (0.0, 0.0)}, "baseline"),
        ({"clamp": 0.0}, "clamp"),
        ({"tmin": np.nan}, "finite times"),
        ({"center": np.zeros(3)}, "center of"),
        ({"scale": np.zeros(20 * C)}, "scales above 0"),
        ({"scale": np.full(20 * C, np.nan)}, "finite"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FeatureWindow(INFO, **{"kind": "amplitude", "tmin": 0.0, "tmax": 0.1, **settings})


def test_a_window_of_another_shape_is_refused():
    window = FeatureWindow(INFO, "amplitude", 0.0, 0.1)
    with pytest.raises(ValueError, match="need a window of shape"):
        window.process(np.zeros((19, C)), np.zeros(19, FLAGS), 0.0)


def test_robust_scale_of_a_normal_sample_is_its_standard_deviation():
    X = np.random.default_rng(0).normal([1.0, -5.0], [2.0, 0.1], (20_000, 2))
    center, scale = robust_scale(X)
    assert np.allclose(center, [1.0, -5.0], atol=0.05)
    assert np.allclose(scale, [2.0, 0.1], rtol=0.03)


def test_robust_scale_survives_outliers_and_constants():
    X = np.random.default_rng(0).standard_normal((1000, 2))
    X[:30, 0] = 1e6
    X[:, 1] = 7.0
    center, scale = robust_scale(X)
    assert scale[0] < 1.2
    assert (center[1], scale[1]) == (7.0, 1.0)


@pytest.mark.parametrize("X", [np.zeros((0, 3)), np.zeros(3), np.full((2, 2), np.inf)])
def test_robust_scale_refuses(X):
    with pytest.raises(ValueError, match="need"):
        robust_scale(X)


def test_scale_features_is_what_the_window_does():
    rng = np.random.default_rng(0)
    center, scale = rng.standard_normal(C), rng.uniform(0.5, 2.0, C)
    plain = FeatureWindow(INFO, "amplitude", 0.0, 0.1, decim=20)
    scaled = FeatureWindow(
        INFO, "amplitude", 0.0, 0.1, decim=20, center=center, scale=scale, clamp=2.0
    )
    flags = np.zeros(20, FLAGS)
    windows = rng.standard_normal((5, 20, C))
    X = np.array([plain.process(window, flags, 0.0).values.copy() for window in windows])
    want = [scaled.process(window, flags, 0.0).values.copy() for window in windows]
    assert np.allclose(scale_features(X, center, scale, 2.0), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["amplitude", "bandpower"])
@pytest.mark.parametrize(("decim", "step"), [(5, 5), (10, 5), (4, 6), (3, 1)])
@pytest.mark.parametrize("baseline", [None, (-0.1, 0.0)])
def test_windows_that_follow_one_another_share_bins_and_no_bit_differs(
    kind: str, decim: int, step: int, baseline: tuple[float, float] | None
):
    signal = np.random.default_rng(1).standard_normal((400, C)) ** 2
    signal[100:120, 1] = np.nan
    window, fresh = (
        FeatureWindow(INFO, kind, 0.0, 0.3, decim=decim, baseline=baseline) for _ in range(2)
    )
    n = window.n_samples
    flags = np.zeros(n, FLAGS)
    starts = [*range(0, 150, step), *range(260, 400 - n, step), 7]  # after a gap, and out of turn
    for start in starts:
        data = signal[start : start + n]
        kept = window.process(data, flags, 0.0, start).values
        want = fresh.process(data, flags, 0.0).values
        assert kept.tobytes() == want.tobytes()
    window.reset()
    other = signal[::-1][:n].copy()
    kept = window.process(other, flags, 0.0, starts[0]).values
    assert kept.tobytes() == fresh.process(other, flags, 0.0).values.tobytes()


def test_a_bin_is_computed_once():
    window, flags = FeatureWindow(INFO, "amplitude", 0.0, 0.15, decim=5), np.zeros(30, FLAGS)
    assert window.n_samples == 30
    window.process(np.ones((30, C)), flags, 0.0, 50)
    values = window.process(np.zeros((30, C)), flags, 0.0, 55).values.reshape(6, C)
    assert (values[:5] == 1.0).all()
    assert (values[5] == 0.0).all()
