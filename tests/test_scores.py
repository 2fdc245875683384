"""Retrieval scores compared with brute force; ties and priors must not look like skill."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from calibration.scores import (
    bits_beyond_prior,
    cosine,
    macro,
    rank_accuracy,
    reciprocal_rank,
    summarize,
    top_k,
    two_vs_two,
)


@st.composite
def tied_trials(draw):
    """A few trials whose similarities are small integers: full of ties."""
    n, n_items = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    cells = st.lists(st.integers(0, 3), min_size=n_items, max_size=n_items)
    similarity = draw(st.lists(cells, min_size=n, max_size=n))
    truth = draw(st.lists(st.integers(0, n_items - 1), min_size=n, max_size=n))
    return np.array(similarity, float), np.array(truth)


@settings(max_examples=80)
@given(tied_trials())
def test_ties_are_averaged_over_every_way_to_break_them(trials):
    similarity, truth = trials
    n_items = similarity.shape[1]
    for row, item, k in itertools.product(range(len(truth)), [0], range(1, n_items + 1)):
        item = truth[row]
        ranks = []
        for order in itertools.permutations(range(n_items)):
            keys = sorted(range(n_items), key=lambda i: (-similarity[row, i], order[i]))
            ranks.append(1 + keys.index(item))
        ranks = np.array(ranks)
        one, its_truth = similarity[row : row + 1], truth[row : row + 1]
        assert top_k(one, its_truth, k)[0] == pytest.approx(np.mean(ranks <= k))
        assert reciprocal_rank(one, its_truth)[0] == pytest.approx(np.mean(1 / ranks))
        expected = np.mean((n_items - ranks) / (n_items - 1))
        assert rank_accuracy(one, its_truth)[0] == pytest.approx(expected)


@settings(max_examples=80)
@given(tied_trials())
def test_rank_accuracy_equals_scipy_ranks(trials):
    similarity, truth = trials
    ranks = rankdata(similarity, axis=1)[np.arange(len(truth)), truth]
    np.testing.assert_allclose(
        rank_accuracy(similarity, truth), (ranks - 1) / (similarity.shape[1] - 1)
    )


@settings(max_examples=80)
@given(tied_trials())
def test_two_vs_two_equals_a_loop_over_pairs(trials):
    similarity, truth = trials
    for i, share in enumerate(two_vs_two(similarity, truth)):
        wins = []
        for j in range(len(truth)):
            if truth[j] != truth[i]:
                right = similarity[i, truth[i]] + similarity[j, truth[j]]
                swapped = similarity[i, truth[j]] + similarity[j, truth[i]]
                wins.append((np.sign(right - swapped) + 1) / 2)
        np.testing.assert_allclose(share, np.mean(wins) if wins else np.nan)


def test_a_perfect_and_an_inverted_decoder():
    truth = np.repeat(np.arange(12), 2)
    perfect = summarize(np.eye(12)[truth], truth)
    inverted = summarize(-np.eye(12)[truth], truth)
    for name in ("top1", "top5", "mrr", "rank_accuracy", "two_vs_two"):
        assert perfect[name] == perfect["macro_" + name] == 1
    for name in ("top1", "top10", "rank_accuracy", "two_vs_two"):
        assert inverted[name] == inverted["macro_" + name] == 0


def test_a_constant_similarity_scores_chance_exactly():
    truth = np.array([0, 0, 1, 4, 7])
    scores = summarize(np.full((5, 20), 0.3), truth)
    for name in ("top1", "top5", "top10", "mrr", "rank_accuracy", "two_vs_two"):
        chance = scores["chance_" + name]
        assert scores[name] == pytest.approx(chance)
        assert scores["macro_" + name] == pytest.approx(chance)
        assert scores["prior_" + name] == pytest.approx(chance)  # uniform where none is given


def test_chance_levels_are_what_random_scores_give():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 30, 3000)
    scores = summarize(rng.normal(size=(3000, 30)), truth)
    for name in ("top1", "top5", "top10", "mrr", "rank_accuracy", "two_vs_two"):
        assert scores[name] == pytest.approx(scores["chance_" + name], abs=0.03)


def test_the_prior_alone_raises_micro_but_not_macro_scores():
    """Canary: no brain signal, words drawn by frequency."""
    rng = np.random.default_rng(0)
    n_items = 250
    prior = 1 / np.arange(1, n_items + 1)
    prior /= prior.sum()
    truth = rng.choice(n_items, 4000, p=prior)
    decoder = np.log(prior) + 0.1 * rng.normal(size=(4000, n_items))  # frequency and noise
    scores = summarize(decoder, truth, prior)
    assert scores["top10"] > 5 * scores["chance_top10"]
    assert scores["prior_top10"] == pytest.approx(prior[:10].sum(), abs=0.03)
    assert scores["top10"] <= scores["prior_top10"] + 0.01
    assert scores["macro_top10"] == pytest.approx(10 / len(np.unique(truth)), abs=0.015)


def test_macro_weighs_items_alike_and_ignores_nan():
    assert macro(np.array([1.0, 1, 1, 0]), np.array([7, 7, 7, 2])) == 0.5
    assert macro(np.array([1.0, np.nan]), np.array([0, 1])) == 1
    assert np.isnan(macro(np.array([np.nan]), np.array([0])))


def test_cosine_is_scale_free_and_zero_is_no_direction():
    rng = np.random.default_rng(0)
    predictions, items = rng.normal(size=(4, 6)), rng.normal(size=(9, 6))
    similarity = cosine(predictions, items)
    np.testing.assert_allclose(cosine(1e-9 * predictions, 1e3 * items), similarity)
    expected = predictions[1] @ items[2] / np.linalg.norm(predictions[1])
    assert similarity[1, 2] == pytest.approx(expected / np.linalg.norm(items[2]))
    np.testing.assert_array_equal(cosine(np.zeros((1, 6)), items), np.zeros((1, 9)))


def test_bits_beyond_prior():
    log_prior = np.log([0.5, 0.25, 0.25])
    posterior = np.log([[0.5, 0.25, 0.25], [0.2, 0.5, 0.3], [0.8, 0.1, 0.1]])
    np.testing.assert_allclose(
        bits_beyond_prior(posterior, log_prior, np.array([2, 1, 1])), [0, 1, np.log2(0.4)]
    )


@pytest.mark.parametrize(
    ("similarity", "truth", "match"),
    [
        (np.zeros((2, 1)), np.zeros(2, int), "2 items or more"),
        (np.zeros((0, 3)), np.zeros(0, int), "n_trials"),
        (np.zeros((2, 3)), np.zeros(3, int), "2 item numbers"),
        (np.zeros((2, 3)), np.zeros(2), "item numbers"),
        (np.zeros((2, 3)), np.array([0, 3]), "below 3"),
        (np.zeros((2, 3)), np.array([0, -1]), "below 3"),
        (np.full((2, 3), np.nan), np.zeros(2, int), "finite"),
    ],
)
def test_bad_input_is_refused_with_its_reason(similarity, truth, match):
    with pytest.raises(ValueError, match=match):
        summarize(similarity, truth)
    with pytest.raises(ValueError, match="prior of 3 items"):
        summarize(np.zeros((2, 3)), np.zeros(2, int), np.ones(2) / 2)
