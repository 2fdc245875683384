"""Ideas over runs of events, beside what is known of them by construction."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.ideas import idea_lines, idea_scores, ideas_of, runs_of

ROOT = Path(__file__).resolve().parents[1]


def spoken(seed: int, n_runs: int = 60, alike: float = 1.0, signal: float = 0.5):
    """Held-out cosines of words in runs of four, their items, vectors and categories."""
    rng = np.random.default_rng(seed)
    category = np.arange(24) % 6
    vectors = alike * rng.normal(size=(6, 10))[category] + rng.normal(size=(24, 10))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.cumsum(rng.integers(1, 6, n_runs)) % 6  # never the same twice in a row
    truth = np.concatenate([rng.choice(np.flatnonzero(category == one), 4) for one in order])
    predicted = signal * vectors[truth] + rng.normal(size=(len(truth), 10)) / np.sqrt(10)
    predicted /= np.linalg.norm(predicted, axis=1, keepdims=True)
    return predicted @ vectors.T, truth, vectors, category[truth].astype(str).tolist()


def scores(seed: int, **how: float) -> dict:
    cosines, truth, vectors, names = spoken(seed, **how)
    return idea_scores(cosines, truth, vectors, names, np.zeros(len(truth)), 99)


def test_ideas_are_pooled_above_single_items_where_they_exist() -> None:
    found = scores(0)
    assert found["n"] == 60
    assert found["n_ideas"] == 6
    assert found["events"] == 4
    assert found["rank_accuracy"] > max(found["single"], found["items"])
    assert found["rank_accuracy"] > found["pooled"] > found["permuted"]
    assert found["p"] <= 0.02
    assert found["p_beyond"] <= 0.05
    assert abs(found["permuted"] - 0.5) < 0.05


def test_pooling_alone_is_no_idea() -> None:
    ps = [scores(seed, alike=0.0)["p_beyond"] for seed in range(5)]
    assert np.mean(ps) > 0.2


def test_without_signal_all_is_at_chance() -> None:
    found = [scores(seed, signal=0.0) for seed in range(5)]
    for name in ("rank_accuracy", "single", "items", "permuted", "pooled"):
        assert abs(np.mean([one[name] for one in found]) - 0.5) < 0.05
    assert np.mean([one["p"] < 0.05 for one in found]) < 0.5


def test_sentences_are_ranked_by_the_mean_of_their_words() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = rng.integers(0, 40, 60)
    names = [f"s{i // 5}" for i in range(60)]
    cosines = vectors[truth] @ vectors.T
    found = idea_scores(cosines, truth, vectors, names, np.zeros(60), 19)
    assert found["rank_accuracy"] == found["top1"] == 1.0
    assert not ideas_of(names, truth, 40).partition
    assert abs(found["permuted"] - 0.5) < 0.1
    table = np.array([np.mean(cosines[i : i + 5], axis=0) for i in range(0, 60, 5)])
    means = np.array([vectors[truth[i : i + 5]].mean(axis=0) for i in range(0, 60, 5)])
    by_hand = table @ np.linalg.pinv(vectors.T) @ (means / np.linalg.norm(means, axis=1)[:, None]).T
    assert (by_hand.argmax(axis=1) == np.arange(12)).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40))
@settings(deadline=None)
def test_runs_cover_every_event_once_and_change_where_ideas_do(pairs) -> None:
    pairs.sort(key=lambda pair: pair[1])
    idea, run = np.array(pairs).T
    runs = runs_of(idea, run)
    assert np.array_equal(np.concatenate(runs), np.arange(len(pairs)))
    for rows in runs:
        assert len({(idea[i], run[i]) for i in rows}) == 1
    for one, other in pairwise(runs):
        assert (idea[one[-1]], run[one[-1]]) != (idea[other[0]], run[other[0]])


def test_too_little_gives_no_figure() -> None:
    cosines, truth, vectors, names = spoken(0, n_runs=6)
    run = np.zeros(len(truth))
    assert idea_scores(cosines, truth, vectors, names, run) == {}
    assert idea_scores(cosines, truth, vectors, ["a"] * len(truth), run) == {}
    assert idea_scores(cosines, truth, vectors, [""] * len(truth), run) == {}
    with pytest.raises(ValueError, match="need an idea for each of 24 events, got 1"):
        idea_scores(cosines, truth, vectors, ["a"], run)
    assert idea_lines({}) == []


def test_it_is_told_beside_its_controls() -> None:
    lines = idea_lines({"column": "category", "final": scores(0), "out_of_fold": {}})
    assert lines[0] == "ideas (category), locked final block: 60 runs of 4.0 events, 6 ideas"
    assert "items grouped at random" in lines[2]


@pytest.mark.slow
def test_the_judge_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    sys.modules.pop("science", None)
    from science.ideas import judge

    result = judge(3, 0)
    assert result["goals"]["ideas are decoded better than items"]
    assert result["goals"]["ideas: random items are at chance"]
