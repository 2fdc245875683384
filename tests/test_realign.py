"""A model fitted to another day by unlabelled signal, on a simulated head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from calibration.evaluate import evaluate
from calibration.group_map import Setting, fit_group, item_space
from calibration.realign import realign
from calibration.sums import layout_of, moments, sum_recording
from calibration.transfer import shared_sums
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo
from rt_decoder.simulation.head import HEAD_RADIUS, electrodes, potential
from tests.people import ITEMS, N_ITEMS, VECTORS

C, BINS, DIPOLES = 64, 5, 80
NAMES, SITES = electrodes(C)


class Head:
    """Dipoles under a cap that may be turned, with gains of the channels."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        at = rng.standard_normal((DIPOLES, 3))
        at[:, 2] = np.abs(at[:, 2])
        depth = rng.uniform(0.5, 0.75, (DIPOLES, 1))
        self.at = HEAD_RADIUS * depth * at / np.linalg.norm(at, axis=1, keepdims=True)
        self.moments = rng.standard_normal((DIPOLES, 3))
        fields = potential(SITES, self.at, self.moments)
        self.size = np.exp(rng.normal(0, 0.6, DIPOLES)) / np.linalg.norm(fields, axis=1)
        self.evoked = rng.standard_normal((VECTORS.shape[1], BINS, 6)) / 3.5
        self.common = rng.standard_normal((BINS, 6))  # a response to every item

    def windows(self, n, seed, *, turn=0.0, gains=0.0, rest=False):
        """Features (n, p) in V, referenced to the average, and items."""
        rng = np.random.default_rng(seed)
        truth = np.arange(n) % N_ITEMS
        a = rng.standard_normal((n, BINS, DIPOLES))
        for b in range(1, BINS):
            a[:, b] = 0.8 * a[:, b - 1] + 0.6 * a[:, b]
        if not rest:
            centred = VECTORS - VECTORS.mean(axis=0)
            a[:, :, :6] += 0.6 * np.einsum("vd,dbk->vbk", centred, self.evoked)[truth]
            a[:, :, :6] += self.common
        turned = Rotation.from_rotvec(np.deg2rad(turn) * np.array([0.6, 0.2, 0.77])).apply(
            SITES.copy()
        )
        x = (a * self.size) @ potential(turned, self.at, self.moments)
        x += 0.1 * x.std() * rng.standard_normal(x.shape)
        x *= np.exp(np.random.default_rng(7).normal(0, gains, C))
        x -= x.mean(axis=2, keepdims=True)
        return 1e-5 * x.reshape(n, -1), truth


@pytest.fixture(scope="module")
def head() -> Head:
    return Head()


@pytest.fixture(scope="module")
def calibrated(head) -> tuple[Model, np.ndarray]:
    """A model, and the covariance within items."""
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": ["eeg"], "line_freq": 50.0},
            "clean": {"stages": []},
            "features": {"tmax": 0.5, "decim": 10, "whiten": 1.0},
            "fit": {"n_permutations": 19},
        }
    )
    info = SignalInfo(100.0, NAMES, ("eeg",) * C, ("V",) * C, SITES)
    base = Model(info, recipe, np.array([[1.0, 0, 0, 1, 0, 0]]), np.ones(C), np.ones(C), np.ones(C))
    X, truth = head.windows(1200, 1)
    center, scale = robust_scale(X)
    scaled = scale_features(X, center, scale, recipe.features.clamp)
    sums = PersonSums(
        layout_of(base), ITEMS, VECTORS.astype(np.float32), center, scale,
        (sum_recording("a", scaled, truth, N_ITEMS),), {}, SITES,
    )  # fmt: skip
    shared = shared_sums(sums, ITEMS, 1.0)
    space = item_space(VECTORS, shared.counts)
    S = moments(sums).covariance.astype(np.float32)
    weights = whitener(S, 1.0) @ fit_group(shared, space, Setting(0.3, 1.0)).weights
    unit = VECTORS - VECTORS.mean(axis=0)
    model = replace(
        base, center=center, scale=scale, weights=weights.astype(np.float32),
        offset=(-scaled.mean(axis=0, dtype=float) @ weights).astype(np.float32),
        basis=space.axes.astype(np.float32), target_mean=space.mean.astype(np.float32),
        items=ITEMS,
        vectors=(unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32),
        log_prior=np.log(np.full(N_ITEMS, 1 / N_ITEMS)), covariance=S,
    )  # fmt: skip
    return model, moments(sums).within


def rank(model: Model, X: np.ndarray, truth: np.ndarray) -> float:
    scaled = scale_features(X, model.center, model.scale, model.recipe.features.clamp)
    return evaluate(model, scaled, [ITEMS[i] for i in truth])["rank_accuracy"]


@pytest.mark.parametrize(
    ("turn", "gains", "method"),
    [
        (0.0, 0.7, "gains"),
        pytest.param(14.0, 0.0, "rotation", marks=pytest.mark.slow),
        pytest.param(14.0, 0.4, "rotation", marks=pytest.mark.slow),
    ],
)
def test_what_another_day_lost_is_gained_back(head, calibrated, turn, gains, method):
    model, within = calibrated
    same = rank(model, *head.windows(960, 2))
    X, truth = head.windows(960, 2, turn=turn, gains=gains)
    lost = rank(model, X, truth)
    rest, _ = head.windows(240, 3, turn=turn, gains=gains, rest=True)
    aligned, facts = realign(model, rest, within)
    gained = rank(aligned, X, truth)
    assert facts["method"] == method
    assert same - lost > 0.02
    assert gained - lost >= 0.8 * (same - lost)


def test_nothing_changed_costs_nothing(head, calibrated):
    model, within = calibrated
    X, truth = head.windows(960, 2)
    same = rank(model, X, truth)
    rest, _ = head.windows(240, 3, rest=True)
    for method in ("gains", "whiten"):
        aligned, _ = realign(model, rest, within, method)
        assert rank(aligned, X, truth) > same - 0.015


def test_refusals(head, calibrated):
    model, within = calibrated
    rest, _ = head.windows(80, 3, rest=True)
    with pytest.raises(ValueError, match="at least 60 good windows of today, got 59"):
        realign(model, rest[:59], within)
    with pytest.raises(ValueError, match="method among auto"):
        realign(model, rest, within, "magic")
    info = SignalInfo(100.0, NAMES, ("eeg",) * C, ("V",) * C)
    with pytest.raises(ValueError, match="need positions of the channels"):
        realign(replace(model, info=info), rest, within, "rotation")


def test_realign_command_measures_its_effect(tmp_path, capsys):
    import json

    from rt_decoder.files.model_file import load_model, save_model
    from tests.small import call, fit_small, small_recipe, small_recording

    recipe = small_recipe(features={"whiten": 1.0}, fit={"final_block": 0.0})
    model = fit_small(small_recording(), recipe)
    path, out = tmp_path / "me.rtd.safetensors", tmp_path / "today.rtd.safetensors"
    save_model(model, path)
    recording = small_recording(session=2, seconds=70)
    keep = [i for i, kind in enumerate(recording.info.ch_types) if kind == "eeg"]
    data = recording.data[:, keep] * np.exp(np.random.default_rng(0).normal(0, 0.5, len(keep)))
    csv, table = tmp_path / "today.csv", tmp_path / "today.tsv"
    names = ["timestamps", *(recording.info.ch_names[i] for i in keep)]
    np.savetxt(
        csv, np.column_stack((recording.times, data * 1e6)), delimiter=",",
        header=",".join(names), comments="", fmt="%.9g",
    )  # fmt: skip
    rows = [f"{m.time:.6f}\t0\t{m.label}" for m in recording.markers if m.label[:4] == "word"]
    table.write_text("\n".join(["onset\tduration\ttrial_type", *rows]) + "\n")
    common = ("-o", out, "--units", "uV", "--json", "--method", "gains")
    ran = call(capsys, "realign", path, csv, "--events", table, *common, program="calibration")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out.splitlines()[-1])["realigned"]
    assert facts["after"]["rank_accuracy"] > facts["before"]["rank_accuracy"] - 0.02
    assert load_model(out).certificate["realigned"]["labelled"]
    again = call(capsys, "realign", path, csv, *common, program="calibration")
    assert again.code == 2
    assert "--overwrite" in again.err
    bare = call(capsys, "realign", path, csv, *common, "--overwrite", program="calibration")
    assert bare.code == 0, bare.err
    facts = json.loads(bare.out.splitlines()[-1])["realigned"]
    assert not facts["labelled"]
    assert facts["n_windows"] > 60
