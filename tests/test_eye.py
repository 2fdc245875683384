"""The eye stage: its equations, its fit on simulated participants, and real blinks."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from calibration.cleaning.eye import fit_eye
from calibration.cleaning.eye_drift import fit_drift
from calibration.cleaning.eye_events import EyeSpan, find_eye_events
from calibration.cleaning.eye_sources import fit_sources
from calibration.cleaning.stage_fit import LeftOut
from rt_decoder.cleaning.eye import EyeCorrection
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import SosFilter
from rt_decoder.files.read import read_recording
from rt_decoder.kernels.eye import subtract_gated
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo
from rt_decoder.simulation.disturbance import CLEANING, Scene
from rt_decoder.simulation.participant import Participant
from tests.contract import INFO, copy, make_chunk

VECTORS = np.random.default_rng(0).standard_normal((6, 8))
N_DATA = 5
THRESHOLD, RELEASE = 3.0, 0.25
BRAIN, EYES = ("evoked", "background", "alpha"), ("blink", "saccade")


def sources(seed=0):
    """Make mixing, unmixing and scales of two sources over the data channels of `INFO`."""
    rng = np.random.default_rng(seed)
    unmixing = rng.standard_normal((N_DATA, 2))
    mixing = np.linalg.pinv(unmixing).T
    return mixing, unmixing, np.array([1e-5, 2e-5])


def a_stage(drift_power=0.0):
    mixing, unmixing, scale = sources()
    d, v = np.random.default_rng(9).standard_normal((2, N_DATA))
    d, v = d - mixing @ (unmixing.T @ d), v - unmixing @ (mixing.T @ v)
    v /= 1e-5 * np.linalg.norm(v)  # of variance near 1 for a brain of 10 uV
    drift = np.stack([d / (d @ v), v])
    return EyeCorrection(INFO, mixing, unmixing, scale, THRESHOLD, RELEASE, drift, drift_power)


def a_chunk(data, info=INFO):
    n, c = data.shape
    flags = np.zeros(n, FLAGS), np.zeros((n, c), FLAGS)
    return Chunk(data, np.arange(n) / info.sfreq, 0, *flags)


def through(stage, data):
    return copy(stage.process(a_chunk(data, stage.info)))


def smooth_step(value, low, high):
    rise = np.clip((value - low) / (high - low), 0.0, 1.0)
    return rise * rise * (3 - 2 * rise)


def oracle(data, mixing, unmixing, scale, stage):
    """Compute the equations in the docstring of `EyeCorrection` with numpy."""
    d, v = stage._mixing[2, :N_DATA], stage._unmixing[2, :N_DATA]
    measured = data[:, :N_DATA] @ unmixing
    gate, out = np.zeros(2), data.copy()
    for t, source in enumerate(measured):
        u = np.abs(source) / scale / THRESHOLD
        gate = np.where(u < 1 / 4, np.maximum(gate - 1 / (RELEASE * INFO.sfreq), 0), gate)
        gate = np.maximum(gate, np.maximum(smooth_step(u, 1, 1.1), smooth_step(u.max(), 1.1, 1.43)))
        out[t, :N_DATA] -= mixing @ (gate * source)
        r = stage.drift_power * gate[0] * (u[0] * THRESHOLD) ** 2
        out[t, :N_DATA] -= d * (v @ data[t, :N_DATA]) * r / (1 + r)
    return out


@pytest.mark.parametrize("drift_power", [0.0, 0.02])
def test_matches_its_equations(drift_power):
    chunk = make_chunk(800)
    chunk.data[:] *= np.random.default_rng(1).choice([0.1, 1.0, 3.0], (20, 1)).repeat(40, axis=0)
    want = oracle(chunk.data, *sources(), a_stage(drift_power))
    out = a_stage(drift_power).process(chunk)
    assert np.abs(want - chunk.data).max() > 1e-5
    assert np.allclose(out.data, want, rtol=0, atol=1e-12 * np.abs(chunk.data).max())
    plain = a_stage(drift_power)
    plain_out, flags = np.empty_like(chunk.data), np.empty_like(chunk.flags)
    subtract_gated.py_func(
        chunk.data, chunk.flags, plain._unmixing, plain._mixing, plain._levels, drift_power,
        plain._gate, plain._sources, 0.05, int(Reason.EYE), plain_out, flags,
    )  # fmt: skip
    assert np.allclose(plain_out, out.data, rtol=0, atol=1e-15)
    assert np.array_equal(flags, out.flags)


def test_without_eye_activity_nothing_changes():
    chunk = make_chunk(500)
    chunk.data[:] *= 1e-3
    out = a_stage().process(chunk)
    assert np.array_equal(out.data, chunk.data)
    assert np.array_equal(out.flags, chunk.flags)


def test_a_large_source_is_removed_and_flagged():
    mixing, _, scale = sources()
    data = np.zeros((400, 7))
    wave = np.zeros(400)
    wave[100:140] = 50 * scale[0] * np.hanning(40)
    data[:, :N_DATA] = np.outer(wave, mixing[:, 0])
    data[:, 5:] = 1e-4
    out = through(a_stage(), data)
    left = np.abs(out.data[:, :N_DATA]).max() / np.abs(data[:, :N_DATA]).max()
    assert left < (THRESHOLD + 1) / 50
    assert np.array_equal(out.data[:, 5:], data[:, 5:])  # references pass
    flagged = np.flatnonzero(out.flags & Reason.EYE)
    assert 100 < flagged[0] < 110
    # the gate closes over the release time once the source is small, and not before
    assert 135 <= flagged[-1] - 0.95 * RELEASE * INFO.sfreq <= 140


def test_weak_gaze_leaves_the_other_source_alone():
    mixing, _, scale = sources()
    data = np.zeros((50, 7))
    data[:, :N_DATA] = 1.1001 * THRESHOLD * scale[0] * mixing[:, 0] + scale[1] * mixing[:, 1]
    out = through(a_stage(), data).data[:, :N_DATA]
    assert np.allclose(out, np.outer(np.ones(50), scale[1] * mixing[:, 1]), atol=3e-7)


def test_gates_add_no_steps_to_the_signal():
    t = np.arange(2000) / INFO.sfreq
    mixing, _, scale = sources()
    wave = 8 * scale[0] * np.sin(2 * np.pi * 1.0 * t)
    data = np.zeros((2000, 7))
    data[:, :N_DATA] = np.outer(wave, mixing[:, 0])
    out = through(a_stage(), data).data[:, 0]
    # d(p s)/ds is at most 1 + s p', and p' at most 1.5 / (threshold / 10)
    assert np.abs(np.diff(out)).max() < 17.5 * np.abs(np.diff(data[:, 0])).max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixing": np.ones((4, 2))}, "need mixing .* of shape"),
        ({"unmixing": np.ones((5, 3))}, "need unmixing .* of shape"),
        ({"rest_scale": np.array([1.0, 0.0])}, "need rest_scale .* finite"),
        ({"mixing": np.full((5, 2), np.nan)}, "need mixing .* finite"),
        ({"rest_scale": np.ones(6)}, "need rest_scale of 1 to 5 sources"),
        ({"threshold": 0.0}, "need threshold"),
        ({"release_s": np.nan}, "need release_s"),
        ({"drift": np.ones((2, 4))}, "need drift .* of shape"),
        ({"drift": np.full((2, 5), np.inf)}, "need drift .* finite"),
        ({"drift_power": -1.0}, "need drift_power"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    mixing, unmixing, scale = sources()
    good = {"mixing": mixing, "unmixing": unmixing, "rest_scale": scale}
    with pytest.raises(ValueError, match=message):
        EyeCorrection(INFO, **(good | change))


@cache
def recorded(person, session, seconds, *, scene=None, n_channels=32, kind="eeg", cues=()):
    """Simulate a session; return its info and its components, each through the causal filter."""
    participant = Participant(
        VECTORS, [f"w{k}" for k in range(6)], n_channels=n_channels, references=True,
        seed=person, kind=kind, scene=scene or Scene(),
    )  # fmt: skip
    simulation = participant.simulate(duration=seconds, seed=session, cues=cues)
    sos = design_sos(simulation.info.sfreq, 0.5, 40.0)
    parts = {}
    for name, part in simulation.components.items():
        parts[name] = through(SosFilter(simulation.info, sos), part).data
    return simulation.info, parts


def fitted(person, seconds=120.0, drop=(), **how):
    info, parts = recorded(person, 1, seconds, **how)
    picks = [k for k, kind in enumerate(info.ch_types) if kind not in drop]
    data = sum(parts.values())[:, picks]
    return fit_eye(data, info.pick(picks), np.zeros(len(data), bool))


def judged(fit, info, parts, gain=1.0):
    """Measure attenuation in dB of blinks and gaze, error, correlation, gain and distortion."""
    mixing, unmixing = fit.arguments["mixing"], fit.arguments["unmixing"]
    picks = list(range(len(mixing)))
    if "drift" in fit.arguments:  # nothing that one source measures shows in another
        d, v = fit.arguments["drift"]
        mixing, unmixing = np.column_stack([mixing, d]), np.column_stack([unmixing, v])
    clean = sum(parts[name] for name in BRAIN)[:, picks]
    eyes = {name: gain * parts[name][:, picks] for name in EYES}
    stage = EyeCorrection(info.pick(picks), **fit.arguments)
    x = clean + sum(eyes.values())
    y = through(stage, x).data
    # recover the gates of the stage, to see what they let through of each part
    gates = (x - y) @ unmixing / (x @ unmixing)

    def passed(part):
        return part - (gates * (part @ unmixing)) @ mixing.T

    out = {name: 20 * np.log10(rms(part) / rms(passed(part))) for name, part in eyes.items()}
    evoked = parts["evoked"][:, picks]
    out["gain"] = np.sum(passed(evoked) * evoked) / np.sum(evoked**2)
    out["error"] = rms(y - clean) / rms(clean)
    pairs = zip(y.T, clean.T, strict=True)
    out["cc"] = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])
    stage.reset()
    out["distortion"] = rms(through(stage, clean).data - clean) / rms(clean)
    return out


def rms(x):
    return np.sqrt(np.mean(x**2))


@pytest.mark.parametrize("gain", [0.85, 1.0, 1.15])
def test_the_fit_cleans_another_session(gain):
    fit = fitted(0)
    found = judged(fit, *recorded(0, 2, 60.0), gain)
    assert found["blink"] > 20
    assert found["error"] < 0.23  # the goal is for twice the channels
    assert found["cc"] > 0.95
    assert found["distortion"] < 0.02
    assert 0.95 < found["gain"] < 1.05
    json.dumps(fit.report, allow_nan=False)


def test_eyes_are_found_without_eog():
    fit = fitted(1, drop=("eog",))
    assert fit.report["way"] == "frontal"
    assert judged(fit, *recorded(1, 2, 60.0))["blink"] > 18


def test_the_rank_can_be_set():
    info, parts = recorded(0, 1, 120.0)
    data = sum(parts.values())
    fit = fit_eye(data, info, np.zeros(len(data), bool), rank=6)
    assert fit.arguments["mixing"].shape == (32, 6)
    assert fit.report["rank_by_rule"] == 2
    assert [row["rank"] for row in fit.report["held_out"]] == [1, 2, 3, 4, 5, 6]
    found = judged(fit, *recorded(0, 2, 60.0))
    assert found["distortion"] < 0.02


def test_blinks_and_rest_are_found_where_they_are():
    info, parts = recorded(0, 1, 120.0)
    data = sum(parts.values())
    events = find_eye_events(data, info, np.zeros(len(data), bool))
    lid = np.abs(parts["blink"][:, info.ch_names.index("VEOG")])
    n_blinks = np.sum(np.diff((lid > 0.5 * lid.max()).astype(int)) == 1)  # counts every lobe
    assert 0.4 * n_blinks <= len(events.blinks) <= 1.3 * n_blinks
    gaze = np.abs(parts["saccade"][:, info.ch_names.index("HEOG")])
    assert rms(gaze[events.rest]) < 0.4 * rms(gaze)
    assert not (events.eye & events.rest).any()


def test_without_eye_movement_the_stage_is_left_out():
    info, parts = recorded(0, 1, 120.0)
    brain = sum(parts[name] for name in BRAIN)
    fit = fit_eye(brain, info, np.zeros(len(brain), bool))
    assert isinstance(fit, LeftOut)
    assert "found" in fit.reason or "stands out" in fit.reason


def test_a_short_recording_is_left_out_with_a_reason():
    info, parts = recorded(0, 1, 120.0)
    data = sum(parts.values())[:1500]
    fit = fit_eye(data, info, np.zeros(len(data), bool))
    assert isinstance(fit, LeftOut)
    assert fit.reason.startswith("need")


def test_bad_samples_hardly_change_the_fit():
    info, parts = recorded(0, 1, 120.0)
    data, bad = sum(parts.values()), np.zeros(30_000, bool)
    bad[5000:6000] = True
    broken = data.copy()
    broken[5100:5900] = 1e-2
    a, b = (fit_eye(x, info, bad) for x in (data, broken))
    assert a.report["n_blinks"] == pytest.approx(b.report["n_blinks"], abs=2)
    spaces = [np.linalg.qr(fit.arguments["mixing"])[0] for fit in (a, b)]
    turned = np.linalg.svd(spaces[0].T @ spaces[1])[1]
    assert turned.min() > 0.98  # the same subspace


def test_fit_with_average_reference_and_at_another_scale():
    info, parts = recorded(0, 1, 120.0)
    data = sum(parts.values())
    n = sum(kind == "eeg" for kind in info.ch_types)
    data[:, :n] -= data[:, :n].mean(axis=1, keepdims=True)
    bad = np.zeros(len(data), bool)
    fit, double = (fit_eye(gain * data, info, bad) for gain in (1.0, 2.0))
    mixing = fit.arguments["mixing"]
    assert np.abs(mixing.sum(axis=0)).max() < 1e-6 * np.abs(mixing).sum(axis=0).max()
    a, b = (
        through(EyeCorrection(info, **one.arguments), gain * data).data / gain
        for one, gain in ((fit, 1.0), (double, 2.0))
    )
    assert np.allclose(a, b, rtol=0, atol=1e-6 * np.abs(a).max())


@pytest.mark.slow
@pytest.mark.parametrize("person", [0, 1, 2])
def test_goals_hold_for_several_people(person):
    how = {"n_channels": 64}
    found = judged(fitted(person, 300.0, **how), *recorded(person, 2, 120.0, **how))
    assert found["blink"] > 23
    assert found["error"] < 0.15
    assert found["distortion"] < 0.02
    assert 0.95 < found["gain"] < 1.05


@pytest.mark.slow
def test_cued_fit_cleans_drifting_topographies():
    cues = (("blink", 5.0, 35.0), ("saccade", 40.0, 70.0), ("rest", 75.0, 105.0))
    info, parts = recorded(0, 1, 240.0, scene=CLEANING, n_channels=64, cues=cues)
    data = sum(parts.values())
    spans = [EyeSpan(round(a * 250), round(b * 250), kind) for kind, a, b in cues]
    fit = fit_eye(data, info, np.zeros(len(data), bool), cued=spans)
    assert fit.report["way"] == "cued"
    found = judged(fit, *recorded(0, 2, 120.0, scene=CLEANING, n_channels=64))
    assert found["blink"] > 15  # topographies drift by 15 % RMS, partly in each channel alone
    assert found["error"] < 0.25


@pytest.mark.slow
def test_meg_by_position_and_blind():
    info, parts = recorded(0, 1, 120.0, n_channels=102, kind="meg")
    n_data = sum(kind in {"mag", "grad"} for kind in info.ch_types)
    data = sum(parts.values())[:, :n_data]
    meg = info.pick(list(range(n_data)))
    nowhere = SignalInfo(meg.sfreq, meg.ch_names, meg.ch_types, meg.units)
    for layout, way in ((meg, "frontal"), (nowhere, "blind")):
        fit = fit_eye(data, layout, np.zeros(len(data), bool))
        assert fit.report["way"] == way
        found = judged(fit, *recorded(0, 2, 60.0, n_channels=102, kind="meg"))
        assert found["blink"] > 18
        assert found["distortion"] < 0.02


@pytest.mark.realdata
def test_p300_is_kept_and_blinks_are_removed(data_dir):
    folder = data_dir / "eeglab_sample"
    recording = read_recording(folder / "test_raw.set")
    names = [line.split()[3] for line in (folder / "test_chans.locs").read_text().splitlines()]
    order = np.argsort([name.startswith("EOG") for name in names], kind="stable")
    types = ["eog" if names[k].startswith("EOG") else "eeg" for k in order]
    sfreq = recording.info.sfreq
    info = SignalInfo(sfreq, tuple(names[k] for k in order), tuple(types), ("V",) * 32)
    data = through(SosFilter(info, design_sos(sfreq, 0.5, 40.0)), recording.data[:, order]).data
    onsets = np.array([m.index for m in recording.markers if m.label == "square"])
    assert len(onsets) == 80
    blinks = np.flatnonzero(np.diff((data[:, info.ch_names.index("FPz")] > 1e-4).astype(int)) == 1)
    for fit_info in (info, info.pick(list(range(30)))):
        x = data[:, : fit_info.n_channels]
        fit = fit_eye(x, fit_info, np.zeros(len(x), bool))
        y = through(EyeCorrection(fit_info, **fit.arguments), x).data
        before, after = (locked(v[:, info.ch_names.index("Pz")], onsets, sfreq) for v in (x, y))
        assert after.max() == pytest.approx(before.max(), rel=0.1)
        before, after = (locked(v[:, info.ch_names.index("FPz")], blinks, sfreq) for v in (x, y))
        assert before.max() > 1e-4
        assert np.abs(after).max() < 0.15 * before.max()


@pytest.mark.realdata
def test_a_few_seconds_of_real_blinks_are_enough(data_dir):
    lines = (data_dir / "pyriemann_blinks" / "blinks.txt").read_text().splitlines()
    names = tuple(lines[0].split()[:19])
    data = 1e-6 * np.array([[float(v) for v in line.split()[:19]] for line in lines[1:] if line])
    info = SignalInfo(128.0, names, ("eeg",) * 19, ("V",) * 19)
    data = through(SosFilter(info, design_sos(128.0, 0.5, 40.0)), data).data
    fit = fit_eye(data, info, np.zeros(len(data), bool))
    assert 15 <= fit.report["n_blinks"] + fit.report["n_saccades"] <= 21  # there are 19
    gain = through(EyeCorrection(info, **fit.arguments), data).data.std(axis=0) / data.std(axis=0)
    assert gain[:2].max() < 0.5  # FP1, FP2
    assert gain[-2:] == pytest.approx(1.0, abs=0.05)  # O1, O2


def locked(x, at, sfreq):
    """Average around `at`, with the 200 ms before as baseline."""
    window = np.arange(round(-0.2 * sfreq), round(0.8 * sfreq))
    at = at[(at + window[0] >= 0) & (at + window[-1] < len(x))]
    mean = x[at[:, None] + window].mean(axis=0)
    return mean - mean[window < 0].mean()


def test_answers_that_look_like_eyes_are_kept():
    """An answer overlaps with a blink in space; sources that know of events do without it."""
    rng, sfreq, c = np.random.default_rng(5), 100.0, 12
    n = 30000
    blink = rng.standard_normal(c)
    answer = 0.8 * blink + 0.6 * rng.standard_normal(c)
    mix = rng.standard_normal((c, c)) / np.sqrt(c)
    x = rng.standard_normal((n, c)) @ mix + 0.1 * rng.standard_normal((n, c))
    onsets, blinks = np.arange(150, n - 200, 220), np.arange(40, n - 200, 500)
    eye = np.zeros(n, bool)
    for at in blinks:
        x[at : at + 40] += 8 * np.hanning(40)[:, None] * blink
        eye[at - 10 : at + 50] = True
    for at in onsets:
        x[at + 20 : at + 60] += 0.5 * np.hanning(40)[:, None] * answer
    kept, left = [], []
    for events in (onsets[:0], onsets):
        found = fit_sources(x, eye, ~eye, sfreq, 3, events)
        assert found.rank == 1
        mixing, unmixing = found.mixing[:, :1], found.unmixing[:, :1]
        kept.append(np.linalg.norm(mixing @ (unmixing.T @ answer)) / np.linalg.norm(answer))
        left.append(np.linalg.norm(blink - mixing @ (unmixing.T @ blink)) / np.linalg.norm(blink))
    assert kept[1] < 0.6 * kept[0]  # of the answer that would be removed with the blink
    assert max(left) < 0.1
    few = fit_sources(x, eye, ~eye, sfreq, 3, onsets[:6])
    plain = fit_sources(x, eye, ~eye, sfreq, 3)
    np.testing.assert_array_equal(few.unmixing, plain.unmixing)


def drifting(size, n_blinks=60, seed=3):
    """Blinks whose pattern turns by `size` within 5 minutes; channels, eye, and the turned part."""
    rng, sfreq, c = np.random.default_rng(seed), 100.0, 12
    n = round(300 * sfreq)
    blink, turn = rng.standard_normal((2, c))
    mix = rng.standard_normal((c, c)) / np.sqrt(c)
    x = rng.standard_normal((n, c)) @ mix
    eye = np.zeros(n, bool)
    for at in np.linspace(100, n - 200, n_blinks).astype(int):
        swing = size * np.sin(2 * np.pi * at / n)
        x[at : at + 40] += 40 * np.hanning(40)[:, None] * (blink + swing * turn)
        eye[at - 10 : at + 50] = True
    return x, eye, turn


def drift_of(x, eye, good=None):
    sources = fit_sources(x, eye, ~eye, 100.0, 1)
    time = np.arange(len(x)) / len(x)
    good = np.ones(len(x), bool) if good is None else good
    return sources, fit_drift(x, time, good, sources, 1, 100.0)


def test_a_pattern_that_turns_slowly_is_found():
    x, eye, turn = drifting(0.005)
    sources, drift = drift_of(x, eye)
    assert sources.rank == 1  # the change does not stand out at single samples
    assert abs(drift.unmixing @ sources.mixing[:, 0]) < 1e-8 * np.abs(drift.unmixing).sum()
    assert drift.unmixing @ drift.mixing == pytest.approx(1.0)
    # what the source leaves of the change is what the drift source shows
    left = turn - sources.mixing[:, 0] * (sources.unmixing[:, 0] @ turn)
    after = left - drift.mixing * (drift.unmixing @ left)
    assert np.linalg.norm(after) < 0.5 * np.linalg.norm(left)
    assert drift.power > 0


def test_a_pattern_that_does_not_turn_gets_next_to_no_drift():
    powers = []
    for seed in range(8):
        x, eye, _ = drifting(0.0, seed=seed)
        sources, drift = drift_of(x, eye)
        peak = np.abs(x @ sources.unmixing[:, 0]).max() / sources.rest_scale[0]
        powers.append(0.0 if drift is None else drift.power * peak**2)
    assert np.median(powers) < 0.1  # of the variance at rest, at the peak of a blink
    x, eye, _ = drifting(0.05)
    assert drift_of(x, eye, good=np.zeros(len(x), bool))[1] is None


def test_drift_is_taken_out_at_the_peak_of_a_blink_alone():
    stage = a_stage(drift_power=0.02)
    mixing, _, scale = sources()
    wave = np.zeros(400)
    wave[100:140] = 50 * scale[0] * np.hanning(40)
    data = np.zeros((400, 7))
    d, v = stage._mixing[2, :N_DATA], stage._unmixing[2, :N_DATA]
    data[:, :N_DATA] = np.outer(wave, mixing[:, 0]) + d  # the drift source has size 1 all the time
    shown = through(stage, data).data[:, :N_DATA] @ v
    without = through(a_stage(), data).data[:, :N_DATA] @ v
    share = (without - shown)[[50, 120, 300]] / (v @ data[[50, 120, 300], :N_DATA].T)
    assert share[0] == share[2] == 0.0
    assert share[1] > 0.9


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_sources_that_fill_all_channels_leave_no_drift(rank):
    """Noise may seem to drift; of a single channel nothing is left to see it in."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = (
            rng.standard_normal((8000, rank))
            * np.where(np.arange(8000) % 500 < 60, 30.0, 1.0)[:, None]
        )
        eye = np.arange(8000) % 500 < 60
        sources = fit_sources(x, eye, ~eye, 250.0, rank)
        drift = fit_drift(x, np.arange(8000) / 8000, np.ones(8000, bool), sources, rank, 250.0)
        assert drift is None
