"""The running score: what it counts, its intervals, and a null that nothing but knowledge beats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.scores import bits_beyond_prior, rank_accuracy, top_k
from rt_decoder.commands.session_text import score_text
from rt_decoder.decoding.answering import make_answering, whole
from rt_decoder.decoding.readout import Posterior
from rt_decoder.decoding.score import Score, mean_interval, share_interval
from rt_decoder.decoding.scored import Scored
from rt_decoder.pipeline import Pipeline
from rt_decoder.signal import Choice, Features, Marker, Readout
from tests.small import WORDS, random_model, small_recipe, small_recording

V = 40


def session(
    n: int, gain: float, *, seed: int = 0, shown: int = V, favours: float = 0.0, tied: bool = False
) -> tuple[Score, np.ndarray, np.ndarray]:
    """Score of random answers; `shown` items come, which the decoder `favours`."""
    rng = np.random.default_rng(seed)
    score, prior = Score(), np.full(V, 1 / V)
    truths = rng.integers(0, shown, n)
    logits = rng.standard_normal((n, V)) + favours * (np.arange(V) < shown)
    logits[np.arange(n), truths] += gain
    if tied:
        logits = np.round(logits)
    posteriors = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for i, truth in enumerate(truths):
        score.add(posteriors[i], prior, truth, seq=i, onset=0.5 * i, abstained=i % 4 == 0)
    return score, posteriors, truths


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_the_score_of_calibration(tied: bool) -> None:
    score, posteriors, truths = session(120, 1.0, tied=tied)
    told = score.summary()
    prior = np.log(np.full(V, 1 / V))
    bits = bits_beyond_prior(np.log(posteriors), prior, truths)
    assert told["n"] == 120
    assert told["rank"]["value"] == pytest.approx(rank_accuracy(posteriors, truths).mean())
    assert told["bits"]["value"] == pytest.approx(bits.mean())
    assert told["bits_per_minute"]["value"] == pytest.approx(120 * bits.mean())
    assert told["top_1"]["value"] == pytest.approx(top_k(posteriors, truths, 1).mean())
    assert told["top_10"]["value"] == pytest.approx(top_k(posteriors, truths, 10).mean())
    assert told["top_1"]["chance"] == pytest.approx(1 / V)
    assert told["n_answered"] == 90
    for name in ("top_1", "top_10", "rank", "bits", "bits_per_minute"):
        assert told[name]["low"] < told[name]["value"] < told[name]["high"]


@pytest.mark.parametrize("favours", [0.0, 3.0])
def test_what_knows_nothing_is_not_above_chance(favours: float) -> None:
    """Neither if it likes the words that come: that beats the prior, but not the order of truths."""
    scores = [session(150, 0.0, seed=k, shown=8, favours=favours)[0] for k in range(60)]
    assert np.mean([one.since is not None for one in scores]) <= 0.1
    assert scores[0].summary()["verdict"] == "not above chance so far"
    if favours:
        assert np.mean([one.summary()["bits"]["value"] for one in scores]) > 1.0


@pytest.mark.parametrize(("gain", "latest"), [(1.5, 60), (4.0, 15)])
def test_what_knows_something_is_soon_above_it(gain: float, latest: int) -> None:
    for seed in range(10):
        score, *_ = session(200, gain, seed=seed)
        assert score.since is not None
        assert 5 <= score.since <= latest
        assert score.p < 0.05
        assert score.summary()["verdict"] == f"above chance since event {score.since}"


def test_it_is_told_beside_chance() -> None:
    told = score_text(session(200, 2.0)[0].summary())
    assert told.startswith("score of 200 events whose item was told: above chance since event ")
    assert "(chance 0.025)" in told
    assert "bits beyond the prior" in told
    few = score_text(session(3, 0.0)[0].summary())
    assert "not above chance so far" in few


def test_answers_that_could_not_be_right_tell_nothing() -> None:
    score, prior = Score(), np.array([0.5, 0.5, 0.0])
    score.add(np.array([0.9, 0.1, 0.0]), prior, 2, seq=0, onset=0.0)  # no candidate
    score.add(np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]), 0, seq=1, onset=1.0)
    told = score.summary()
    assert (told["n"], told["n_outside"], told["p"]) == (0, 2, 1.0)
    score.add(np.array([1.0, 0.0, 0.0]), prior, 1, seq=2, onset=math.nan)  # sure, and wrong
    assert math.isfinite(score.summary()["bits"]["value"])


@given(n=st.integers(1, 2000), share=st.floats(0, 1))
def test_an_interval_holds_its_mean(n: int, share: float) -> None:
    low, high = share_interval(share * n, n)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    assert high - low < 1 or n < 10


@pytest.mark.parametrize("mean", [0.02, 0.5, 0.9])
def test_intervals_hold_at_all_times_together(mean: float) -> None:
    rng = np.random.default_rng(0)
    n_left_share = n_left_mean = 0
    for _ in range(100):
        values = (rng.random(300) < mean).astype(float)
        sums, squares = np.cumsum(values), np.cumsum(values**2)
        looks = range(1, 301, 7)
        found = [share_interval(sums[n - 1], n) for n in looks]
        n_left_share += not all(low <= mean <= high for low, high in found)
        others = [mean_interval(sums[n - 1], squares[n - 1], n) for n in looks if n > 100]
        n_left_mean += not all(one is not None and one[0] <= mean <= one[1] for one in others)
    assert n_left_share <= 10
    assert n_left_mean <= (12 if mean > 0.1 else 100)  # asymptotic: rare events are too few
    assert mean_interval(1.0, 1.0, 9) is None


def test_events_are_kept_until_they_are_too_old() -> None:
    model = random_model(small_recording(seconds=4.0), small_recipe())
    by, scored = make_answering(model), Scored(WORDS)
    rng = np.random.default_rng(0)
    for seq in range(scored.n_kept + 3):
        label = "word4" if seq == 5 else "onset"
        readout = Readout(
            seq, "event", label, 0, float(seq), 0.0, ("word1",), (0.1,), (0.2,), False, 0.0, 1.0,
            (), 0.0, False,
        )  # fmt: skip
        scored.add(readout, rng.uniform(-1, 1, len(WORDS)).astype(np.float32), 1.0, by)
    assert scored.settle()
    assert not scored.settle()
    assert scored.score.n == 1
    scored.truth(scored.n_kept, "word3")
    for seq, label, why in (
        (2, "word3", "newest 1024"), (9999, "word3", "newest"), (5, "word4", "again"),
        (7, "word99", "item of the model"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            scored.truth(seq, label)
    assert scored.score.counted == {5, scored.n_kept}
    scored.reset()
    assert scored.score.n == 0


def test_choices_are_those_of_the_model_with_these_changes() -> None:
    model = random_model(small_recording(seconds=4.0), small_recipe())
    scores = np.random.default_rng(1).uniform(-1, 1, len(WORDS)).astype(np.float32)
    weights = {"word0": 1.0, "word3": 2.0, "word5": 0.0, "word7": 4.0}
    by = make_answering(model, Choice(("word3", "word5", "word7"), weights, 0.3, 5, True))
    single = model.posterior
    prior = np.full(len(WORDS), -np.inf)
    prior[[3, 7]] = np.log([2.0, 4.0])
    want = Posterior(
        prior, single.tau, 0.3, single.min_quality, length=single.length, floor=single.floor
    )
    posterior, before = whole(by, "event", scores, 1.0)
    assert posterior == pytest.approx(want.probabilities(scores, 1.0))
    assert before == pytest.approx([1 / 3 if i == 3 else 2 / 3 if i == 7 else 0 for i in range(12)])
    assert (by.n_top, by.posterior.threshold) == (2, 0.3)
    assert by.told == pytest.approx(math.log2(12 / 2))
    same = make_answering(model)
    np.testing.assert_array_equal(
        whole(same, "event", scores, 1.0)[0], same.posterior.probabilities(scores, 1.0)
    )
    for choice, why in (
        (Choice(("word99",)), "word99"),
        (Choice(prior={"word98": 1.0}), "word98"),
        (Choice(("word1",), {"word2": 1.0}), "does not exclude"),
    ):
        with pytest.raises(ValueError, match=why):
            make_answering(model, choice)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"candidates": "word1"}, "list of items"), ({"threshold": -1.0}, "threshold"),
        ({"threshold": math.nan}, "threshold"), ({"top": 0}, "top"), ({"prior": {}}, "prior"),
        ({"prior": {"a": -1.0, "b": 2.0}}, "prior"), ({"prior": {"a": math.nan}}, "prior"),
    ],
)  # fmt: skip
def test_choices_that_make_no_sense_are_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Choice(**change)  # type: ignore[arg-type]


def test_scores_are_copied_once_the_readout_is_out_and_before_they_are_overwritten() -> None:
    model = random_model(small_recording(seconds=4.0), small_recipe())
    pipeline, n = Pipeline(model), 100
    scored = pipeline.answerer.scored
    features = Features(np.ones(pipeline.window.n_features, np.float32), 0.0, 1.0)
    found, copies = [], []
    for k in range(3):
        changed = features._replace(values=features.values * np.float32(k - 1.5))
        marker = Marker("word1", 0.0, n * k)
        found += pipeline.answerer.answer("event", marker, changed, pipeline.monitor)
        assert pipeline.answerer.scores is not None
        copies.append(pipeline.answerer.scores.copy())
        assert scored._events[k].scores is pipeline.answerer.scores
    scored.settle()
    assert len(found) == len(copies) == 3
    for k, copied in enumerate(copies):
        assert np.array_equal(scored._events[k].scores, copied)
        assert not np.shares_memory(scored._events[k].scores, pipeline.answerer.scores)
