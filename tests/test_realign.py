"""A model fitted to another day by unlabelled signal, on a simulated head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from calibration.cap import cap_of
from calibration.design import draft_model
from calibration.realign import realign
from rt_decoder.model import Model
from rt_decoder.signal import SignalInfo
from rt_decoder.simulation.head import electrodes
from scripts.transfer_head import Head, Visit, rank
from tests.small import small_recipe, small_recording

C = 64


@pytest.fixture(scope="module")
def head() -> Head:
    return Head()


@pytest.fixture(scope="module")
def calibrated(head) -> tuple[Model, np.ndarray]:
    """A model, and the covariance within items."""
    return head.calibrated()


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
    visit = Visit(turn=turn, gains=gains)
    X, truth = head.windows(960, 2, visit)
    lost = rank(model, X, truth)
    rest, _ = head.windows(240, 3, visit, rest=True)
    aligned, facts = realign(model, rest, within)
    gained = rank(aligned, X, truth)
    assert facts["method"] == method
    assert same - lost > 0.02
    assert gained - lost >= 0.8 * (same - lost)


@pytest.mark.parametrize(("calibrated_to", "today_to"), [(None, 1), (1, None), (1, 2)])
def test_another_reference_is_brought_back(calibrated_to, today_to):
    """Average (None), Cz or Pz; the recipe leaves the amplifier's reference."""
    head = Head(3, 32)
    before, today = Visit(reference=calibrated_to), Visit(reference=today_to)
    model, within = head.calibrated(720, before, "none")
    same = rank(model, *head.windows(480, 2, before))
    X, truth = head.windows(480, 2, today)
    lost = rank(model, X, truth)
    aligned, facts = realign(model, head.windows(240, 3, today, rest=True)[0], within)
    assert facts["other_reference"]
    assert lost < same - 0.004
    assert rank(aligned, X, truth) > same - 0.004
    _, facts = realign(model, head.windows(240, 3, before, rest=True)[0], within)
    assert not facts["other_reference"]


def test_nothing_changed_costs_nothing(head, calibrated):
    model, within = calibrated
    X, truth = head.windows(960, 2)
    same = rank(model, X, truth)
    rest, _ = head.windows(240, 3, rest=True)
    for method in ("gains", "whiten"):
        aligned, _ = realign(model, rest, within, method)
        assert rank(aligned, X, truth) > same - 0.015


def test_turned_cap_sees_what_the_kernel_predicts():
    """Sources within a sphere whose centre is not the origin, seen before and after a turn."""
    _, sites = electrodes(C)
    rng = np.random.default_rng(0)
    at = rng.standard_normal((60, 3))
    at *= 0.65 * 0.095 / np.linalg.norm(at, axis=1, keepdims=True)
    at[:, 2] = np.abs(at[:, 2])

    def seen(turn):
        x = 1 / np.linalg.norm(Rotation.from_rotvec(turn).apply(sites)[:, None] - at, axis=2)
        x -= x.mean(axis=0)
        return x @ x.T

    turn, still = np.array([0.1, -0.05, 0.15]), np.zeros(3)
    cap = cap_of(sites + np.array([0.01, 0.0, 0.04]), seen(still), average=True)
    np.testing.assert_allclose(np.linalg.norm(cap.positions, axis=1), 1.0)
    assert cap.distance(seen(turn), turn) < 0.1 * cap.distance(seen(turn), still)
    np.testing.assert_allclose(cap.search(seen(turn)), turn, atol=0.05)
    nowhere = cap_of(None, seen(still), average=True)
    assert not nowhere.positions.any()


def test_refusals(head, calibrated):
    model, within = calibrated
    rest, _ = head.windows(80, 3, rest=True)
    with pytest.raises(ValueError, match="at least 60 good windows of today, got 59"):
        realign(model, rest[:59], within)
    with pytest.raises(ValueError, match="method among auto"):
        realign(model, rest, within, "magic")
    info = SignalInfo(100.0, head.names, ("eeg",) * C, ("V",) * C)
    with pytest.raises(ValueError, match="need positions of the channels"):
        realign(replace(model, info=info), rest, within, "rotation")


def test_realign_command_measures_its_effect(tmp_path, capsys):
    import json

    from rt_decoder.files.model_file import load_model, model_hash, save_model
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
    for name, one in (("before", path), ("after", out)):
        ran = call(
            capsys, "evaluate", csv, "--events", table, "--model", one, "--json", "--units", "uV",
            program="calibration",
        )  # fmt: skip
        scores = json.loads(ran.out.splitlines()[-1])["scores"]
        assert scores["rank_accuracy"] == pytest.approx(facts[name]["rank_accuracy"], abs=1e-3)
    assert load_model(out).certificate["realigned"]["labelled"]
    told = call(capsys, "inspect", out).out
    assert "realigned   gains from" in told
    assert f"was model {model_hash(model)[:12]}" in told
    loose = tmp_path / "loose.csv"
    data[:, 0] *= 8 / np.exp(np.random.default_rng(0).normal(0, 0.5, len(keep)))[0]
    np.savetxt(
        loose, np.column_stack((recording.times, data * 1e6)), delimiter=",",
        header=",".join(names), comments="", fmt="%.9g",
    )  # fmt: skip
    refused = call(
        capsys, "realign", path, loose, *common, "--overwrite", program="calibration"
    )  # fmt: skip
    assert refused.code == 1
    assert "beyond 0.2 to 5: another unit" in refused.err
    assert "loose.csv; --force" in refused.err
    assert "realigned   gains from" in call(capsys, "inspect", out).out  # still the one before
    again = call(capsys, "realign", path, csv, *common, program="calibration")
    assert again.code == 2
    assert "--overwrite" in again.err
    bare = call(capsys, "realign", path, csv, *common, "--overwrite", program="calibration")
    assert bare.code == 0, bare.err
    facts = json.loads(bare.out.splitlines()[-1])["realigned"]
    assert not facts["labelled"]
    assert facts["n_windows"] > 60
    aligned = load_model(out)
    gains = aligned.scale / model.scale
    expected = np.exp(np.random.default_rng(0).normal(0, 0.5, len(keep)))
    measured = gains.reshape(-1, len(keep)).mean(axis=0)
    assert np.corrcoef(np.log(measured), np.log(expected))[0, 1] > 0.9


def test_what_speaks_against_a_day():
    from calibration.judgement import why_not_added, why_not_realigned

    fine = {"gains": [0.5, 2.0]}
    assert not why_not_realigned(fine)
    assert "gains of 0.5 to 1.2e+05" in why_not_realigned({"gains": [0.5, 120000.0]})
    scored = {"before": {"rank_accuracy": 0.6, "n": 90}, "after": {"rank_accuracy": 0.57}}
    change = {"rank_accuracy": -0.03, "error": 0.01}
    told = why_not_realigned(fine | scored | {"change": change})
    assert told == "rank accuracy 0.600 before, 0.570 after on 90 events"
    assert not why_not_realigned(fine | scored | {"change": change | {"error": 0.02}})
    model = draft_model([small_recording(seconds=3.0)], small_recipe())
    scores = {
        "rank_accuracy": 0.49,
        "null_rank_accuracy": 0.5,
        "null_spread": 0.02,
        "p": 0.7,
        "n": 9,
    }
    for usual, refused in ((0.7, True), (0.54, False)):  # a weak model may guess on any day
        one = replace(model, certificate={"out_of_fold": {"rank_accuracy": usual}})
        assert bool(why_not_added(one, scores)) is refused
        assert not why_not_added(one, scores | {"p": 0.04})
    assert not why_not_added(model, scores)
