"""Layers, ceiling and learning curve: against refitting, known truth, and extremes."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.ceiling import (
    ceiling_facts,
    explainable,
    rank_ceiling,
    why_none,
)
from calibration.encoding import Rules
from calibration.language.embeddings import embed, embed_layers
from calibration.layer_maps import encode_layers, map_facts
from calibration.layers import Layers, decode_layers, layer_facts
from calibration.learning import fit_power_law, learning_curve, learning_facts
from calibration.nested import Split, joined_groups
from calibration.people_ceiling import people_ceiling
from calibration.report.limits import ceiling_line, layer_line, learning_line, order_line
from calibration.scores import cosine, rank_accuracy

N, K, P = 160, 16, 24
SPLIT = Split(np.arange(N) // 20, np.arange(N) * 0.7, 1.0)


def person(
    seed: int, drives: int = 1, n_layers: int = 3, size: float = 0.5
) -> tuple[np.ndarray, Layers]:
    """Features (N, P) that follow one layer of independent ones."""
    rng = np.random.default_rng(seed)
    vectors = [rng.normal(size=(K, 6)) for _ in range(n_layers)]
    which = rng.integers(K, size=N)
    X = size * vectors[drives][which] @ rng.normal(size=(6, P)) / np.sqrt(6)
    names = tuple(f"layer {k}" for k in range(n_layers))
    return X + rng.normal(size=(N, P)), Layers(names, vectors, which)


def test_decoded_layers_are_those_of_refitting_each_fold() -> None:
    X, layers = person(0)
    found = decode_layers(X, layers, SPLIT, Rules(5))
    fold = joined_groups(SPLIT.groups, SPLIT.onsets)
    for layer, vectors in enumerate(layers.vectors):
        items, scores = vectors - vectors[layers.which].mean(axis=0), np.empty(N)
        for k in range(8):
            test = fold == k
            near = np.abs(SPLIT.onsets[:, None] - SPLIT.onsets[test]).min(axis=1) <= 1.0
            train = ~test & ~near
            A, B = X[train] - X[train].mean(axis=0), vectors[layers.which[train]]
            gram = A.T @ A + found.alphas[k, layer] * np.eye(P)
            W = np.linalg.solve(gram, A.T @ (B - B.mean(axis=0)))
            cosines = cosine((X[test] - X[train].mean(axis=0)) @ W, items)
            scores[test] = rank_accuracy(cosines, layers.which[test])
        assert found.rank_accuracy[layer, 0] == pytest.approx(scores.mean(), abs=1e-9)


def test_many_texts_are_decoded_as_few_ones() -> None:
    X, layers = person(1)
    # A text that no event shows makes texts more columns than dimensions; ranks are among all texts.
    more = [np.vstack([one, np.tile(one.mean(axis=0), (8, 1))]) for one in layers.vectors]
    few = decode_layers(X, layers._replace(vectors=more), SPLIT, Rules(1))
    wide = [np.hstack([one, np.zeros((24, 30))]) for one in more]
    again = decode_layers(X, layers._replace(vectors=wide), SPLIT, Rules(1))
    np.testing.assert_allclose(again.rank_accuracy, few.rank_accuracy, atol=1e-9)


def test_the_layer_that_drives_is_found_and_one_layer_thrice_makes_no_difference() -> None:
    X, layers = person(2, size=1.0)
    found = decode_layers(X, layers, SPLIT, Rules(19))
    assert found.rank_accuracy[:, 0].argmax() == 1
    assert found.alike.tolist() == [False, True, False]
    assert (found.chosen == 1).all()
    assert found.nested[0] == found.rank_accuracy[1, 0]
    assert "layer 1 best of 3" in layer_line(layer_facts(found))
    assert found.test.p == 0.05
    thrice = layers._replace(vectors=[2.0 * layers.vectors[1]] * 3)
    same = decode_layers(X, thrice, SPLIT, Rules(1))
    assert same.alike.all()
    assert same.p_alike == 1
    assert "no difference among 3" in layer_line(layer_facts(same))


def test_layers_refuse_what_does_not_fit() -> None:
    X, layers = person(3)
    with pytest.raises(ValueError, match="one text an event"):
        decode_layers(X[1:], layers, SPLIT)
    with pytest.raises(ValueError, match="need a name"):
        decode_layers(X, layers._replace(names=("one",)), SPLIT)
    with pytest.raises(ValueError, match="equal ones at layer 0"):
        decode_layers(X, layers._replace(vectors=[np.ones((K, 6))] * 3), SPLIT)
    with pytest.raises(ValueError, match="brain samples"):
        encode_layers(layers, X, np.arange(3), SPLIT)


def test_early_layers_match_early_signals_and_front_ones_the_front() -> None:
    rng = np.random.default_rng(4)
    _, layers = person(4, n_layers=4)
    Y = rng.normal(size=(N, 2, 4))
    for k, vectors in enumerate(layers.vectors):
        Y[:, :, k] += vectors[layers.which] @ rng.normal(size=(6, 2))
    times, rules = np.arange(4) * 0.1, Rules(99)
    found = encode_layers(layers, Y, times, SPLIT, rules)
    assert found.best.tolist() == [[0, 1, 2, 3]] * 2
    assert (found.low <= found.best).all()
    assert (found.best <= found.high).all()
    assert found.by_time[:, 0].tolist() == [0, 1, 2, 3]
    assert found.latency is not None
    assert found.latency.correlation == pytest.approx(1)
    assert found.latency.p_smallest == pytest.approx(1 / 24)
    assert found.latency.p < 0.15
    assert found.front is None
    assert "best layer with time after the onset +1.00" in order_line(map_facts(found))
    # Channels for times, and the other way round: the same order from back to front.
    front = encode_layers(
        layers, Y.transpose(0, 2, 1), times[:2], SPLIT, rules,
        positions=np.column_stack([np.zeros(4), times, np.zeros(4)]),
    ).front  # fmt: skip
    assert front is not None
    assert front.correlation == pytest.approx(1)


def test_noise_has_no_order_to_tell() -> None:
    _, layers = person(5)
    quiet = np.zeros((N, 2, 3))
    found = encode_layers(layers, quiet, np.arange(3.0), SPLIT, Rules(1))
    assert found.latency is None
    assert "unknown" in order_line(map_facts(found))


def test_layers_of_one_pass_are_those_of_each() -> None:
    texts = ["king", "carrot", "king"]
    found = embed_layers(texts)
    assert found.shape == (7, 3, 384)
    for layer in (0, 3, 6):
        alone = embed(texts, layer=layer, cache_dir=False)
        np.testing.assert_allclose(found[layer], alone, atol=1e-6)
    with pytest.raises(ValueError, match="need pooling"):
        embed_layers(texts, pooling="max")
    with pytest.raises(ValueError, match="batch_size"):
        embed_layers(texts, batch_size=0)


def halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array_split(np.arange(n), 2)
    return first, second


def test_ceiling_is_that_of_the_true_distance_whatever_the_units() -> None:
    rng = np.random.default_rng(6)
    items = rng.permutation(np.repeat(np.arange(10), 60))
    X = 0.7 * rng.normal(size=(10, 8))[items] + rng.normal(size=(600, 8))
    found = rank_ceiling(X, items, halves(600))
    assert found is not None
    assert found.low < found.rank_accuracy < found.high
    assert found.reached < found.high
    scaled = rank_ceiling(X @ np.diag(np.arange(1.0, 9)), items, halves(600))
    assert scaled is not None
    assert scaled.rank_accuracy == pytest.approx(found.rank_accuracy, abs=0.02)
    share = explainable(X[:, :, None], items, halves(600))
    assert share is not None
    assert share[0].mean() == pytest.approx(0.49 / 1.49, abs=0.1)
    told = ceiling_facts(X, X[:, :, None], items)
    assert "10 items that came 30.0 times in each half of the recording; r of any" in ceiling_line(
        told
    )


def test_a_single_pass_has_no_ceiling_and_neither_have_too_many_features() -> None:
    X = np.random.default_rng(7).normal(size=(40, 30))
    once, often = np.arange(40), np.tile(np.arange(4), 10)
    assert rank_ceiling(X, once, halves(40)) is None
    assert explainable(X[:, :, None], once, halves(40)) is None
    assert "single pass" in ceiling_line(ceiling_facts(X, X[:, :, None], once))
    assert "noise of 30 features takes 60 repeated events" in why_none(30, often, halves(40))
    with pytest.raises(ValueError, match="one item an event"):
        rank_ceiling(X, once[1:], halves(40))
    with pytest.raises(ValueError, match="share no event"):
        rank_ceiling(X, often, (np.arange(9), np.arange(9)))


def test_people_who_are_alike_have_a_high_ceiling() -> None:
    rng = np.random.default_rng(8)
    shared = rng.normal(size=(20, 5))
    bounds = people_ceiling([shared + rng.normal(size=(20, 5)) for _ in range(12)])
    assert bounds is not None
    assert 0.5 < bounds["low"][0] < np.sqrt(0.5) + 0.05
    assert bounds["low"][0] < bounds["high"][0] < 1
    same = people_ceiling([shared] * 3)
    assert same is not None
    assert same["low"][0] == pytest.approx(1)
    assert people_ceiling([shared] * 2) is None
    assert people_ceiling([shared[:2]] * 4) is None
    with pytest.raises(ValueError, match="one shape"):
        people_ceiling([shared, shared[1:]])


def test_power_laws_are_found_again_and_never_rise_above_1() -> None:
    n = np.array([50, 100, 200, 400, 800.0])
    for top, gain, rate in ((0.7, 0.8, 0.5), (0.9, 2.0, 1.0), (0.6, 0.0, 1.0)):
        law = fit_power_law(n, top - gain * n[None] ** -rate)
        assert law.at(3200)[0, 0] == pytest.approx(top - gain * 3200.0**-rate, abs=0.003)
    rising = fit_power_law(n, (0.9 + 0.02 * np.arange(5))[None])
    assert rising.top[0] <= 1
    falling = fit_power_law(n, (0.6 - 0.02 * np.arange(5))[None])
    assert falling.needed(0.7)[0] == np.inf
    law = fit_power_law(n, 0.7 - 0.8 * n[None] ** -0.5)
    assert law.at(law.needed(0.65))[0, 0] == pytest.approx(0.65)
    with pytest.raises(ValueError, match="three numbers"):
        fit_power_law(n[:2], np.ones((1, 2)))


def test_a_learning_curve_grows_and_says_what_is_never_reached() -> None:
    X, layers = person(9, size=1.0)
    curve = learning_curve(X, layers.vectors[1], layers.which, SPLIT, Rules(1))
    assert curve is not None
    assert curve.accuracy[-1, 0] > curve.accuracy[0, 0] + 0.02
    assert (curve.accuracy[:, 1] <= curve.accuracy[:, 0]).all()
    facts = learning_facts(curve, 2.0, N, wanted=(0.5, 0.9999))
    assert facts is not None
    assert facts["minutes"]["0.5"][0] < 2
    assert facts["minutes"]["0.9999"] == [None, None, None]
    assert "for 0.9999: more than 10 times those recorded" in learning_line(facts)
    assert learning_curve(X, layers.vectors[1], layers.which, SPLIT, shares=(0.01, 1.0)) is None
    assert "too few" in learning_line(learning_facts(None, 1.0, 5))
    with pytest.raises(ValueError, match="one text an event"):
        learning_curve(X[1:], layers.vectors[1], layers.which, SPLIT)
