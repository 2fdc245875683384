"""The evaluation of hearts: its figures follow their definitions, on beats that we plant."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import cleaning.heart as heart
import cleaning.heart_bound as heart_bound
import cleaning.heart_rivals as rivals

from rt_decoder.files.recording import Recording
from rt_decoder.signal import SignalInfo

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
SFREQ, C, N = 250.0, 8, 250 * 90
INFO = SignalInfo(
    SFREQ, (*(f"C{k}" for k in range(C)), "ECG"), (*("eeg",) * C, "ecg"), ("V",) * (C + 1)
)


def planted(size: float = 6e-6) -> tuple[np.ndarray, Recording, np.ndarray]:
    """Noise of 10 uV with a heartbeat of `size`; the recording, and where its beats are."""
    rng = np.random.default_rng(0)
    peaks = np.cumsum(rng.normal(0.85, 0.03, 200) * SFREQ).astype(int)
    peaks = peaks[peaks < N - 200]
    wave = np.exp(-0.5 * (np.arange(-100, 100) / 4.0) ** 2)
    course = np.zeros(N)
    for peak in peaks[peaks > 100]:
        course[peak - 100 : peak + 100] += wave
    data = 1e-5 * rng.standard_normal((N, C + 1))
    data[:, :C] += size * np.outer(course, rng.uniform(0.5, 1.0, C))
    data[:, C] += 1e-3 * course
    return data, Recording(data, np.arange(N) / SFREQ, INFO), peaks


def test_beats_are_found_and_a_dead_lead_judges_nobody():
    data, recording, peaks = planted()
    beats = heart.judged_beats(data, recording)
    assert np.abs(beats[:, None] - peaks).min(axis=1).max() <= 2
    assert len(beats) > 0.9 * len(peaks)
    dead = data.copy()
    dead[:, C] = 1e-5 * np.random.default_rng(1).standard_normal(N)
    assert len(heart.judged_beats(dead, recording)) == 0


def test_a_lead_that_is_upside_down_judges_as_well():
    """Its small waves that point up are no R waves: some would be missed."""
    data, recording, peaks = planted()
    data[:, C] -= 0.4 * np.roll(data[:, C], 12)
    upright = heart.judged_beats(data, recording)
    data[:, C] *= -1.0
    assert np.array_equal(heart.judged_beats(data, recording), upright)
    assert np.abs(upright[:, None] - peaks).min(axis=1).max() <= 3


def test_what_follows_beats_stands_out_and_random_moments_do_not():
    data, recording, _ = planted()
    beats = heart.judged_beats(data, recording)
    found = heart.judge(data, recording, beats)
    assert 4.0 < found["whole_max"] < 9.0
    assert found["whole_max"] > 1.2 * found["whole_max_random"]
    assert found["qrs_rms"] > 2 * found["qrs_rms_random"]
    clean, _, _ = planted(0.0)
    nothing = heart.judge(clean, recording, beats)
    assert nothing["whole_max"] <= 1.1 * nothing["whole_max_random"]
    assert nothing["later_rms"] == pytest.approx(nothing["later_rms_random"], rel=0.15)


def test_only_what_is_not_locked_to_beats_is_distortion():
    data, recording, _ = planted()
    beats = heart.judged_beats(data, recording)
    clean = rivals.fit_template(data, beats, INFO)
    taken = data[:, :C] - clean(data, beats)
    assert np.std(heart.unlocked(taken, beats, SFREQ)) < 0.1 * np.std(taken)
    projected = data[:, :C] - rivals.fit_ssp(data, beats, INFO)(data, beats)
    assert np.std(heart.unlocked(projected, beats, SFREQ)) > 0.8 * np.std(projected)


@pytest.mark.parametrize("name", rivals.HEART_RIVALS)
def test_rivals_take_out_what_they_can(name):
    data, recording, _ = planted()
    beats = heart.judged_beats(data, recording)
    out = rivals.HEART_RIVALS[name](data, beats, INFO)(data, beats)
    assert out.shape == (N, C)
    before, after = (heart.judge(x, recording, beats)["qrs_rms"] for x in (data, out))
    assert after == before if name == "none" else after < 0.5 * before


@pytest.mark.slow
@pytest.mark.realdata
def test_one_real_person(data_dir):
    call = [sys.executable, str(SCRIPTS / "eval_heart.py"), "--data", str(data_dir / "eegmat")]
    ran = subprocess.run(
        [*call, "--people", "1", "--json"], capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    ours = result["summary"]["halves"]["this chain"]
    assert ours["worst"] < 1.02
    assert {"SSP", "template", "least squares", "500 ms of ECG"} <= set(result["summary"]["halves"])


def costs(weights: np.ndarray, first: int, ratio: float) -> tuple[float, float]:
    """Power left in the mean over judged beats, and power taken beyond its mean, by definition."""
    n = len(weights)
    change, noise = np.full((n, 1), np.sqrt(ratio)), np.eye(n)  # columns: independent parts
    true, seen = np.hstack([change, 0 * noise]), np.hstack([change, noise])
    taken = weights @ seen
    left = (true + np.hstack([0 * change, noise]) - taken)[first:].mean(axis=0)
    return float(np.sum(left**2)), float(np.sum(taken[first:].var(axis=0)))


@pytest.mark.parametrize("ratio", [0.01, 0.3])
def test_the_bound_knows_no_beat_beforehand_and_no_weights_do_better(ratio):
    n, first, mu = 12, 2, 0.1
    best = heart_bound.best_weights(n, first, ratio, mu)
    assert np.all(np.triu(best) == 0.0)
    assert np.any(best)

    def price(weights):
        left, taken = costs(weights, first, ratio)
        return mu * left + taken

    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-1):
        for _ in range(100):
            other = best + np.tril(size * rng.standard_normal((n, n)), -1)
            assert price(other) > price(best)
    assert price(best) < price(np.zeros((n, n)))
    dearer = heart_bound.best_weights(n, first, ratio, 10 * mu)
    (left, taken), (more_left, less_taken) = (costs(one, first, ratio) for one in (dearer, best))
    assert left < more_left
    assert taken > less_taken


def test_the_bound_takes_a_response_that_is_locked_and_nothing_without_a_template():
    data, recording, _ = planted()
    beats = heart.judged_beats(data, recording)
    maps = np.ones((1, C))
    stage = {
        "maps": maps,
        "filters": maps / C,
        "courses": np.zeros((200, 1)),
        "levels": np.zeros(7),
    }
    kept = data[:, :C]
    cleaned = heart_bound.bounded(kept, data, recording, beats, stage)
    before = heart.judge(kept, recording, beats)["whole_rms"]
    left = [heart.judge(one, recording, beats)["whole_rms"] for one in cleaned.values()]
    assert len(left) == 1 + len(heart_bound.PRICES)
    assert min(left) == left[0] < before
    assert left[-1] < left[1] < before
    nothing = heart_bound.bounded(kept, data, recording, beats, None)
    assert all(one is kept for one in nothing.values())
