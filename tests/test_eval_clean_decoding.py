"""The judge of what cleaning does for decoding: pairs, tests and scenes are what they claim."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_1samp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import cleaning.words as words
import eval_clean_decoding as judge

from calibration.design import draft_model
from rt_decoder.recipe import Recipe

TINY = words.Setup(n_train=120, n_test=40, n_items=10, n_channels=8, sfreq=100.0, snr=0.5)
RNG = np.random.default_rng(4)


def decoded(bits, onsets, n_shown=None, hits=False):
    """Made-up answers; with `hits` the truth is always the closest."""
    n = len(bits)
    truth = RNG.integers(0, 5, n)
    cosines = RNG.standard_normal((n, 5))
    if hits:
        cosines[np.arange(n), truth] = 9.0
    return words.Decoded(
        cosines, truth, np.array(bits, float), np.array(onsets, float), n_shown or n, ("eye",)
    )


def test_all_signs_are_flipped():
    values = np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.4])
    assert judge.sign_flip_p(values) == judge.sign_flip_p(-values) == 2 / 64
    mixed = np.array([0.3, -0.1, 0.2])
    sums = [abs(np.dot(signs, mixed)) for signs in itertools.product((1, -1), repeat=3)]
    assert judge.sign_flip_p(mixed) == np.mean(np.array(sums) >= 0.4 - 1e-9)
    assert judge.sign_flip_p(np.zeros(4)) == 1.0
    assert judge.sign_flip_p(np.full(15, 0.2)) < 0.01  # drawn: too many to list


def test_interval_is_the_one_of_a_t_test():
    values = RNG.standard_normal(7)
    expected = ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose(judge.interval(values), expected)


def test_pairs_are_scored_on_events_that_both_answered():
    a, b = decoded([1.0, 2.0, 9.0], [0.0, 1.0, 5.0]), decoded([7.0, 0.5, 1.0], [3.0, 1.0, 0.0])
    people = [{"usual": {"cleaned": a, "raw": b}}]
    found = judge.differences(people, ("usual", "cleaned"), ("usual", "raw"))
    assert found.tolist() == [pytest.approx(((1.0 - 1.0) + (2.0 - 0.5)) / 2)]


def test_claims():
    def verdict(claim, values):
        pair = judge.Pair(("a", "b"), ("a", "c"), claim)
        return judge.judge(pair, np.array(values))["holds"]

    little = [-0.02, -0.01, -0.03, -0.02, -0.01, -0.02]
    assert verdict("not worse", little) is True
    assert verdict("better", little) is False
    assert verdict("better", [-v for v in little]) is True
    assert verdict("better", [-3 * v for v in little[:3]]) is False  # three cannot reach p < .05
    assert verdict("not worse", [0.5, -0.6, 0.5, -0.4]) is False  # nothing is known
    assert verdict("", little) is None


def test_p_comes_from_permuted_words():
    some = range(40)
    assert judge.above_chance([decoded(some, some, hits=True)] * 2) == 1 / 1000
    p = [judge.above_chance([decoded(some, some)], 99) for _ in range(60)]
    assert 0.3 < np.mean(p) < 0.7
    assert min(p) < 0.25 < 0.75 < max(p)


def test_a_word_without_an_answer_adds_nothing():
    row = judge.score([decoded([2.0, 2.0], [0, 1], 4), decoded([1.0, 1.0], [0, 1], 2)])
    assert row["bits"] == 1.5
    assert row["bits_per_word_shown"] == 1.0
    assert row["answered"] == 0.75
    assert row["stages"] == {"eye": 2}


def test_report_and_json(capsys):
    chains = {
        scene: {chain: decoded(RNG.random(20), range(20)) for chain in condition.chains}
        for scene, condition in words.SCENES.items()
    }
    result = judge.evaluate([chains, chains], TINY)
    assert len(result["pairs"]) == len(judge.PAIRS)
    for pair in judge.PAIRS:  # none names a decoder that is not run
        assert {pair.one[1], pair.other[1]} <= set(words.CHAINS)
    judge.report(json.loads(json.dumps(result, allow_nan=False)))
    text = capsys.readouterr().out
    assert "rank accuracy 0.500, 0 bits" in text
    assert "usual: corrected - raw" in text


def test_scenes_share_words_and_brains():
    plain, locked, calm, silent = (
        words._recording(3, TINY, words.SCENES[scene], 1)
        for scene in ("usual", "locked", "clean", "silent")
    )
    assert plain.markers == locked.markers == calm.markers == silent.markers
    added = locked.data - plain.data
    eog = [plain.info.ch_names.index(name) for name in ("VEOG", "ECG")]
    assert np.abs(added[:, eog[0]]).max() > 1e-4
    assert np.abs(added[:, eog[1]]).max() < 1e-9  # a chest lead sees no blink
    assert np.linalg.matrix_rank(added, tol=1e-6 * np.linalg.norm(added)) == 1


def test_blinks_follow_the_words_that_they_should():
    setup = TINY._replace(n_train=300, n_items=20)
    often = words.blink_words(1, setup)
    assert len(often) == 10
    plain, locked = (
        words._recording(1, setup, words.SCENES[s], 1).data for s in ("usual", "locked")
    )
    recording = words._recording(1, setup, words.SCENES["usual"], 1)
    veog = np.abs((locked - plain)[:, recording.info.ch_names.index("VEOG")])
    before = veog[: recording.markers[0].index + round(words.BLINK_DELAY[0] * setup.sfreq)]
    assert before.max() == 0.0
    # a blink peaks within 0.25 to 0.35 s of its word, and the next begins after 0.75 s
    window = slice(round(0.24 * setup.sfreq), round(0.36 * setup.sfreq))
    blinked = {True: [], False: []}
    for marker in recording.markers:
        part = veog[marker.index :][window]
        blinked[marker.label in often].append(part.max() > 0.4 * veog.max())
    assert np.mean(blinked[True]) == pytest.approx(words.BLINK_OFTEN, abs=0.15)
    assert np.mean(blinked[False]) == pytest.approx(words.BLINK_SELDOM, abs=0.07)


@pytest.mark.parametrize(
    ("chain", "names"), [("EOG only", ("VEOG", "HEOG")), ("ECG only", ("ECG",))]
)
def test_controls_see_their_channels_only(chain, names):
    recording = words._recording(0, TINY, words.SCENES["usual"], 1)
    draft = draft_model([recording], Recipe.from_dict(words.CHAINS[chain].recipe))
    assert draft.info.ch_names == names
    assert draft.n_picks == len(names)


def test_too_few_people(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["eval_clean_decoding.py", "--persons", "1"])
    with pytest.raises(SystemExit):
        judge.main()
    assert "need 2 persons" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_study():
    scenes = ("usual", "clean", "silent, locked")
    people = judge.run(range(2), TINY, scenes, 1)
    for person in people:
        assert set(person) == set(scenes)
        for scene, chains in person.items():
            assert set(chains) == set(words.SCENES[scene].chains)
        for chain in ("raw", "EOG only", "corrected", "gate only"):
            stages = person["usual"][chain].stages
            assert set(stages) <= set(words.CHAINS[chain].recipe["clean"]["stages"])
        usual = person["usual"]
        assert person["clean"]["cleaned as usual"].stages == usual["cleaned"].stages
        assert set(usual["cleaned"].onsets) <= set(usual["raw"].onsets)
        assert len(usual["raw"].truth) == usual["raw"].n_shown == TINY.n_test
    result = judge.evaluate(people, TINY)
    assert result["scenes"]["clean"]["raw"]["bits"] > 0.3
    assert result["scenes"]["clean"]["raw"]["p"] < 0.01
    assert "clean: cleaned - raw" in result["pairs"]
    assert "twice: cleaned - raw" not in result["pairs"]  # not run


@pytest.mark.slow
def test_long_hops_change_no_bit(monkeypatch):
    long = words.decode_person(3, TINY, ("usual",))["usual"]
    monkeypatch.setattr(words, "_in_long_hops", lambda draft: draft)
    usual = words.decode_person(3, TINY, ("usual",))["usual"]
    for name, one in usual.items():
        for a, b in zip(one, long[name], strict=True):
            np.testing.assert_array_equal(a, b)
