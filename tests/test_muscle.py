"""The muscle gate: its equations, simulated participants who chew, and real rest."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from scipy import ndimage, signal

from calibration.cleaning.muscle import accelerometer_axes, fit_muscle
from calibration.cleaning.stage_fit import LeftOut
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.muscle import MuscleGate, muscle_band
from rt_decoder.files.read import read_recording
from rt_decoder.kernels import muscle as kernel
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo, unit_gain
from rt_decoder.simulation.disturbance import CLEANING
from rt_decoder.simulation.participant import Participant
from tests.contract import INFO, assert_same, copy, make_chunk

VECTORS = np.random.default_rng(0).standard_normal((6, 8))
BRAIN = ("evoked", "background", "alpha")
N_DATA = 16


def a_chunk(data, index=0):
    n, c = data.shape
    flags = np.zeros(n, FLAGS), np.zeros((n, c), FLAGS)
    return Chunk(data, np.zeros(n), index, *flags)


def flagged(gate, data, reason):
    """Reset the gate, run it, and return where it flags, (n,) bool."""
    gate.reset()
    return (gate.process(a_chunk(data)).flags & reason) > 0


def sensors(n, sfreq=250.0, kind="eeg", extra=()):
    names = (*(f"E{i}" for i in range(n)), *extra)
    kinds = (kind,) * n + ("misc",) * len(extra)
    return SignalInfo(sfreq, names, kinds, ("V",) * n + ("n/a",) * len(extra))


def noise(info, seconds, seed=0, size=3e-6):
    shape = int(seconds * info.sfreq), info.n_channels
    return size * np.random.default_rng(seed).standard_normal(shape)


def a_gate(info, **changes):
    scale, far = np.full(info.n_channels, 3e-6), np.full(info.n_channels, 1e-4)
    return MuscleGate(info, **({"scale": scale, "far": far} | changes))


@cache
def person(seed, session, sfreq=250.0, kind="eeg", seconds=90.0, line=True):
    parts = {"blink": 1.0, "saccade": 1.0, "heart": 1.0, "breath": 1.0, "muscle": 1.0}
    who = Participant(
        VECTORS, list("abcdef"), n_channels=N_DATA if kind == "eeg" else 15, sfreq=sfreq, seed=seed,
        kind=kind, scene=CLEANING, references=True, artifacts=parts | ({"mains": 1.0} if line else {}),
    )  # fmt: skip
    return who.simulate(duration=seconds, seed=session)


@cache
def fitted(seed, sfreq=250.0, kind="eeg"):
    recording = person(seed, 1, sfreq, kind)
    bad = np.zeros(len(recording.data), bool)
    return fit_muscle(recording.data, recording.info, bad, line_freq=50.0)


def bursts(recording):
    """Mark where muscles are loud (a quarter of their usual size at the best sensor), and absent."""
    muscle = recording.components["muscle"][:, : N_DATA - 1]
    power = ndimage.uniform_filter1d((muscle**2).max(axis=1), int(0.03 * recording.info.sfreq))
    envelope = np.sqrt(np.maximum(power, 0.0))
    usual = envelope.max() / 3.0
    return envelope > usual / 4.0, envelope < 1e-3 * usual


def test_matches_its_equations():
    info = sensors(N_DATA)
    data = noise(info, 20.0)
    data *= np.random.default_rng(1).choice([0.5, 1.0, 4.0], (25, 1)).repeat(200, axis=0)
    data[:, 3] *= 30.0  # the gate ignores the loudest channel
    gate = a_gate(info, line_freq=50.0, on=2.0, off=1.4)
    sos = design_sos(250.0, 25.0, order=4, notch=(50.0,), notch_q=4.0)
    band = signal.sosfilt(sos, (data - data[0]) / 3e-6, axis=0)
    step = 1.0 - np.exp(-1.0 / (0.05 * 250.0))
    power = signal.lfilter([step], [1.0, step - 1.0], np.minimum(band**2, 50.0), axis=0)
    score = np.sort(power, axis=1)[:, :-1].mean(axis=1)
    want, left = np.zeros(len(data), bool), 0
    for t, value in enumerate(score):
        left = 38 if value > (1.4 if left else 2.0) else max(left - 1, 0)
        want[t] = left > 0
    assert 0.2 < want.mean() < 0.8
    assert np.array_equal(flagged(gate, data, Reason.MUSCLE), want)
    scores, traced, _ = gate.trace(data)
    assert np.allclose(scores, score, rtol=1e-3, atol=1e-4)
    assert np.allclose(traced, power, rtol=1e-3, atol=1e-4)


def test_movement_matches_its_equations():
    info = sensors(N_DATA)
    data = noise(info, 60.0)
    data += 4e-5 * np.cumsum(np.random.default_rng(2).standard_normal(len(data)))[:, None] / 10.0
    x = data[:: kernel.LOOK] - data[0]
    step = 1.0 - np.exp(-kernel.LOOK / 250.0)
    mean, left, want = np.zeros(N_DATA), 0, []
    for row in x:
        moved = np.sum(np.abs(row - mean) > 1e-4) >= 10  # 60 % of 16
        mean += step * (row - mean)
        left = 32 if moved else max(left - 1, 0)
        want.append(left > 0)
    got = flagged(a_gate(info), data, Reason.MOVEMENT)[:: kernel.LOOK]
    assert 0.05 < np.mean(want) < 0.95
    assert np.mean(got != np.array(want)) < 0.01  # the gate computes in single precision


def test_data_pass_unchanged_and_flags_are_added():
    chunk = make_chunk(400)
    gate = a_gate(INFO, scale=np.full(7, 1e-7))
    out = gate.process(chunk)
    assert out.data is chunk.data
    assert out.channel_flags is chunk.channel_flags
    assert np.array_equal(out.flags & ~Reason.MUSCLE, chunk.flags)
    assert (out.flags[300:] & Reason.MUSCLE).all()


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_fast_stream_is_sampled_on_the_index_grid(index):
    info = sensors(N_DATA, 1000.0)
    data = noise(info, 1.0)
    loud = data.copy()
    off_grid = np.arange(index, index + len(data)) % 4 != 0
    loud[off_grid] *= 1e3  # the gate skips these samples
    a, b = (copy(a_gate(info).process(a_chunk(x, index))) for x in (data, loud))
    assert a.flags.tobytes() == b.flags.tobytes()
    loud[~off_grid] *= 30.0
    assert a_gate(info).process(a_chunk(loud, index)).flags[500:].all()


def test_an_offset_of_100_mv_and_a_bad_electrode_are_not_flagged():
    info = sensors(N_DATA)
    data = noise(info, 20.0, size=2e-6)
    plain = flagged(a_gate(info), data, Reason.MUSCLE | Reason.MOVEMENT)
    assert not plain.any()
    offsets = 0.1 * np.random.default_rng(3).uniform(-1, 1, N_DATA)
    assert not flagged(a_gate(info), data + offsets, Reason.MUSCLE | Reason.MOVEMENT).any()
    data[:, 5] *= 100.0
    assert not flagged(a_gate(info), data, Reason.MUSCLE | Reason.MOVEMENT).any()
    data[:, 6] *= 100.0  # two channels of sixteen count as muscle
    assert flagged(a_gate(info), data, Reason.MUSCLE)[250:].all()


def test_the_flag_bridges_bursts_and_ends_after_them():
    info = sensors(N_DATA)
    data = noise(info, 10.0, size=1e-6)
    for start in (500, 600, 700):  # 200 ms on, 200 ms off
        data[start : start + 50] *= 20.0
    hit = flagged(a_gate(info), data, Reason.MUSCLE)
    assert not hit[:500].any()
    assert hit[510:750].all()
    assert not hit[750 + int(0.5 * 250) :].any()


@pytest.mark.parametrize(("sfreq", "kind"), [(250.0, "eeg"), (100.0, "eeg"), (250.0, "meg")])
def test_muscles_of_simulated_persons_are_flagged(sfreq, kind):
    for seed in range(3):
        recording = person(seed, 2, sfreq, kind)
        fit = fitted(seed, sfreq, kind)
        hit = flagged(MuscleGate(recording.info, **fit.arguments), recording.data, Reason.MUSCLE)
        loud, absent = bursts(recording)
        assert loud.any()
        # blinks, saccades, heart and mains are active all the time
        far = ~ndimage.binary_dilation(~absent, np.ones(int(0.8 * sfreq) + 1))
        assert hit[loud].mean() >= (0.75 if sfreq < 200 else 0.87), (seed, hit[loud].mean())
        assert hit[absent].mean() <= 0.05, (seed, hit[absent].mean())
        assert hit[far].mean() <= 0.003, (seed, hit[far].mean())
        moved = flagged(
            MuscleGate(recording.info, **fit.arguments), recording.data, Reason.MOVEMENT
        )
        assert not moved.any()


def test_a_clench_is_flagged_within_40_ms():
    recording, fit = person(0, 2), fitted(0)
    quiet = sum(part for name, part in recording.components.items() if name != "muscle")
    muscle = recording.components["muscle"]
    usual = np.sqrt(np.mean(muscle[bursts(recording)[0]] ** 2, axis=0))
    rng = np.random.default_rng(5)
    late = []
    for start in range(2000, 20000, 500):
        data = quiet[start - 1000 : start + 200].copy()
        wave = signal.sosfilt(design_sos(250.0, 20.0, order=2), rng.standard_normal((2000, 1)), 0)
        data[1000:] += wave[-200:] / wave.std() * usual
        hit = flagged(MuscleGate(recording.info, **fit.arguments), data, Reason.MUSCLE)
        assert not hit[900:1000].any() or bursts(recording)[0][start - 200 : start].any()
        late.append(np.argmax(hit[1000:]) if hit[1000:].any() else 200)
    assert np.median(late) / 250.0 <= 0.04


def test_eyes_alone_are_not_flagged():
    # fitted without eye movements, so that the thresholds do not allow for blinks
    for seed in range(3):
        recording = person(seed, 1)
        still = sum(recording.components[name] for name in BRAIN)
        fit = fit_muscle(still, recording.info, np.zeros(len(still), bool), line_freq=50.0)
        eyes = still + recording.components["blink"] + recording.components["saccade"]
        assert not flagged(MuscleGate(recording.info, **fit.arguments), eyes, Reason.MOVEMENT).any()
        assert (
            flagged(MuscleGate(recording.info, **fit.arguments), eyes, Reason.MUSCLE).mean() < 0.01
        )


def test_mains_that_come_and_go_are_not_flagged():
    recording, fit = person(1, 2), fitted(1)
    t = np.arange(len(recording.data)) / 250.0
    quiet = sum(recording.components[name] for name in BRAIN)
    hum = 20e-6 * np.sin(2 * np.pi * 50.1 * t)[:, None] * (t > 20.0)[:, None] * np.ones(N_DATA + 4)
    hit = flagged(MuscleGate(recording.info, **fit.arguments), quiet + hum, Reason.MUSCLE)
    at_once = (t > 20.0) & (t < 20.5)  # switching the hum on is a step
    assert hit[~at_once].mean() < 1e-3


def test_only_movement_is_flagged_as_movement():
    recording, fit = person(2, 2), fitted(2)
    t = np.arange(len(recording.data)) / 250.0
    quiet = sum(recording.components[name] for name in BRAIN)
    rng = np.random.default_rng(1)
    sway = 300e-6 * np.sin(2 * np.pi * 0.8 * t) * ((t > 40.0) & (t < 45.0))
    hit = flagged(
        MuscleGate(recording.info, **fit.arguments), quiet + sway[:, None] * rng.uniform(0.7, 1.3, N_DATA + 4),
        Reason.MOVEMENT,
    )  # fmt: skip
    assert hit[(t > 40.3) & (t < 44.8)].all()
    assert not hit[(t < 40.0) | (t > 46.5)].any()


def test_shaking_of_the_accelerometer_is_movement():
    info = sensors(4, extra=("ACC_X", "ACC_Y", "ACC_Z", "button"))
    assert accelerometer_axes(info) == ("ACC_X", "ACC_Y", "ACC_Z")
    data = noise(info, 30.0)
    data[:, 4:7] = [0.0, 6.0, 8.0] + 0.01 * np.random.default_rng(2).standard_normal((7500, 3))
    data[:, 7] = 0.0
    fit = fit_muscle(data, info, np.zeros(7500, bool))
    assert fit.arguments["acc_limit"] == pytest.approx(0.3, rel=0.05)  # 3 % of 1 g
    assert fit.report["accelerometer"] == ["ACC_X", "ACC_Y", "ACC_Z"]
    assert not flagged(MuscleGate(info, **fit.arguments), data, Reason.MOVEMENT).any()
    data[5000:5100, 5] += 2.0
    hit = flagged(MuscleGate(info, **fit.arguments), data, Reason.MOVEMENT)
    assert hit[5004:5100].all()
    assert not hit[:5000].any()
    assert not hit[5500:].any()
    turned = data.copy()
    turned[:, 4:7] = turned[:, [5, 4, 6]]  # a slow turn of the head is no shaking
    turned[5000:5100] = turned[4900:5000]
    assert not flagged(MuscleGate(info, **fit.arguments), turned, Reason.MOVEMENT).any()


def test_a_calibration_with_30_percent_bursts_is_enough():
    info = sensors(N_DATA)
    clean = noise(info, 120.0)
    loud = clean.copy()
    for start in range(0, len(loud), 1000):
        loud[start : start + 300] *= 8.0
    bad = np.zeros(len(clean), bool)
    a, b = (fit_muscle(x, info, bad, 50.0) for x in (clean, loud))
    assert np.allclose(b.arguments["scale"], a.arguments["scale"], rtol=0.15)
    assert b.arguments["on"] <= 1.5 * a.arguments["on"]
    hit = flagged(MuscleGate(info, **b.arguments), loud, Reason.MUSCLE).reshape(-1, 1000)
    assert hit[1:, 20:300].mean() > 0.98
    assert hit[1:, 500:].mean() < 0.01
    assert 0.28 < b.report["held_out"]["muscle"] < 0.5


def test_bad_samples_teach_nothing():
    info = sensors(N_DATA)
    data, bad = noise(info, 60.0), np.zeros(15000, bool)
    plain = fit_muscle(data, info, bad).arguments
    # bad in every other second
    bad[:] = np.arange(15000) // 250 % 2 == 0
    data[bad] *= 1.5
    other = fit_muscle(data, info, bad).arguments
    blind = fit_muscle(data, info, np.zeros(15000, bool)).arguments
    assert np.allclose(other["scale"], plain["scale"], rtol=0.15)
    assert np.median(blind["far"]) > 1.2 * np.median(other["far"])


def test_dead_channels_are_ignored_and_reported():
    info = sensors(N_DATA, kind="grad")
    data = noise(info, 60.0, size=3e-12)
    data[:, 2] = 0.0
    data[:, 7] *= 1e-3
    fit = fit_muscle(data, info, np.zeros(len(data), bool))
    assert fit.report["left"] == ["E2", "E7"]
    assert fit.arguments["scale"][2] == fit.arguments["scale"][7] == fit.arguments["far"][2] == 0.0
    assert not flagged(
        MuscleGate(info, **fit.arguments), data, Reason.MUSCLE | Reason.MOVEMENT
    ).any()
    json.dumps(fit.report)


def test_mixed_units_do_not_matter():
    recording, fit = person(0, 2), fitted(0)
    gain = 10.0 ** np.random.default_rng(0).integers(-7, 1, N_DATA + 4)
    scaled = fit.arguments | {name: fit.arguments[name] * gain for name in ("scale", "far")}
    data = np.asarray(recording.data[:5000])
    a = flagged(MuscleGate(recording.info, **fit.arguments), data, Reason.MUSCLE)
    b = flagged(MuscleGate(recording.info, **scaled), data * gain, Reason.MUSCLE)
    assert a.any()
    assert np.mean(a != b) < 1e-3


def test_low_rates_report_that_muscle_cannot_be_seen():
    assert muscle_band(100.0) == (25.0, 50.0)
    assert muscle_band(72.0) is None
    info = sensors(N_DATA, 50.0)
    data = noise(info, 60.0)
    fit = fit_muscle(data, info, np.zeros(len(data), bool), line_freq=50.0)
    assert "needs a rate of 73 Hz" in fit.report["silent"]
    data[1000:] *= 30.0
    gate = MuscleGate(info, **fit.arguments)
    assert gate.band is None
    assert not flagged(gate, data, Reason.MUSCLE).any()
    data[2000:2100, :] += 1e-3
    assert flagged(gate, data, Reason.MOVEMENT)[2010:2100].all()


def test_without_signal_the_stage_is_left_out():
    info = SignalInfo(250.0, ("a", "b"), ("ecg", "misc"), ("V", "V"))
    nothing = LeftOut("too little signal above 20 Hz")
    assert fit_muscle(noise(info, 20.0), info, np.zeros(5000, bool)) == nothing
    info = sensors(2)
    assert fit_muscle(np.zeros((5000, 2)), info, np.zeros(5000, bool)) == nothing
    gate = MuscleGate(info, np.zeros(2), np.zeros(2))
    assert not gate.process(a_chunk(noise(info, 2.0))).flags.any()


def test_constant_channels_leave_no_subnormal_numbers():
    info = sensors(N_DATA)
    gate, data = a_gate(info), np.zeros((4000, N_DATA))
    data[:1000] = noise(info, 4.0)
    assert not gate.process(a_chunk(data)).flags[1500:].any()
    assert np.isfinite(gate._memory[~np.isinf(gate._memory)]).all()
    small = np.abs(gate._memory[gate._memory != 0.0]).min()
    assert small > np.finfo(np.float32).tiny  # arithmetic on subnormal numbers is slow


def test_compiled_kernel_matches_its_python():
    gate, plain = a_gate(INFO), a_gate(INFO)
    chunk = make_chunk(150)
    out = np.empty_like(chunk.flags)
    kernel.gate_samples.py_func(
        chunk.data, chunk.flags, chunk.index, plain._coefs, plain._memory, plain._settings,
        plain._status, plain._acc, out,
    )  # fmt: skip
    assert np.array_equal(gate.process(chunk).flags, out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": np.ones(3)}, "need scale .* of shape"),
        ({"scale": np.full(7, np.nan)}, "need scale .* finite"),
        ({"far": np.full(7, -1.0)}, "need far .* finite"),
        ({"on": 1.0, "off": 1.5}, "need 0 < off <= on"),
        ({"accelerometer": ("X",)}, "got 'X'"),
        ({"accelerometer": "ACC"}, "need accelerometer to be a list of names"),
        ({"acc_limit": -1.0}, "need acc_limit"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        a_gate(INFO, **changes)


def test_bad_recordings_are_refused():
    info = sensors(2)
    with pytest.raises(ValueError, match="need data of shape"):
        fit_muscle(np.zeros((100, 3)), info, np.zeros(100, bool))
    fit = fit_muscle(noise(info, 20.0), info, np.ones(5000, bool))
    assert isinstance(fit, LeftOut)
    assert "need 10 s of good samples" in fit.reason


def test_reset_after_a_gap_starts_at_the_new_level():
    info = sensors(N_DATA)
    gate, data = a_gate(info), noise(info, 4.0, size=2e-6)
    first = copy(gate.process(a_chunk(data)))
    gate.reset()
    again = copy(gate.process(a_chunk(data)))
    assert_same(first, again)
    gate.reset()
    assert not gate.process(a_chunk(data + 5e-3)).flags.any()


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:.*channels without a type")
@pytest.mark.parametrize(
    ("path", "line_freq"),
    [
        ("eegmat/Subject05_1.edf", 50.0),
        ("eegmat/Subject33_1.edf", 50.0),
        ("muse/P300/data_2017-02-04-15_45_13.csv", 60.0),
        ("muse/SSVEP/data_2017-09-14-21.20.04.csv", 60.0),
    ],
)
def test_people_at_rest_are_rarely_flagged(data_dir, path, line_freq):
    recording = read_recording(data_dir / path, units="uV" if path.endswith("csv") else None)
    info = recording.info
    gains = np.array([unit_gain(unit)[1] for unit in info.units])
    info = SignalInfo(info.sfreq, info.ch_names, info.ch_types, ("V",) * info.n_channels)
    data = copy(Guard(info).process(a_chunk(recording.data * gains))).data
    fit = fit_muscle(data, info, np.zeros(len(data), bool), line_freq=line_freq)
    hit = flagged(MuscleGate(info, **fit.arguments), data, Reason.MUSCLE | Reason.MOVEMENT)
    assert hit.mean() < 0.1
    # but the same person is flagged when clenching
    rng = np.random.default_rng(0)
    at = len(data) // 2
    length = int(0.5 * info.sfreq)
    burst = data.copy()
    burst[at : at + length] += 30e-6 * rng.standard_normal((length, info.n_channels))
    hit = flagged(MuscleGate(info, **fit.arguments), burst, Reason.MUSCLE)
    assert hit[at + int(0.05 * info.sfreq) : at + length].mean() > 0.95
