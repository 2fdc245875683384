"""The evaluation of cleaning: its figures follow their definitions, its scenes are severe enough."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import cleaning.goals as goals
import cleaning.metrics as metrics
import cleaning.oracle as oracles
import cleaning.rivals as rivals
import cleaning.scene as scenes

from rt_decoder.signal import SignalInfo

RNG = np.random.default_rng(3)
N, C = 3000, 6


@pytest.fixture(scope="module")
def scene():
    return scenes.cleaning_scene(0, session=2, seconds=90.0, n_channels=32, pop_every=12.0)


def test_perfect_and_absent_cleaning():
    clean, artifact = RNG.standard_normal((2, N, C))
    scale = np.ones(C)
    assert metrics.correlation(clean, clean) == pytest.approx(1.0)
    assert metrics.relative_error(clean, clean) == 0.0
    assert metrics.relative_error(clean, clean + 2.0 * clean) == pytest.approx(2.0)
    assert metrics.attenuation_db(artifact, 0.1 * artifact, scale) == pytest.approx(20.0)
    assert metrics.attenuation_db(artifact, artifact, scale) == pytest.approx(0.0)
    assert metrics.attenuation_db(artifact, 0 * artifact, scale) == 100.0
    assert metrics.distortion(clean, 0.98 * clean, scale) == pytest.approx(0.02)


def test_attenuation_that_follows_the_artifact():
    course = np.zeros(N)
    course[500:900] = RNG.standard_normal(400)
    artifact = np.outer(course, RNG.standard_normal(C))
    residual = 0.1 * artifact + 0.01 * RNG.standard_normal((N, C))
    assert metrics.locked_db(artifact, residual, np.ones(C)) == pytest.approx(20.0, abs=0.5)


def test_types_weigh_alike():
    before = RNG.standard_normal((N, 2)) * [1e-12, 1e-10]
    after = before * [1.0, 0.0]
    assert metrics.attenuation_db(before, after, np.array([1e-12, 1e-10])) == pytest.approx(
        3.0, abs=0.3
    )


def test_gain_of_a_response():
    response = np.zeros((N, C))
    onsets = range(100, N - 200, 150)
    wave = np.outer(np.hanning(80), RNG.standard_normal(C))
    for onset in onsets:
        response[onset : onset + 80] += wave
    for gain in (1.0, 0.6):
        found = metrics.injected_gain(response, gain * response, list(onsets), 100, np.ones(C))
        assert found == pytest.approx(gain)
    with pytest.raises(ValueError, match="at least one onset"):
        metrics.event_average(response, [N], 0, 10)


def test_correlation_with_references():
    reference = RNG.standard_normal((N, 2))
    data = reference[:, :1] * np.ones(C)
    assert metrics.reference_correlation(data, reference) == pytest.approx(1.0)
    assert metrics.reference_correlation(RNG.standard_normal((N, C)), reference) < 0.05


def test_beats_are_matched_once():
    true = np.array([100, 300, 500, 700])
    found = np.array([102, 104, 498, 900])
    sensitivity, ppv, offsets = metrics.qrs_score(true, found, 10)
    assert (sensitivity, ppv) == (0.5, 0.5)
    assert offsets.tolist() == [2, -2]
    assert metrics.qrs_score(true, np.empty(0), 10)[:2] == (0.0, 0.0)


def test_random_onsets_show_what_chance_does():
    data = RNG.standard_normal((N, 1))
    peak = metrics.surrogate_maximum(
        data, 50, -10, 30, np.random.default_rng(0), lambda mean: float(np.abs(mean).max())
    )
    assert 0.3 < peak < 1.0  # 40 samples of an average of 50, largest of 50 draws


def test_parts_add_up(scene):
    seen = scenes.truth(scene)
    np.testing.assert_allclose(seen.mix, sum(seen.parts.values()), atol=1e-12)
    c = scenes.n_data(scene.info)
    assert c == 32
    np.testing.assert_allclose(
        seen.mix, scenes.filtered(scene.data[:, :c], scene.info.sfreq), rtol=0, atol=1e-9
    )


def test_filter_is_the_live_one():
    from scipy.signal import sosfilt, sosfilt_zi

    data = RNG.standard_normal((500, 3)) + 5.0
    sos = scenes.band(250.0)
    zi = sosfilt_zi(sos)[..., None] * data[0]
    expected = sosfilt(sos, data, axis=0, zi=zi)[0]
    np.testing.assert_allclose(scenes.filtered(data, 250.0), expected, atol=1e-9)


def test_session_one_has_cues():
    recording = scenes.cleaning_scene(1, session=1, seconds=75.0, n_channels=8)
    labels = [marker.label for marker in recording.events if marker.label.startswith("cue/")]
    assert labels == ["cue/rest", "cue/blink", "cue/saccade"]
    words = [m.time for m in recording.events if not m.label.startswith("cue/")]
    assert min(words) > scenes.CUES[-1][2]
    heard = scenes.cleaning_scene(1, session=1, seconds=75.0, n_channels=8, silent=False)
    assert min(m.time for m in heard.events if not m.label.startswith("cue/")) == 2.0


def test_an_oracle_takes_blinks_out_and_needs_no_more_than_their_patterns(scene):
    same = oracles.oracle(scene, scene)
    assert same["own_db"] == same["calibrated_db"] > 15.0
    assert 0.0 < same["answers"] < 1.0
    other = scenes.cleaning_scene(0, session=1, seconds=90.0, n_channels=32)
    found = oracles.oracle(other, scene)
    assert found["own_db"] == pytest.approx(same["own_db"])
    assert 0.0 < found["drift"] < 0.1


def test_peaks_of_a_course():
    course = np.zeros(100)
    course[[10, 40, 70]] = 1.0, 0.5, 0.9
    assert metrics.peaks(course).tolist() == [10, 70]


def test_rivals_remove_what_references_explain(scene):
    info = scene.info
    seen = scenes.filtered(scene.data, info.sfreq)
    c = scenes.n_data(info)
    np.testing.assert_array_equal(rivals.fit_none(seen, info)(seen), seen[:, :c])
    regressed = rivals.fit_least_squares(seen, info)(seen)
    np.testing.assert_allclose(seen[:, c:].T @ regressed / len(seen), 0.0, atol=1e-13)
    before = metrics.reference_correlation(seen[2500:, :c], seen[2500:, c : c + 2])
    recursive = rivals.fit_rls(seen, info)(seen)
    assert metrics.reference_correlation(recursive[2500:], seen[2500:, c : c + 2]) < 0.5 * before


def test_recursive_least_squares_ends_at_the_batch_solution():
    info = SignalInfo(100.0, ("a", "b", "VEOG"), ("eeg", "eeg", "eog"), ("V",) * 3, None)
    eog = np.convolve(RNG.standard_normal(4000), np.ones(5) / 5)[:4000]
    weights = np.array([0.5, -0.2])
    brain = 0.1 * RNG.standard_normal((4000, 2))
    data = np.column_stack([brain + np.outer(eog, weights), eog])
    cleaned = rivals.fit_rls(data, info)(data)
    left = np.linalg.lstsq(eog[2000:, None], cleaned[2000:], rcond=None)[0]
    assert np.abs(left).max() < 0.03


def test_goals_and_their_best_rivals():
    goal = goals.GOALS["heart_db"]
    assert goals.passes(goal, goal.goal)  # what is printed is what is judged
    assert all(
        f"{one.goal:g}".lstrip("0") in one.text
        for one in goals.GOALS.values()
        if one.low is None or one.high is None
    )
    assert not goals.passes(goal, 10.9)
    gain = goals.GOALS["erp_gain"]
    assert goals.passes(gain, 1.05)
    assert not goals.passes(gain, 1.06)
    figures = {g.figure for g in goals.GOALS.values()}
    methods = {goals.OURS: dict.fromkeys(("blink_db", "heart_db", "cc_good"), 1.0)}
    methods["other"] = {"blink_db": 5.0, "heart_db": 3.0, "cc_good": None}
    chain = dict.fromkeys(figures - set(methods[goals.OURS]))
    chain |= {"qrs_ppv": 99.0, "qrs_ppv:someone": 100.0}
    table = goals.goals_table({"methods": methods, "chain": chain})
    assert table["blink_db"] == {
        "reached": 1.0, "goal": 20.0, "rival": 5.0, "rival_name": "other", "pass": False,
    }  # fmt: skip
    assert table["qrs_ppv"]["rival_name"] == "someone"
    assert table["cc"]["rival"] is None
    assert not table["gap_offset_uv"]["pass"]  # not measured is not passed


@pytest.mark.slow
def test_severity_is_that_for_which_the_goals_were_set():
    from cleaning.run import severity

    found = [severity(scenes.cleaning_scene(seed, pop_every=12.0)) for seed in range(5)]
    cc, error = (np.mean([figures[name] for figures in found]) for name in ("CC", "RRMSE"))
    assert 0.57 < cc < 0.67
    assert 1.27 < error < 1.57


@pytest.mark.slow
@pytest.mark.realdata
def test_real_recordings(data_dir):
    import cleaning.real as real

    beats = real.qrs(data_dir / "neurokit", data_dir)
    for name in ("neurokit 100 Hz", "neurokit 1000 Hz"):
        assert beats[name]["missed"] + beats[name]["false"] <= 1, name
        assert beats[name]["delay_ms"] <= 40
    blinks = real.eeglab_blinks(data_dir / "eeglab_sample", data_dir)
    assert 0.9 <= blinks["p300_all"]["ratio"] <= 1.1
    before, after = blinks["FPz_blink_uv"]
    assert after < 0.3 * before
