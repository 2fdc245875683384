"""Repair of bad channels: simulated heads with known truth, real EEG, and the laws of the stage."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

from calibration.cleaning.neighbors import pick_neighbors, solve_ridge, spline_weights
from calibration.cleaning.repair import fit_repair, no_repair
from calibration.cleaning.stage_fit import LeftOut
from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.filters import SosFilter
from rt_decoder.cleaning.guard import Guard
from rt_decoder.cleaning.repair import ChannelRepair
from rt_decoder.signal import Reason, SignalInfo
from rt_decoder.simulation.participant import Participant
from tests.contract import Case as Laws
from tests.contract import check_causal, check_cut_invariant, copy, make_chunk, run

SFREQ = 250.0
SOS = design_sos(SFREQ, 0.5, 40.0, 4, notch=(50.0,))
NO_NOTCH = design_sos(SFREQ, 0.5, 70.0, 4)
SETTLED = slice(500, None)


def as_chunk(data, info):
    chunk = make_chunk(len(data), index=0, info=info)
    chunk.flags[:] = chunk.channel_flags[:] = 0
    return chunk._replace(data=data)


def filtered(data, info, sos=SOS):
    return SosFilter(info, sos).process(as_chunk(data, info)).data.copy()


def simulate(n_channels, seconds, session, artifacts=1.0):
    vectors = np.random.default_rng(0).standard_normal((6, 4))
    person = Participant(
        vectors, list("abcdef"), n_channels=n_channels, sfreq=SFREQ, artifacts=artifacts, seed=1
    )
    recording = person.simulate(duration=seconds, seed=session, components=False)
    return recording.data, recording.info


class Head:
    """A cap, its fit on one session, and the data of another, raw and filtered."""

    def __init__(self, n_channels):
        data, self.info = simulate(n_channels, 100.0, 0)
        self.calibration = filtered(data, self.info)
        self.fit = fit_repair(self.calibration, self.info, np.arange(len(data)) < 500)
        self.raw = simulate(n_channels, 40.0, 1)[0]
        self.clean = filtered(self.raw, self.info)

    @cached_property
    def fit_without_notch(self):
        data = filtered(simulate(self.info.n_channels, 60.0, 0)[0], self.info, NO_NOTCH)
        return fit_repair(data, self.info, np.arange(len(data)) < 500)

    def repair(self, data, fit=None):
        stage = ChannelRepair(self.info, **(fit or self.fit).arguments)
        return copy(stage.process(as_chunk(data, self.info)))


@pytest.fixture(scope="module")
def heads():
    return {n: Head(n) for n in (16, 32, 64)}


def repaired(chunk):
    return (chunk.channel_flags & Reason.REPAIRED) > 0


def decibels(dirty, out, clean):
    return 10.0 * np.log10(np.mean((dirty - clean) ** 2) / np.mean((out - clean) ** 2))


@pytest.mark.parametrize("n", [16, 32, 64])
def test_clean_data_pass_untouched(heads, n):
    head = heads[n]
    out = head.repair(head.clean)
    assert repaired(out)[SETTLED].mean() < 1e-3
    error = np.sqrt(np.mean((out.data - head.clean)[SETTLED] ** 2))
    assert error <= 0.005 * np.sqrt(np.mean(head.clean[SETTLED] ** 2))
    assert not (out.flags & Reason.BAD_CHANNEL).any()


@pytest.mark.parametrize(("n", "least"), [(16, 20.0), (32, 25.0), (64, 33.0)])
def test_pops_are_attenuated_within_12_ms(heads, n, least):
    head = heads[n]
    data, rng = head.raw.copy(), np.random.default_rng(2)
    pops = [(int(SFREQ * at), int(rng.integers(n))) for at in range(4, 38, 4)]
    for start, k in pops:
        age = np.arange(len(data) - start) / SFREQ
        data[start:, k] += rng.choice([-1, 1]) * 500e-6 * np.exp(-age / 5.0)
    dirty = filtered(data, head.info)
    out = head.repair(dirty)
    gains = []
    for start, k in pops:
        span = slice(start, start + 300)
        gains.append(decibels(dirty[span, k], out.data[span, k], head.clean[span, k]))
        assert repaired(out)[start : start + 3, k].any(), "later than 12 ms"
        others = np.arange(n) != k
        spread = (out.data - head.clean)[span][:, others]
        assert np.sqrt(np.mean(spread**2)) < 0.6e-6
    assert np.mean(gains) >= least + 2.0
    assert min(gains) >= least


FAULTS = {
    "dead": lambda x, rng: 0.3e-6 * rng.standard_normal(x.shape),
    "flat": lambda x, rng: np.full_like(x, 3e-5),
    "rail": lambda x, rng: np.full_like(x, 5e-3),
    "mains": lambda x, rng: x + 80e-6 * np.sin(np.arange(len(x)) * 2 * np.pi * 50 / SFREQ),
    "noisy": lambda x, rng: x + 40e-6 * rng.standard_normal(x.shape),
}


@pytest.mark.parametrize("n_bad", [1, pytest.param(5, marks=pytest.mark.slow), 12])
@pytest.mark.parametrize("fault", FAULTS)
def test_bad_channels_are_replaced_by_the_prediction_of_neighbors(heads, fault, n_bad):
    head, rng = heads[64], np.random.default_rng(n_bad)
    bad = rng.choice(64, n_bad, replace=False)
    span = slice(2500, 6250)
    data = head.raw.copy()
    for k in bad:
        data[span, k] = FAULTS[fault](data[span, k], rng)
    sos, fit = SOS, head.fit
    if fault == "mains":  # a notch would leave nothing to repair
        sos, fit = NO_NOTCH, head.fit_without_notch
    out = head.repair(filtered(data, head.info, sos), fit)
    clean = filtered(head.raw, head.info, sos)
    late = slice(span.start + 1000, span.stop)
    for k in bad:
        assert repaired(out)[late, k].mean() > 0.95
        assert np.corrcoef(out.data[late, k], clean[late, k])[0, 1] > 0.9
    good = np.setdiff1d(np.arange(64), bad)
    # it takes a second to detect a dead channel; until then its neighbours may look bad
    assert repaired(out)[SETTLED][:, good].mean() < (0.005 if fault in ("dead", "flat") else 0.002)
    assert not (out.flags & Reason.BAD_CHANNEL).any()


def test_mains_behind_a_notch_need_no_repair(heads):
    head = heads[32]
    data = head.raw.copy()
    data[2500:, 7] = FAULTS["mains"](data[2500:, 7], None)
    assert repaired(head.repair(filtered(data, head.info)))[2750:, 7].mean() == 0.0


def test_too_many_bad_channels_flag_the_sample(heads):
    head = heads[32]
    data = head.raw.copy()
    data[2500:7500, :10] = 5e-3
    out = head.repair(filtered(data, head.info))
    flagged = (out.flags & Reason.BAD_CHANNEL) > 0
    assert flagged[2500:2600].mean() > 0.9
    assert not flagged[500:2500].any()
    few = head.raw.copy()
    few[2500:7500, :5] = 5e-3
    assert not (head.repair(filtered(few, head.info)).flags & Reason.BAD_CHANNEL).any()


def test_what_stays_within_the_limit_for_a_moment_is_no_noise():
    """The square of a residual near its limit would be noise within half a second; capped, not."""
    info = SignalInfo(SFREQ, tuple("ABCDEF"), ("eeg",) * 6, ("V",) * 6)
    neighbors = (np.arange(6)[:, None] + [1, 2]) % 6
    limits = np.array([[1e-5], [0.25], [0.04], [1e-14], [1.0]]) * np.ones(6)
    stage = ChannelRepair(info, neighbors, np.full((3, 6, 2), 0.5), limits, np.zeros(6, bool))
    data = 1e-7 * np.random.default_rng(0).standard_normal((1500, 6))
    data[500:612, 2] += 9.6e-6  # 0.45 s
    assert not repaired(stage.process(as_chunk(data, info))).any()
    data[612:, 2] += 9.6e-6
    stage.reset()
    assert repaired(stage.process(as_chunk(data, info)))[1000:, 2].all()


@pytest.mark.parametrize(("n_popping", "flagged"), [(0, False), (5, False), (7, True)])
def test_channels_known_to_be_bad_are_not_too_many(heads, n_popping, flagged):
    """Eight of 32 are bad already: more than a quarter of the 24 others must be bad to count."""
    head = heads[32]
    bad = np.isin(np.arange(32), np.arange(0, 32, 4))
    arguments = head.fit.arguments | {"bad": bad}
    data = head.clean[:1500].copy()
    popping = np.flatnonzero(~bad)[::3][:n_popping]
    data[1000:, popping] += 5e-3
    out = ChannelRepair(head.info, **arguments).process(as_chunk(data, head.info))
    assert repaired(out)[:, bad].all()
    assert ((out.flags & Reason.BAD_CHANNEL) > 0)[1010:].all() == flagged
    assert not (out.flags & Reason.BAD_CHANNEL)[:1000].any()


@pytest.mark.parametrize("n", [16, 32, 64])
def test_blinks_are_not_taken_for_pops(heads, n):
    head = heads[n]
    data = filtered(simulate(n, 40.0, 2, {"blink": 1.5, "saccade": 1.5})[0], head.info)
    out = head.repair(data)
    assert np.abs(data).max() > 150e-6
    assert repaired(out)[SETTLED].mean() < 1e-3
    front = [k for k, name in enumerate(head.info.ch_names) if name.startswith(("Fp", "AF"))]
    assert np.abs(out.data - data)[SETTLED][:, front].max() < 20e-6


def test_a_pop_during_blinks_is_found(heads):
    head = heads[32]
    data = simulate(32, 40.0, 2, {"blink": 1.0})[0]
    clean = filtered(data, head.info)
    k = head.info.ch_names.index("Fp1")
    data[5000:, k] += 500e-6
    dirty = filtered(data, head.info)
    out = head.repair(dirty)
    span = slice(5000, 5300)
    assert decibels(dirty[span, k], out.data[span, k], clean[span, k]) > 20.0


def test_flagged_channels_are_replaced_until_they_agree_again(heads):
    head = heads[32]
    chunk = as_chunk(head.clean.copy(), head.info)
    chunk.data[3000:3400, 4] += 100e-6 * np.exp(-np.arange(400) / 100.0)
    chunk.channel_flags[3000:3010, 4] = Reason.RAIL
    stage = ChannelRepair(head.info, **head.fit.arguments)
    out = copy(stage.process(chunk))
    assert (out.channel_flags[3000:3010, 4] & Reason.RAIL).all()
    assert repaired(out)[3000:3150, 4].all()
    assert not repaired(out)[3600:, 4].any()
    error = np.abs(out.data - head.clean)[3000:3400, 4].max()
    assert error < 30e-6


def test_release_is_smooth(heads):
    head = heads[32]
    chunk = as_chunk(head.clean.copy(), head.info)
    chunk.data[3000:3050, 4] += 300e-6
    out = ChannelRepair(head.info, **head.fit.arguments).process(chunk)
    share = (out.data - chunk.data)[3050:3200, 4]
    steps = np.abs(np.diff(share))
    own = np.abs(np.diff(head.clean[:, 4])).max() + head.fit.arguments["limits"][0, 4] / (
        0.25 * SFREQ
    )
    assert steps.max() < 2.0 * own


@pytest.mark.parametrize("cuts", [[1], [24], [100, 101, 130, 148], list(range(7, 3000, 10))])
def test_cut_invariant_with_pops_and_flags(heads, cuts):
    head, rng = heads[16], np.random.default_rng(3)
    chunk = as_chunk(head.clean[:3000].copy(), head.info)
    chunk.channel_flags[rng.random(chunk.data.shape) < 0.002] = Reason.JUMP
    chunk.flags[rng.random(3000) < 0.05] = Reason.HELD
    for k, start in enumerate((20, 90, 147, 1000, 1003)):
        chunk.data[start : start + 400, 3 * k] += 400e-6
    laws = Laws(lambda info: ChannelRepair(head.info, **head.fit.arguments))
    check_cut_invariant(laws, chunk, cuts)
    out = run(laws.make(head.info), chunk)
    assert repaired(out).any(axis=0).sum() >= 5


def test_channels_bad_in_calibration_are_found_and_never_used(heads):
    head, rng = heads[32], np.random.default_rng(4)
    data = head.calibration.copy()
    data[:, 3] = 1e-9 * rng.standard_normal(len(data))
    data[:, 8] = 200e-6 * rng.standard_normal(len(data))
    data[:, 20] = filtered(10e-6 * rng.standard_normal((len(data), 32)), head.info)[:, 0]
    names = np.array(head.info.ch_names)[[3, 8, 20]]
    for info in (head.info, SignalInfo(SFREQ, head.info.ch_names, head.info.ch_types, ("V",) * 32)):
        fit = fit_repair(data, info, np.arange(len(data)) < 500)
        assert fit.report["bad"] == dict(
            zip(names, ("flat", "noisy", "unlike its neighbours"), strict=True)
        )
        assert np.flatnonzero(fit.arguments["bad"]).tolist() == [3, 8, 20]
        assert not np.isin(fit.arguments["neighbors"], [3, 8, 20]).any()
        out = ChannelRepair(info, **fit.arguments).process(as_chunk(head.clean.copy(), info))
        assert repaired(out)[:, [3, 8, 20]].all()
        assert not (out.flags & Reason.BAD_CHANNEL).any()
        if info.positions is not None:
            true, got = head.clean[SETTLED, 3], out.data[SETTLED, 3]
            assert np.corrcoef(true, got)[0, 1] > 0.5


def test_channel_types_are_fitted_apart():
    rng = np.random.default_rng(5)
    sources = rng.standard_normal((5000, 3))
    types = ("mag",) * 6 + ("grad",) * 6 + ("eog", "eeg")
    unit = np.r_[np.full(6, 1e-13), np.full(6, 1e-11), 1e-5, 1e-5]
    data = (sources @ rng.standard_normal((3, 14)) + 0.2 * rng.standard_normal((5000, 14))) * unit
    info = SignalInfo(
        SFREQ, tuple(f"S{i}" for i in range(14)), types, ("T",) * 6 + ("T/m",) * 6 + ("V",) * 2
    )
    fit = fit_repair(data, info)
    assert (fit.arguments["neighbors"][:6] < 6).all()
    assert ((fit.arguments["neighbors"][6:12] >= 6) | (fit.arguments["neighbors"][6:12] < 0)).all()
    assert (fit.arguments["neighbors"][12:] == -1).all()
    assert fit.report["left"] == {"eeg": "fewer than 4 channels"}
    scaled = fit_repair(data / unit, info)
    assert np.allclose(
        scaled.arguments["limits"][0, :12], fit.arguments["limits"][0, :12] / unit[:12], rtol=1e-6
    )
    dirty = as_chunk(data.copy(), info)
    dirty.data[1000:1200, [2, 12, 13]] += 100 * unit[[2, 12, 13]]
    out = ChannelRepair(info, **fit.arguments).process(dirty)
    assert repaired(out)[1000:1200, 2].all()
    assert np.array_equal(out.data[:, 12:], dirty.data[:, 12:])
    assert np.abs(out.data[1000:1200, 2] - data[1000:1200, 2]).max() < 3e-13


def test_guard_filter_and_repair_recover_from_a_rail(heads):
    head = heads[32]
    data = head.raw.copy()
    data[2500:3500, 6] = 0.4  # V
    guard, sos = Guard(head.info), SosFilter(head.info, SOS)
    stage = ChannelRepair(head.info, **head.fit.arguments)
    out = stage.process(sos.process(guard.process(as_chunk(data, head.info))))
    error = np.abs(out.data - head.clean)
    assert repaired(out)[2520:3500, 6].mean() > 0.9
    assert error[6000:, 6].max() < 60e-6
    assert error[SETTLED][:, np.arange(32) != 6].max() < 10e-6


def test_causal_with_pops(heads):
    head = heads[16]
    laws = Laws(lambda info: ChannelRepair(head.info, **head.fit.arguments))
    chunk = as_chunk(head.clean[:400].copy(), head.info)
    chunk.data[100:, 2] += 300e-6
    check_causal(laws, chunk, 211)


def test_neighbors_and_ridge_match_least_squares():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((4000, 6)) @ rng.standard_normal((6, 6))
    moments = x.T @ x / len(x)
    picks = pick_neighbors(moments, 2, np.ones(6, bool), 5, 1e-9)
    assert sorted(picks) == [0, 1, 3, 4, 5]
    weights = solve_ridge(moments, 2, picks, 0.0)
    assert np.allclose(weights, np.linalg.lstsq(x[:, picks], x[:, 2], rcond=None)[0])
    first = pick_neighbors(moments, 2, np.array([1, 1, 1, 0, 1, 1], bool), 1, 1e-9)[0]
    corr = np.abs(np.corrcoef(x.T)[2])
    corr[[2, 3]] = 0.0
    assert first == np.argmax(moments[2] ** 2 / np.diag(moments) * (corr > 0))


def test_spline_is_exact_on_constants_and_near_on_smooth_fields():
    points = np.random.default_rng(7).standard_normal((40, 3))
    points *= 0.09 / np.linalg.norm(points, axis=1, keepdims=True)
    usable = np.ones(40, bool)
    usable[3] = False
    for k in (0, 3):
        near, weights = spline_weights(points, k, usable, 8)
        assert k not in near
        assert 3 not in near
        assert weights.sum() == pytest.approx(1.0)
        assert points[near, 0] @ weights == pytest.approx(points[k, 0], abs=0.015)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neighbors": np.zeros((5, 2), int)}, "need neighbors .* of shape"),
        ({"neighbors": np.full((6, 2), 6)}, "from -1 to 5"),
        ({"neighbors": np.full((6, 2), 5)}, "own type"),
        ({"neighbors": np.tile(np.arange(6)[:, None], 2)}, "channel itself"),
        ({"weights": np.full((3, 6, 2), np.nan)}, "finite"),
        ({"limits": np.zeros((5, 6))}, "limits above 0"),
        ({"bad": np.zeros(6)}, "need bad to be booleans"),
        ({"bad": np.ones(6, bool)}, "neighbors for every channel that is bad"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    info = SignalInfo(SFREQ, tuple("abcdef"), ("eeg",) * 5 + ("eog",), ("V",) * 6)
    neighbors = np.full((6, 2), -1)
    neighbors[:5] = (np.arange(5)[:, None] + [1, 2]) % 5
    arguments = {
        "neighbors": neighbors,
        "weights": np.ones((3, 6, 2)),
        "limits": np.ones((5, 6)),
        "bad": np.zeros(6, bool),
    }
    ChannelRepair(info, **arguments)
    with pytest.raises(ValueError, match=message):
        ChannelRepair(info, **(arguments | change))


def test_a_fit_that_is_impossible_has_a_reason(heads):
    info = SignalInfo(SFREQ, ("a", "b", "c"), ("eeg", "eeg", "eog"), ("V",) * 3)
    data = np.random.default_rng(8).standard_normal((3000, 3))
    assert fit_repair(data, info) == LeftOut(no_repair(info.ch_types))
    assert "got 2 eeg" in no_repair(info.ch_types)
    head = heads[16]
    assert "need 10 s of good samples" in fit_repair(head.calibration[:2000], head.info).reason
    with pytest.raises(ValueError, match="need data of shape"):
        fit_repair(data, head.info)
    dead = head.calibration * (np.arange(16) < 3)
    assert "constant, got more than half" in fit_repair(dead, head.info).reason
    few, info = head.calibration[:, :5] * [1, 1, 1, 0, 0], head.info.pick(range(5))
    assert "need 4 good channels of a type" in fit_repair(few, info).reason


def long_session(head, seconds=60.0):
    """Clean data, longer than those of the head."""
    n = round(seconds * SFREQ)
    return np.resize(
        np.concatenate([head.clean[500:], head.clean[:499:-1]]), (n, head.clean.shape[1])
    )


def other_place(data, k):
    """What channel `k` might record instead: another channel's signal, turned, and twice its size."""
    far = int(np.argmin(np.abs(np.corrcoef(data.T)[k])))
    return -2 * data[:, far] * data[:, k].std() / data[:, far].std()


def fed(stage, data, piece=1000):
    """Run data through the stage; the output, flags, and events with the sample where they came."""
    outs, told = [], []
    for start in range(0, len(data), piece):
        chunk = as_chunk(data[start : start + piece], stage.info)._replace(index=start)
        outs.append(copy(stage.process(chunk)))
        told += [(start + piece, *event) for event in stage.take_events()]
    return (
        np.concatenate([out.data for out in outs]),
        np.concatenate([out.channel_flags for out in outs]),
        told,
    )


def test_a_channel_of_usual_size_that_disagrees_is_told_and_passed_on(heads):
    head, k = heads[32], 5
    data = long_session(head, 150.0)
    there = slice(2500, 22500)
    data[there, k] = other_place(data[there], k)
    stage = ChannelRepair(head.info, **head.fit.arguments)
    out, flags, told = fed(stage, data)
    bad = (flags & Reason.BAD_CHANNEL) > 0
    assert bad[2750:7500, k].mean() > 0.5
    assert bad[2500 + 12500 : 22500, k].mean() < 0.02
    assert np.corrcoef(out[15000:22500, k], data[15000:22500, k])[0, 1] > 0.99
    assert bad[:, np.arange(32) != k].mean() < 0.005
    name = head.info.ch_names[k]
    assert [(event, details["channel"]) for _, event, details in told] == [
        ("channel_disagrees", name),
        ("channel_agrees", name),
    ]
    (first, _, details), (last, _, _) = told
    assert 15 < (first - 2500) / SFREQ < 45
    assert 20 < (last - 22500) / SFREQ < 80
    assert "realign" in details["fix"]
    assert 1.3 < details["size"] < 3
    assert not stage.disagreeing.any()


def test_pops_and_death_of_a_channel_that_disagrees_are_still_repaired(heads):
    head, k = heads[32], 5
    data = long_session(head, 160.0)
    data[1000:, k] = other_place(data[1000:], k)
    pops = np.arange(14000, 19000, 1250)
    for start in pops:
        data[start : start + 250, k] += 400e-6
    data[20000:, k] = 0.1e-6 * np.random.default_rng(1).standard_normal(len(data) - 20000)
    _, flags, told = fed(ChannelRepair(head.info, **head.fit.arguments), data)
    replaced = (flags & Reason.BAD_CHANNEL) > 0
    for start in pops:
        assert replaced[start + 2 : start + 250, k].mean() > 0.95
        assert not replaced[start + 700 : start + 1200, k].any()
    assert replaced[20750:, k].mean() > 0.95
    assert [event for _, event, _ in told] == ["channel_disagrees", "channel_replaced"]
    assert replaced[:, np.arange(32) != k].mean() < 0.005


def test_channels_that_are_really_bad_stay_replaced_and_are_told(heads):
    head, rng = heads[32], np.random.default_rng(3)
    data = long_session(head, 100.0)
    data[1000:, 4] = 0.1e-6 * rng.standard_normal(len(data) - 1000)
    data[1000:, 9] += 120e-6 * rng.standard_normal(len(data) - 1000)
    _, flags, told = fed(ChannelRepair(head.info, **head.fit.arguments), data)
    assert ((flags & Reason.BAD_CHANNEL) > 0)[2000:, [4, 9]].mean() > 0.95
    names = {head.info.ch_names[k] for k in (4, 9)}
    assert {(event, details["channel"]) for _, event, details in told} == {
        ("channel_replaced", name) for name in names
    }
    assert all(60 < (at - 1000) / SFREQ < 70 for at, _, _ in told)


def test_what_lasts_outlives_a_gap_but_not_a_reset(heads):
    head, k = heads[32], 5
    data = long_session(head, 60.0)
    data[:, k] = other_place(data, k)
    stage = ChannelRepair(head.info, **head.fit.arguments)
    fed(stage, data)
    assert stage.disagreeing[k]
    stage.bridge()
    _, flags, told = fed(stage, data[:2500])
    assert told == []
    assert not ((flags & Reason.BAD_CHANNEL) > 0)[:, k].any()
    stage.reset()
    assert not stage.disagreeing.any()
    again = fed(stage, data[:2500])
    new = fed(ChannelRepair(head.info, **head.fit.arguments), data[:2500])
    assert np.array_equal(again[0], new[0])
    assert ((again[1] & Reason.BAD_CHANNEL) > 0)[:, k].any()


@pytest.mark.parametrize("pieces", [1, 7, 333])
def test_what_lasts_is_the_same_however_it_is_cut(heads, pieces):
    head, k = heads[32], 5
    data = long_session(head, 60.0)
    data[:, k] = other_place(data, k)
    data[7000:7100, k] += 400e-6
    whole = fed(ChannelRepair(head.info, **head.fit.arguments), data, len(data))
    cut = fed(ChannelRepair(head.info, **head.fit.arguments), data, pieces)
    assert np.array_equal(whole[0], cut[0])
    assert np.array_equal(whole[1], cut[1])
    assert [event for _, *event in whole[2]] == [event for _, *event in cut[2]] != []


@pytest.mark.parametrize("every", [1500, 500])
def test_a_channel_that_pops_often_is_bad_in_calibration(heads, every):
    head, k, rng = heads[32], 5, np.random.default_rng(4)
    data = simulate(32, 100.0, 0)[0]
    for start in range(250, len(data), every):
        age = np.arange(len(data) - start) / SFREQ
        data[start:, k] += rng.choice([-1, 1]) * 450e-6 * np.exp(-age / 3.0)
    fit = fit_repair(filtered(data, head.info), head.info, np.arange(len(data)) < 500)
    assert list(fit.report["bad"]) == [head.info.ch_names[k]]


def test_blinks_in_a_single_frontal_channel_are_no_pops():
    data, info = simulate(64, 60.0, 2, {"blink": 1.5})
    names = ("Fpz", "C3", "C4", "Cz", "P3", "P4", "Pz", "O1", "O2")
    picks = [info.ch_names.index(name) for name in names]
    few = info.pick(picks)
    fit = fit_repair(filtered(data[:, picks], few), few, np.arange(len(data)) < 500)
    assert fit.report["bad"] == {}


def test_bridged_electrodes_are_bad_in_calibration(heads):
    head, rng = heads[32], np.random.default_rng(9)
    data = head.calibration.copy()
    pair = [3, int(head.fit.arguments["neighbors"][3, 0])]
    data[:, pair] = data[:, pair].mean(axis=1, keepdims=True)
    data[:, pair] += 0.2e-6 * rng.standard_normal((len(data), 2))
    fit = fit_repair(data, head.info, np.arange(len(data)) < 500)
    assert fit.report["bad"] == {head.info.ch_names[i]: "bridged" for i in sorted(pair)}
    assert heads[64].fit.report["bad"] == {}
    same = np.repeat(data[:, :1], 32, axis=1) + 1e-9 * rng.standard_normal(data.shape)
    assert fit_repair(same, head.info).report["bad"] == {}  # no fault of single electrodes


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize("name", ["Subject05_2", "Subject33_1"])
def test_real_eeg_is_hardly_changed(data_dir, name):
    import mne

    path = data_dir / "eegmat" / f"{name}.edf"
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    raw.pick([ch for ch in raw.ch_names if ch.startswith("EEG") and "A2" not in ch])
    n = len(raw.ch_names)
    info = SignalInfo(raw.info["sfreq"], tuple(raw.ch_names), ("eeg",) * n, ("V",) * n)
    sos = design_sos(info.sfreq, 0.5, 40.0, 4, notch=(50.0,))
    data = filtered(np.ascontiguousarray(raw.get_data().T), info, sos)
    half = len(data) // 2
    fit = fit_repair(data[:half], info, np.arange(half) < 1000)
    assert fit.report["bad"] == {}
    out = ChannelRepair(info, **fit.arguments).process(as_chunk(data[half:], info))
    assert repaired(out).mean() < 1e-3
