"""Permutation tests, and canaries: wrong analyses that decode noise, beside the right ones."""

import numpy as np
import pytest
from scipy.stats import kstest

from calibration.gram import RidgeGram
from calibration.nulls import label_memory, matching_test, permutation_p, permute_labels
from calibration.ridge import alphas_default, select_alpha
from calibration.scores import cosine, rank_accuracies, rank_accuracy, summarize
from calibration.splits import blocks, leave_group_out


def test_labels_are_permuted_within_groups_only():
    rng = np.random.default_rng(0)
    labels, groups = np.arange(60), blocks(60, 4)
    permuted = permute_labels(labels, rng, groups)
    for group in range(4):
        assert set(permuted[groups == group]) == set(labels[groups == group])
    assert not np.array_equal(permuted, labels)
    whole = permute_labels(labels, rng)
    assert sorted(whole) == labels.tolist()
    assert np.any(blocks(60, 4)[whole] != groups)
    np.testing.assert_array_equal(labels, np.arange(60))


def test_p_counts_permutations_at_least_as_high():
    labels = np.array([0, 0, 0, 1, 1, 1])
    test = permutation_p(lambda y: float(y[:3].sum()), labels, 199, seed=3)
    assert test.observed == 0
    assert test.p == 1  # every permutation is at least 0
    test = permutation_p(lambda y: float(y[3:].sum()), labels, 1999, seed=3)
    assert test.p == (np.sum(test.null >= 3) + 1) / 2000
    assert test.p == pytest.approx(1 / 20, abs=0.02)  # exact: 1 of choose(6, 3)


def test_the_same_seed_gives_the_same_null():
    labels = np.arange(20)
    runs = [permutation_p(lambda y: float(y[:5].sum()), labels, 30, seed=7) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].null, runs[1].null)


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="at least 1 permutation"):
        permutation_p(lambda y: 0.0, np.arange(3), 0)
    with pytest.raises(ValueError, match="group for each of 3"):
        permute_labels(np.arange(3), np.random.default_rng(0), np.arange(2))


def accuracy_out_of_fold(gram, folds, vectors, labels):
    predictions = gram.out_of_fold(vectors[labels], folds, alpha=20.0)
    return float(rank_accuracy(cosine(predictions, vectors), labels).mean())


@pytest.mark.parametrize("n_experiments", [120, pytest.param(1500, marks=pytest.mark.slow)])
def test_permutation_p_is_uniform_under_the_null(n_experiments):
    """The statistic is a whole cross-validation: its mean lies below 0.5, yet its p is uniform."""
    n, n_permutations = 30, 19
    folds = leave_group_out(blocks(n, 5))
    ps, observed = [], []
    for seed in range(n_experiments):
        rng = np.random.default_rng(seed)
        gram = RidgeGram(rng.normal(size=(n, 6)), "numpy")
        vectors = rng.normal(size=(6, 4))
        labels = rng.permutation(np.repeat(np.arange(6), 5))
        test = permutation_p(
            lambda y, gram=gram, vectors=vectors: accuracy_out_of_fold(gram, folds, vectors, y),
            labels, n_permutations, seed,
        )  # fmt: skip
        # Spread each step of 1/20 evenly to compare with a continuous uniform.
        ps.append(test.p - rng.random() / (n_permutations + 1))
        observed.append(test.observed)
    assert kstest(ps, "uniform").pvalue > 0.001
    assert abs(np.mean(ps) - 0.5) < 4 * np.sqrt(1 / 12 / n_experiments)
    assert np.mean(observed) < 0.5  # chance is never assumed


def slow(rng, n, n_columns, memory):
    """Stationary autoregressive noise: neighbours in time are similar, and nothing else."""
    noise = rng.normal(size=(n, n_columns))
    for i in range(1, n):
        noise[i] = memory * noise[i - 1] + np.sqrt(1 - memory**2) * noise[i]
    return noise


def noise_and_story(rng, n_runs=8, n_sentences=12, length=8):
    """Runs of slow noise, and contextual vectors: word plus sentence of a drifting story."""
    n = n_sentences * length
    X = np.vstack([slow(rng, n, 40, 0.97) for _ in range(n_runs)])
    sentence = np.repeat(np.arange(n_runs * n_sentences), length)
    story = np.vstack([slow(rng, n_sentences, 16, 0.9) for _ in range(n_runs)])
    words = rng.normal(size=(250, 16))[rng.integers(0, 250, n_runs * n)]
    return X, story[sentence] + 0.5 * words, sentence, sentence // n_sentences


def top10_of_noise(gram, Y, groups):
    predictions = gram.out_of_fold(Y, leave_group_out(groups), gram.eigenvalues.mean(), True)
    similarity = cosine(predictions, Y - Y.mean(axis=0))
    return summarize(similarity, np.arange(len(Y)))["top10"]


@pytest.mark.parametrize("n_seeds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_autocorrelated_noise_is_decoded_only_by_a_wrong_split(n_seeds):
    """Canary: shuffled words decode pure noise, shuffled sentences too, held-out runs do not."""
    scores = []
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        X, Y, sentence, run = noise_and_story(rng)
        gram = RidgeGram(X, "numpy")
        n_sentences = sentence.max() + 1
        by_word = rng.permutation(len(Y)) % 10
        by_sentence = (rng.permutation(n_sentences) % 10)[sentence]
        scores.append([top10_of_noise(gram, Y, g) for g in (by_word, by_sentence, run)])
    by_word, by_sentence, by_run = np.mean(scores, axis=0)
    chance = 10 / len(Y)
    assert by_word > 10 * chance  # measured: 19
    assert by_sentence > 6 * chance  # measured: 12
    assert by_run < 1.2 * chance  # measured: 0.2; held-out items are not in the training mean


def test_frequent_words_are_not_found_in_zero_brain_signal():
    """Canary: targets by frequency, no signal. Micro rises above chance, macro does not."""
    rng = np.random.default_rng(0)
    n, n_items = 1200, 250
    prior = 1 / np.arange(1, n_items + 1)
    prior /= prior.sum()
    truth = rng.choice(n_items, n, p=prior)
    vectors = rng.normal(size=(n_items, 32))
    gram = RidgeGram(rng.normal(size=(n, 30)), "numpy")
    predictions = gram.out_of_fold(vectors[truth], leave_group_out(blocks(n, 20)), 1e3)
    raw = summarize(cosine(predictions, vectors), truth, prior)  # the collapsed prediction
    assert raw["top10"] > 3 * raw["chance_top10"]
    assert raw["top10"] < raw["prior_top10"] + 0.02
    assert raw["macro_top10"] < 2 * raw["chance_top10"]


def test_choosing_alpha_out_of_fold_finds_nothing_in_noise():
    rng = np.random.default_rng(0)
    best = []
    for _ in range(10):
        X, vectors = rng.normal(size=(200, 20)), rng.normal(size=(20, 12))
        labels = rng.permutation(np.repeat(np.arange(20), 10))
        items = vectors - vectors[labels].mean(axis=0)
        gram, folds = RidgeGram(X, "numpy"), leave_group_out(blocks(200, 10))

        def score(y, items=items, labels=labels):
            return float(rank_accuracy(cosine(y, items), labels).mean())

        choice = select_alpha(gram, vectors[labels], folds, alphas_default(X), score)
        W, _ = gram.coef(vectors[labels], choice.alpha)
        later = rng.normal(size=(2000, 20))
        truth = rng.integers(0, 20, 2000)
        best.append(rank_accuracy(cosine((later - gram.x_mean) @ W, items), truth).mean())
    assert np.mean(best) == pytest.approx(0.5, abs=0.01)


def test_length_and_frequency_regressed_out_of_the_targets_are_not_decoded():
    """A decoder of word length alone looks like one of meaning until length leaves the targets."""
    rng = np.random.default_rng(0)
    n, n_items = 1500, 60
    covariates = rng.normal(size=(n_items, 2))
    vectors = rng.normal(size=(n_items, 24)) + covariates @ (2 * rng.normal(size=(2, 24)))
    truth = rng.integers(0, n_items, n)
    X = rng.normal(size=(n, 20)) + covariates[truth] @ rng.normal(size=(2, 20))
    gram, folds = RidgeGram(X, "numpy"), leave_group_out(blocks(n, 15))
    design = np.column_stack([np.ones(n_items), covariates])
    weights, *_ = np.linalg.lstsq(design[truth], vectors[truth], rcond=None)

    def accuracy(v):
        items = v - v[truth].mean(axis=0)
        predictions = gram.out_of_fold(v[truth], folds, 100.0, centred=True)
        return rank_accuracy(cosine(predictions, items), truth).mean()

    assert accuracy(vectors) > 0.65
    assert accuracy(vectors - design @ weights) == pytest.approx(0.5, abs=0.02)


def noise_session(seed, runs, memory, n=120, signal=0.0):
    """Rank accuracies (n, 40) of a map trained on noise, and the words said in the locked block."""
    rng = np.random.default_rng(seed)
    category = np.arange(40) % 8
    vectors = 0.7 * rng.normal(size=(40, 12)) + rng.normal(size=(8, 12))[category]
    truth = rng.integers(0, 40, 5 * n)
    if runs:
        said = []
        while len(said) < 5 * n:
            words = np.flatnonzero(category == rng.integers(8))
            said += rng.choice(words, rng.integers(4, 9)).tolist()
        truth = np.array(said[: 5 * n])
    X = slow(rng, 5 * n, 8, memory) + signal * (vectors @ rng.normal(size=(12, 8)))[truth]
    W, _ = RidgeGram(X[: 4 * n], "numpy").coef(vectors[truth[: 4 * n]], 100.0)
    predictions = (X[4 * n :] - X[: 4 * n].mean(axis=0)) @ W
    items = vectors - vectors[truth[: 4 * n]].mean(axis=0)
    return rank_accuracies(cosine(predictions, items)), truth[4 * n :]


@pytest.mark.parametrize("n_experiments", [60, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("runs", "memory"), [(False, 0.9), (True, 0.0), (True, 0.9)])
def test_p_is_uniform_for_runs_of_words_on_slow_noise(n_experiments, runs, memory):
    tests = [
        matching_test(*noise_session(seed, runs, memory), 99, seed) for seed in range(n_experiments)
    ]
    ps = np.array([test.p for test in tests])
    spread = ps - np.random.default_rng(0).random(n_experiments) / 100
    assert kstest(spread, "uniform").pvalue > 0.001
    assert np.mean(ps <= 0.05) <= 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / n_experiments)
    units = np.array([test.unit for test in tests])
    assert (np.mean(units > 1) > 0.9) if runs and memory else (np.mean(units == 1) > 0.9)


def test_single_labels_would_call_noise_decoded():
    """Canary: the same sessions, each label permuted by itself."""
    ps = []
    for seed in range(100):
        table, truth = noise_session(seed, True, 0.9)
        where = np.arange(len(truth))
        test = permutation_p(lambda y, t=table, at=where: float(t[at, y].mean()), truth, 99, seed)
        ps.append(test.p)
    assert np.mean(np.array(ps) <= 0.05) > 0.1


@pytest.mark.parametrize(("runs", "memory"), [(False, 0.0), (False, 0.9), (True, 0.9)])
def test_units_still_find_a_weak_effect(runs, memory):
    ps = [matching_test(*noise_session(s, runs, memory, signal=0.25), 99).p for s in range(20)]
    assert np.mean(np.array(ps) <= 0.05) > 0.8


def test_few_units_say_how_small_p_can_be():
    table, truth = noise_session(0, True, 0.9, n=10)
    test = matching_test(table, truth, 999, memory=8)
    assert test.unit == 10
    assert test.p_smallest == pytest.approx(0.1)
    assert test.p >= test.p_smallest
    two = matching_test(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), 999)
    assert two.p_smallest == pytest.approx(1 / 6)  # choose(4, 2)


@pytest.mark.parametrize("n", [4, 8, 12, 13])
def test_the_smallest_p_counts_different_arrangements(n):
    """Units in every order and rotation: those that are the same labels again count once."""
    table = np.random.default_rng(n).random((n, n))
    test = matching_test(table, np.arange(n), 3000, memory=2)
    assert test.unit == 4
    assert len(np.unique(test.null.round(12))) == round(1 / test.p_smallest)


def test_many_permutations_are_those_of_few_and_more(monkeypatch):
    """Orders are drawn some at a time; every one has each label once."""
    table, truth = noise_session(0, True, 0.9, n=40)
    whole = matching_test(table, truth, 300)
    monkeypatch.setattr("calibration.nulls._AT_ONCE", 500)
    parts = matching_test(table, truth, 300)
    assert whole.unit == parts.unit > 1
    constant = np.tile(np.arange(40.0), (40, 1))
    np.testing.assert_allclose(matching_test(constant, truth, 300).null, truth.mean())
    assert abs(whole.null.mean() - parts.null.mean()) < 4 * whole.null.std() / np.sqrt(300)


def test_units_are_cut_between_groups():
    """A sentence is back at its place as a whole, or not at all."""
    n = 60
    groups = np.repeat(np.arange(10), 6)
    table = (np.arange(n)[:, None] == np.arange(n)).astype(float)
    test = matching_test(table, np.arange(n), 300, memory=3, groups=groups)
    assert test.unit == 6
    assert test.observed == 1.0
    matched = np.round(test.null * n).astype(int)
    assert set(matched % 6) == {0}


def test_labels_without_an_order_have_no_memory():
    table, truth = noise_session(1, True, 0.9, n=200)
    assert label_memory(table, truth) >= 2
    order = np.random.default_rng(0).permutation(len(truth))
    assert label_memory(table, truth[order]) == 0
    assert label_memory(np.zeros_like(table), truth) == 0
