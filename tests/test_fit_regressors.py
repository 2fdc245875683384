"""Fit of the regressors: what it finds, what it leaves alone, what it reports."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibration.cleaning.reference_search import smoothed, without_evoked
from calibration.cleaning.regressors import fit_regressors
from calibration.cleaning.stage_fit import LeftOut
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import SosFilter
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.signal import FLAGS, Chunk, SignalInfo
from rt_decoder.simulation.disturbance import CLEANING
from rt_decoder.simulation.participant import Participant

SFREQ = 250.0
C = 8
INFO = SignalInfo(
    SFREQ,
    (*(f"E{i}" for i in range(C)), "EOG", "ECG", "RESP"),
    (*["eeg"] * C, "eog", "ecg", "resp"),
    ("V",) * (C + 3),
)
BRAIN = ("evoked", "background", "alpha")


def recording(seconds=120.0, seed=0, late=0, noise=0.0):
    """Make noise of 10 uV, beats of 3 uV `late` samples after the ECG, and breath of 6 uV."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SFREQ)
    beats = np.zeros(n + 50)
    beats[np.cumsum(rng.integers(175, 250, n // 175))[: n // 250]] = 8.0
    beats = np.convolve(beats, np.exp(-0.5 * (np.arange(-12, 13) / 3.0) ** 2), "same")
    breath = np.sin(2 * np.pi * np.cumsum(0.25 + 0.05 * smooth_noise(rng, n)) / SFREQ)
    maps = rng.standard_normal((2, C)) * [[3e-6], [6e-6]]
    artifact = np.outer(beats[50 - late : 50 - late + n], maps[0]) + np.outer(breath, maps[1])
    clean = 1e-5 * rng.standard_normal((n, C))
    belt = breath + noise * rng.standard_normal(n)
    references = np.stack([1e-4 * rng.standard_normal(n), 1e-3 * beats[50:], 1e-3 * belt], 1)
    return np.hstack([clean + artifact, references]), artifact, rng


def smooth_noise(rng, n):
    return np.interp(
        np.arange(n), np.arange(0, n + 1000, 1000), rng.standard_normal(-(-n // 1000) + 1)
    )


def good(data):
    return np.zeros(len(data), bool)


def live(fit, data, info=INFO):
    n = len(data)
    flags, channel_flags = np.zeros(n, FLAGS), np.zeros(data.shape, FLAGS)
    stage = Regressors(info, **fit.arguments)
    return stage.process(Chunk(data, np.arange(n) / SFREQ, 0, flags, channel_flags))


@pytest.mark.parametrize("late", [0, 2])
def test_finds_lag_and_weights(late):
    data, artifact, _ = recording(late=late)
    fit = fit_regressors(data, INFO, good(data))
    assert fit.arguments["names"] == ["ECG", "RESP"]
    ecg = fit.report["references"]["ECG"]
    assert ecg["lag_ms"] == pytest.approx(1e3 * late / SFREQ, abs=1.0)
    out = live(fit, data)
    left = out.data[:, :C] - (data[:, :C] - artifact)
    assert 10 * np.log10(np.sum(artifact**2) / np.sum(left**2)) > 20.0
    assert all(found["attenuation_db"] > 12.0 for found in fit.report["references"].values())
    assert 0.98 < fit.report["injected_gain"] < 1.01
    json.dumps(fit.report, allow_nan=False)


def test_weights_match_ridge_regression():
    data, _, _ = recording()
    fit = fit_regressors(data, INFO, good(data), names=["RESP"])
    assert fit.arguments["names"] == ["RESP"]
    z = smoothed(data[:, -1], fit.arguments["smoothing"][0], SFREQ) / fit.arguments["scale"][0]
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0)
    z = np.stack(
        [np.r_[np.full(lag, z[0]), z[: len(z) - lag]] for _, lag in fit.arguments["taps"]], 1
    )
    k, n = z.shape[1], len(z)
    tall = np.vstack([z, np.sqrt(1e-3 * n) * np.eye(k)])
    want = np.linalg.lstsq(tall, np.vstack([data[:, :C], np.zeros((k, C))]))[0]
    assert np.allclose(fit.arguments["weights"], want, rtol=1e-8, atol=1e-14)
    assert np.allclose(
        fit.arguments["inverse"] @ (z.T @ z / n + 1e-3 * np.eye(k)), np.eye(k), atol=1e-8
    )


def test_a_reference_that_explains_nothing_is_left_out():
    data, _, rng = recording()
    data[:, -2] = 1e-3 * rng.standard_normal(len(data))
    fit = fit_regressors(data, INFO, good(data))
    assert fit.arguments["names"] == ["RESP"]
    assert not fit.report["references"]["ECG"]["kept"]
    data[:, -1] = 0.0  # a dead belt
    nothing = fit_regressors(data, INFO, good(data))
    assert isinstance(nothing, LeftOut)
    assert "no reference explains anything of the data (ECG: no regular beats" in nothing.reason
    nothing = LeftOut("no reference channel was recorded, or none varies")
    assert fit_regressors(data[:, :C], INFO.pick(list(range(C))), good(data)) == nothing


def test_bad_samples_teach_nothing():
    data, _, _ = recording()
    bad = good(data)
    bad[5000:5500] = True
    fits = []
    for size in (1.0, 2.0):
        data[bad] = size
        fits.append(fit_regressors(data, INFO, bad))
    assert np.allclose(fits[0].arguments["weights"], fits[1].arguments["weights"], rtol=1e-9)
    assert np.allclose(fits[0].arguments["spread"], fits[1].arguments["spread"])
    assert fits[0].arguments["spread"].max() < 2e-5


def test_weights_do_not_learn_a_task_that_the_reference_follows():
    data, _, rng = recording()
    onsets = 300 + np.cumsum(rng.integers(150, 220, 150))
    onsets = onsets[onsets < len(data) - 200]
    wave = np.hanning(125)
    pattern = 2e-5 * rng.standard_normal(C)
    for onset in onsets:
        data[onset : onset + 125, :C] += np.outer(wave, pattern)
        data[onset : onset + 125, -1] += 2e-3 * wave  # the participant gasps at every word
    moved = []
    for evoked in (None, (onsets, 125)):
        fit = fit_regressors(data, INFO, good(data), names=["RESP"], evoked=evoked)
        gasp = 2e-3 * wave / fit.arguments["scale"][0]
        taps = [np.r_[np.zeros(lag), gasp[: len(gasp) - lag]] for _, lag in fit.arguments["taps"]]
        moved.append(
            np.abs(np.array(taps).T @ fit.arguments["weights"] @ pattern).max()
            / (pattern @ pattern)
        )
    assert moved[0] > 0.5
    assert moved[1] < 0.5 * moved[0]


def test_overlapping_responses_are_told_apart():
    rng = np.random.default_rng(0)
    wave = rng.standard_normal((100, 3))
    onsets = np.cumsum(rng.integers(40, 140, 60))
    data = np.zeros((onsets[-1] + 150, 3))
    for onset in onsets:
        data[onset : onset + 100] += wave
    bad = rng.random(len(data)) < 0.1
    data[bad] = 1e3
    left = without_evoked(data, bad, onsets, 100)
    assert np.abs(left[~bad]).max() < 1e-4
    assert without_evoked(data, bad, np.array([-5, len(data)]), 100) is data


def test_a_noisy_belt_is_smoothed():
    gained = []
    for noise in (0.0, 1.0):
        data, _, _ = recording(noise=noise)
        fit = fit_regressors(data, INFO, good(data), names=["RESP"])
        gained.append(fit.report["references"]["RESP"]["smoothing_hz"])
    assert gained == [0.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: (data, np.zeros(7, bool)), "need data of shape"),
        (lambda data: (data[:, 1:], good(data)), "need data of shape"),
    ],
)
def test_bad_input_is_refused(change, message):
    data, bad = change(recording(30.0)[0])
    with pytest.raises(ValueError, match=message):
        fit_regressors(data, INFO, bad)


def test_a_short_recording_is_left_out_with_a_reason():
    fit = fit_regressors(recording(30.0)[0][:1000], INFO, np.zeros(1000, bool))
    assert isinstance(fit, LeftOut)
    assert "need 20 s of good samples" in fit.reason


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_breath_of_simulated_people_is_removed(seed):
    """By 15 dB after five minutes of calibration, with topographies that drift by 15 %."""
    vectors = np.random.default_rng(0).standard_normal((20, 8))
    person = Participant(
        vectors, [f"w{i}" for i in range(20)], n_channels=64, references=True, scene=CLEANING,
        artifacts={"heart": 1.0, "breath": 1.0}, seed=seed,
    )  # fmt: skip
    sim = person.simulate(duration=600.0, seed=1)
    sos = design_sos(person.info.sfreq, 0.5, 40.0, 2)

    def filtered(data):
        n = len(data)
        flags = np.zeros(n, FLAGS), np.zeros(data.shape, FLAGS)
        chunk = Chunk(data, np.arange(n) / person.info.sfreq, 0, *flags)
        return SosFilter(person.info, sos).process(chunk).data

    data, brain = filtered(sim.data), filtered(sum(sim.components[name] for name in BRAIN))
    onsets = np.array([event.index for event in sim.events if event.index < 74_000])
    half = len(data) // 2
    fit = fit_regressors(data[:half], person.info, good(data[:half]), evoked=(onsets, 200))
    breath = filtered(sim.components["breath"])[half:, :64]
    # the share of the breath: what the stage takes out with the belt, but not without it
    out = live(fit, data[half:], person.info).data[:, :64]
    no_breath = fit_regressors(
        data[:half], person.info, good(data[:half]), evoked=(onsets, 200), names=["ECG"]
    )
    kept = live(no_breath, data[half:], person.info).data[:, :64]
    left = breath - (kept - out)
    assert 10 * np.log10(np.sum(breath**2) / np.sum(left**2)) > 15.0
    heart = filtered(sim.components["heart"])[half:, :64]
    before, after = breath + heart, out - brain[half:, :64]
    assert np.sum(after**2) < 0.25 * np.sum(before**2)
