"""Recursive least squares on references: against batch least squares, and when references fail."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.cleaning.reference_search import smoothed
from rt_decoder.cleaning.regressors import Regressors
from rt_decoder.kernels import regressors as kernel
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo
from tests.contract import allocated, copy, cut, join, run

C = 13  # no multiple of a vector register
SFREQ = 250.0
TAPS = [(0, 0), (0, 2), (0, 50), (1, 0), (1, 50)]
FREE = {"leakage": np.inf, "box": np.inf, "clip": np.inf, "most_trace": np.inf}


def info_of(n_data=C, sfreq=SFREQ):
    names = (*(f"E{i}" for i in range(n_data)), "ECG", "RESP")
    return SignalInfo(sfreq, names, ("eeg",) * n_data + ("ecg", "resp"), ("V",) * (n_data + 2))


def waves(seconds, sfreq=SFREQ, seed=0):
    """Beats and breaths of RMS 1, (n, 2)."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sfreq)
    beats = np.zeros(n)
    beats[np.cumsum(rng.integers(int(0.7 * sfreq), int(sfreq), n))[: n // int(sfreq)] % n] = 1.0
    kernel_ = np.exp(-0.5 * (np.arange(-20, 21) / (0.012 * sfreq)) ** 2)
    phase = np.cumsum(0.25 + 0.02 * np.sin(np.arange(n) / sfreq / 7)) / sfreq
    both = np.stack([np.convolve(beats, kernel_, "same"), np.sin(2 * np.pi * phase)], 1)
    return both / both.std(0)


def scene(seconds, sfreq=SFREQ, seed=0, index=0):
    """Noise of 5 uV with beats of 4 uV and breaths of 8 uV; references of 1 mV."""
    rng = np.random.default_rng([seed, 1])
    reference = waves(seconds, sfreq, seed)
    n = len(reference)
    maps = rng.standard_normal((2, C)) * [[4e-6], [8e-6]]
    clean = 5e-6 * rng.standard_normal((n, C))
    data = np.hstack([clean + reference @ maps, 1e-3 * reference])
    flags, channel_flags = np.zeros(n, FLAGS), np.zeros((n, C + 2), FLAGS)
    chunk = Chunk(data, (index + np.arange(n)) / sfreq, index, flags, channel_flags)
    return chunk, clean, maps


@cache
def products(sfreq):
    """Mean products of the regressors, (k, k)."""
    z = regressors_of(scene(60.0, sfreq)[0])
    return z.T @ z / len(z)


def make(
    info=None, weights=None, taps=TAPS, time_constant=20.0, reach=None, smoothing=None, **settings_
):
    info = info or info_of()
    k = len(taps)
    inverse = np.linalg.inv(products(info.sfreq)) if taps == TAPS else np.eye(k)
    return Regressors(
        info,
        ("ECG", "RESP"),
        taps,
        np.zeros((k, C)) if weights is None else weights,
        (inverse + inverse.T) / 2,
        [1e-3, 1e-3],
        [2e-2, 4e-3],
        np.full(C, 5e-6),
        reach,
        smoothing,
        time_constant=time_constant,
        **settings_,
    )


def reach_of(chunk):
    """Four times the largest ``z' inverse z`` of each reference."""
    z = regressors_of(chunk)
    zpz = z * (z @ np.linalg.inv(products(SFREQ)))
    return 4.0 * np.array([zpz[:, :3].sum(1).max(), zpz[:, 3:].sum(1).max()])


def warm(maps):
    """Weights of the taps without lag."""
    weights = np.zeros((len(TAPS), C))
    weights[0], weights[3] = maps
    return weights


def taken_out(weights):
    """RMS that the weights of each reference take out of each channel, (2, C)."""
    parts = [(np.s_[:3], np.s_[:3]), (np.s_[3:], np.s_[3:])]
    return np.sqrt([np.sum(weights[i] * (products(SFREQ)[i, j] @ weights[i]), 0) for i, j in parts])


def regressors_of(chunk, taps=TAPS):
    """Every regressor at every sample; before the first sample lies its copy."""
    reference = chunk.data[:, C:] / 1e-3
    return np.stack(
        [reference[np.maximum(np.arange(len(reference)) - lag, 0), r] for r, lag in taps], 1
    )


def batch(z, x, start, inverse, forget):
    """Weighted least squares, exponentially forgetting, tied to `start` by `inverse`."""
    weight = forget ** np.arange(len(z) - 1, -1, -1.0)
    prior = forget ** len(z) * np.linalg.inv(inverse)
    gram = (z.T * weight) @ z + prior
    return np.linalg.solve(gram, (z.T * weight) @ x + prior @ start)


@pytest.mark.parametrize(("sfreq", "every"), [(200.0, 1), (1000.0, 4)])
def test_weights_are_those_of_batch_least_squares(sfreq, every):
    chunk, _, _ = scene(30.0, sfreq, index=every)
    start = np.random.default_rng(5).standard_normal((len(TAPS), C)) * 1e-6
    stage = make(info_of(sfreq=sfreq), start, **FREE)
    inverse = stage.inverse
    stage.process(chunk)
    z = regressors_of(chunk)
    teaches = np.arange(len(z)) % every == 0
    teaches[: TAPS[-1][1]] = False  # the oldest tap has not seen the stream yet
    memory = 20.0 * sfreq / every
    want = batch(z[teaches], chunk.data[teaches, :C], start, inverse, np.exp(-1 / memory))
    assert np.abs(stage.weights - want).max() <= 1e-8 * np.abs(want).max()


def test_output_is_what_was_not_known_before_the_sample():
    chunk, _, maps = scene(4.0)
    stage = make(weights=warm(maps), **FREE)
    for t, piece in enumerate(cut(chunk, range(1, len(chunk.data)))):
        before = stage.weights
        out = stage.process(piece)
        want = chunk.data[t, :C] - regressors_of(chunk)[t] @ before
        assert np.allclose(out.data[0, :C], want, rtol=0, atol=1e-18)
        assert np.array_equal(out.data[0, C:], chunk.data[t, C:])


def test_compiled_kernel_is_its_python_source(monkeypatch):
    chunk, _, maps = scene(3.0)
    chunk.flags[100:120] = Reason.MUSCLE
    chunk.channel_flags[200:230, C] = Reason.NONFINITE
    chunk.channel_flags[300:330, 2] = Reason.FLAT
    chunk.data[400:420, C] = 1.0
    stages = [make(weights=0.8 * warm(maps), max_rate=125.0, leakage=1.0, box=0.1) for _ in "ab"]
    compiled = copy(stages[0].process(chunk))
    for name in (
        "regress",
        "_listen",
        "_look_back",
        "_may_learn",
        "_subtract",
        "_set_apart",
        "_learn",
        "_cap_trace",
        "_leak",
        "_bound",
    ):
        monkeypatch.setattr(kernel, name, getattr(kernel, name).py_func)
    plain = stages[1].process(chunk)
    assert np.abs(compiled.data - plain.data).max() < 1e-15
    assert np.array_equal(compiled.flags, plain.flags)
    assert np.allclose(stages[0].weights, stages[1].weights, rtol=1e-9, atol=1e-18)
    assert np.allclose(stages[0].inverse, stages[1].inverse, rtol=1e-9, atol=1e-15)


@given(cuts=st.lists(st.integers(0, 500), max_size=20).map(sorted), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_cut_invariant_to_the_bit_with_failing_references(cuts, seed):
    chunk, _, maps = scene(2.0, seed=seed, index=37)
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 400, 4)
    chunk.flags[at[0] : at[0] + 30] = Reason.MOVEMENT
    chunk.channel_flags[at[1] : at[1] + 30, C + 1] = Reason.FLAT
    chunk.data[at[2] : at[2] + 30, C] = 1.0
    chunk.channel_flags[at[3] : at[3] + 30, 3] = Reason.JUMP
    options = {"weights": 0.8 * warm(maps), "leakage": 1.0, "holdoff": 0.05, "max_rate": 125.0}
    whole, parts = make(**options), make(**options)
    a, b = run(whole, chunk), run(parts, chunk, cuts)
    assert a.data.tobytes() == b.data.tobytes()
    assert a.flags.tobytes() == b.flags.tobytes()
    assert whole.weights.tobytes() == parts.weights.tobytes()
    assert whole.inverse.tobytes() == parts.inverse.tobytes()


def attenuation(out, chunk, clean):
    """How much of the artifact is gone, dB."""
    before, after = chunk.data[:, :C] - clean, out.data[:, :C] - clean
    return 10 * np.log10(np.sum(before**2) / np.sum(after**2))


def test_a_known_artifact_goes_and_a_drifting_one_is_followed():
    chunk, clean, maps = scene(120.0)
    assert attenuation(make(weights=warm(maps)).process(chunk), chunk, clean) > 25.0
    drifted = make(weights=0.7 * warm(maps), leakage=400.0)
    out = drifted.process(chunk)
    late = slice(len(clean) // 2, None)
    before, after = (chunk.data[late, :C] - clean[late]), (out.data[late, :C] - clean[late])
    assert 10 * np.log10(np.sum(before**2) / np.sum(after**2)) > 20.0  # 10 dB without learning


def test_without_artifact_the_brain_passes():
    chunk, clean, maps = scene(120.0)
    chunk.data[:, :C] = clean
    out = make(weights=0.0 * warm(maps), leakage=80.0).process(chunk)
    assert np.std(out.data[:, :C] - clean) / np.std(clean) < 0.03


@pytest.mark.parametrize("failure", ["flagged", "held", "railed", "silent"])
def test_a_reference_lost_for_a_minute_changes_little(failure):
    chunk, clean, maps = scene(180.0)
    options = {"weights": warm(maps), "reach": reach_of(chunk), "time_constant": 60.0}
    fine = copy(make(**options).process(chunk))
    lost = slice(round(60 * SFREQ), round(120 * SFREQ))
    broken = copy(chunk)
    broken.data[lost, C:] = {"flagged": 5e-3, "held": 1e-3, "railed": 1.0, "silent": 0.0}[failure]
    if failure in ("flagged", "held"):
        broken.channel_flags[lost, C:] = Reason.REFERENCE_LOST
    stage = make(**options)
    pieces, inside = [], []
    for piece in cut(broken, [lost.start, lost.stop]):
        pieces.append(copy(stage.process(piece)))
        inside.append(stage.weights)
    moved = np.linalg.norm(inside[1] - inside[0]) / np.linalg.norm(inside[0])
    assert moved <= 0.01
    out = join(pieces, chunk)
    again = slice(lost.stop + round(SFREQ), lost.stop + round(31 * SFREQ))
    errors = [np.sqrt(np.mean((o.data[again, :C] - clean[again]) ** 2)) for o in (fine, out)]
    tiny = 3e-3 * np.sqrt(np.mean((chunk.data[again, :C] - clean[again]) ** 2))  # -50 dB
    assert errors[1] <= 1.1 * np.hypot(errors[0], tiny)
    during = np.sqrt(np.mean((out.data[lost, :C] - clean[lost]) ** 2))
    assert during <= 1.05 * np.sqrt(np.mean((chunk.data[lost, :C] - clean[lost]) ** 2))


@pytest.mark.parametrize("held_off", [False, True])
def test_jumps_keep_a_reference_off_but_hold_off_none(held_off):
    """An R wave looks like a jump; after a rail, it says that the reference has not settled."""
    chunk, _, maps = scene(20.0)
    chunk.flags[:] = Reason.MUSCLE  # nothing is learned
    weights = warm(maps * [[1.0], [0.0]])
    fine = copy(make(weights=weights, holdoff=0.4).process(chunk))
    first, step = 1000, round(0.3 * SFREQ)
    if held_off:
        chunk.channel_flags[first, C] = Reason.RAIL
    chunk.channel_flags[first : first + 10 * step : step, C] |= FLAGS(Reason.JUMP)
    out = make(weights=weights, holdoff=0.4).process(chunk)
    off = slice(first + 2 * step, first + 10 * step)
    expected = chunk if held_off else fine
    assert np.array_equal(out.data[off, :C], expected.data[off, :C])


def test_one_lost_reference_does_not_stop_the_other():
    chunk, _, maps = scene(120.0)
    chunk.channel_flags[:, C] = Reason.FLAT
    stage = make(weights=0.5 * warm(maps), leakage=np.inf)
    stage.process(chunk)
    start = 0.5 * warm(maps)
    assert np.array_equal(stage.weights[:3], start[:3])
    z = regressors_of(chunk)[:, 3:]
    error = z @ (stage.weights[3:] - warm(maps)[3:])
    assert np.std(error) < 0.1 * np.std(z @ warm(maps)[3:])
    assert np.array_equal(stage.inverse[:3, :3], make().inverse[:3, :3])
    assert not stage.inverse[:3, 3:].any()
    assert np.linalg.eigvalsh(stage.inverse)[0] > 0


def test_an_hour_of_silence_winds_nothing_up():
    chunk, _, maps = scene(60.0)
    silent = copy(chunk)
    silent.data[:, C:] = 0.0
    stage = make(weights=warm(maps), time_constant=5.0)
    stage.process(chunk)
    for minute in range(1, 61):
        stage.process(silent._replace(index=minute * len(chunk.data)))
    assert np.trace(stage.inverse) <= 2.0 * np.trace(make(time_constant=5.0).inverse) * (1 + 1e-12)
    assert np.isfinite(stage.process(chunk).data).all()


def test_the_trace_is_capped():
    chunk, _, maps = scene(60.0)
    chunk.data[:, C:] *= 0.2  # quieter than in calibration, and not silent
    stage = make(weights=warm(maps), time_constant=2.0, most_trace=1.5)
    most = 1.5 * np.trace(stage.inverse)
    for piece in cut(chunk, range(0, len(chunk.data), 50)):
        stage.process(piece)
        assert np.trace(stage.inverse) <= most * (1 + 1e-12)
    free = make(weights=warm(maps), time_constant=2.0, most_trace=np.inf)
    free.process(chunk)
    assert np.trace(free.inverse) > 2 * most


def test_nothing_is_learned_from_flagged_samples_and_channels():
    chunk, _, maps = scene(10.0)
    chunk.flags[:] = Reason.MUSCLE
    stage = make(weights=0.5 * warm(maps))
    stage.process(chunk)
    assert np.array_equal(stage.weights, 0.5 * warm(maps))
    chunk.flags[:] = Reason.EYE | Reason.HEARTBEAT  # corrected is good
    chunk.channel_flags[:, 4] = Reason.BAD_CHANNEL | Reason.REPAIRED
    stage.process(chunk)
    changed = (stage.weights != 0.5 * warm(maps)).any(0)
    assert not changed[4]
    assert changed[np.arange(C) != 4].all()


def test_weights_stay_in_their_box_and_fall_back():
    chunk, _, maps = scene(60.0)
    chunk.data[:, :C] *= 10.0  # a jump in propagation no calibration knows
    stage = make(weights=warm(maps), box=0.2, leakage=1e6, clip=np.inf)
    stage.process(chunk)
    # of what goes out of a channel, whatever its three taps share among them
    most = 0.2 * taken_out(warm(maps))
    most = np.maximum(most, 0.25 * np.sqrt(np.mean(most**2, 1, keepdims=True)))
    share = taken_out(stage.weights - warm(maps)) / most
    assert (share <= 1.3).all()  # 16 lessons lie between two pulls
    assert np.median(share) > 0.9
    quiet, _, _ = scene(60.0)
    quiet.data[:, :C] = 0.0
    leaky, held = make(weights=warm(maps), leakage=0.5), make(weights=warm(maps), leakage=np.inf)
    for one in (leaky, held):
        one.process(quiet)
    assert np.linalg.norm(leaky.weights - warm(maps)) < 0.1 * np.linalg.norm(
        held.weights - warm(maps)
    )


def test_clipped_errors_give_weights_a_top_speed():
    chunk, _, maps = scene(20.0)
    chunk.data[1000:1010, :C] += 5e-3  # a pop that nobody flagged
    moved = []
    for clip in (5.0, np.inf):
        stage = make(weights=warm(maps), clip=clip)
        parts = list(cut(chunk, [1000, 1010]))
        stage.process(parts[0])
        before = stage.weights
        stage.process(parts[1])
        moved.append(np.linalg.norm(stage.weights - before))
    assert moved[0] < 0.05 * moved[1]


def test_a_noisy_reference_is_smoothed_as_scipy_does():
    chunk, _, maps = scene(20.0)
    corner = np.array([0.0, 2.0])
    slow = smoothed(chunk.data[:, C + 1], 2.0, SFREQ)
    ready = copy(chunk)
    ready.data[:, C + 1] = slow
    live, want = make(weights=warm(maps), smoothing=corner), make(weights=warm(maps))
    out, oracle = copy(live.process(chunk)), want.process(ready)
    assert np.allclose(out.data[:, :C], oracle.data[:, :C], rtol=0, atol=1e-16)
    assert np.array_equal(out.data[:, C:], chunk.data[:, C:])


def test_marks_samples_where_something_notable_went_out():
    chunk, _, maps = scene(20.0)
    stage = make(weights=warm(maps), **FREE)
    out = copy(stage.process(chunk))
    want = np.zeros(len(chunk.data), bool)
    stage.reset()
    for t, piece in enumerate(cut(chunk, range(1, len(chunk.data)))):
        went = piece.data[0, :C] - stage.process(piece).data[0, :C]
        want[t] = (np.abs(went) > 0.1 * 5e-6).any()
    assert np.array_equal(out.flags & Reason.REGRESSED > 0, want)
    assert 0.5 < want.mean() < 1.0


def test_no_reference_passes_the_chunk_on():
    stage = Regressors(
        info_of(), (), np.empty((0, 2)), np.empty((0, C)), np.empty((0, 0)), [], [], np.ones(C)
    )
    chunk, _, _ = scene(1.0)
    assert stage.process(chunk) is chunk
    assert stage.settling == 0.0


def test_no_array_is_allocated_once_warm():
    chunk, _, maps = scene(60.0)
    stage, hop = make(weights=warm(maps)), next(cut(chunk, [200]))
    stays, peak = allocated(lambda: stage.process(hop), 1000)
    assert stays < 512
    assert peak < 2048  # a hop holds 24 KiB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taps": [(0, 0), (1, -1)]}, "need taps"),
        ({"taps": [(0, 0), (0, 1)]}, "need taps"),
        ({"taps": [(0, 0), (1, 1 << 40)]}, "need taps"),
        ({"taps": [(0, 0), (1, 0.5)]}, "need taps to be whole numbers"),
        ({"weights": np.zeros((2, C))}, "need weights .* of shape"),
        ({"weights": np.full((5, C), np.nan)}, "need weights .* finite"),
        ({"time_constant": -1.0}, "need time_constant"),
        ({"most_trace": 0.5}, "need most_trace"),
        ({"clip": 0.0}, "need clip"),
        ({"box": -1.0}, "need box"),
        ({"leakage": float("nan")}, "need leakage"),
    ],
)
def test_bad_settings_are_refused(change, message):
    weights = np.zeros((len(change["taps"]), C)) if "taps" in change else None
    with pytest.raises(ValueError, match=message):
        make(**{"weights": weights, "time_constant": 20.0, **change})


def test_bad_channels_are_refused():
    info = info_of()
    arrays = ([(0, 0)], np.zeros((1, C)), np.eye(1), [1.0], [1.0], np.ones(C))
    with pytest.raises(ValueError, match=r"need names among ECG, RESP.* got 'E3'"):
        Regressors(info, ["E3"], *arrays)
    with pytest.raises(ValueError, match="symmetric and positive"):
        Regressors(info, ["ECG"], *arrays[:2], -np.eye(1), *arrays[3:])
    last = info.pick([C, *range(C)])
    with pytest.raises(ValueError, match="before all others"):
        Regressors(last, ["ECG"], *arrays)
