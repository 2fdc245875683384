"""Words without training events: scored apart, beside a null that permutes items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

from calibration.design import build_design, draft_model
from calibration.evaluate import evaluate, similarity
from calibration.events import label_recording
from calibration.report.text import certificate_lines, score_lines
from calibration.scores import rank_accuracy
from calibration.targets import Targets
from calibration.unseen import left_out_items, seen_items, unseen_scores
from rt_decoder.decoding.features import scale_features
from rt_decoder.recipe import Fit
from rt_decoder.timing.markers import MarkerRules
from tests.small import WORDS, fit_small, random_model, small_recipe, small_recording

RECORDING = small_recording(seconds=8.0)
CHOSEN = {"alpha": 10.0, "whiten": 0.0}


def words(
    signal: float, *, n: int = 900, n_items: int = 60, seed: int = 0
) -> tuple[np.ndarray, Targets, np.ndarray]:
    """Features that hold the words' vectors in noise; items in random order, 3 s apart."""
    rng = np.random.default_rng(seed)
    vectors, truth = rng.standard_normal((n_items, 8)), rng.integers(0, n_items, n)
    X = signal * vectors[truth] @ rng.standard_normal((8, 20)) + rng.standard_normal((n, 20))
    names = tuple(f"w{i}" for i in range(n_items))
    return X, Targets(names, vectors, vectors[truth], truth), 3.0 * np.arange(n)


def test_words_that_the_map_can_reach_are_ranked_though_never_seen() -> None:
    scores = left_out_items(*words(0.5), CHOSEN, Fit(n_permutations=199, purge=2.0))
    assert scores["rank_accuracy"] > 0.8
    assert scores["p"] == 1 / 200
    assert scores["null_rank_accuracy"] == pytest.approx(0.5, abs=0.03)
    assert (scores["n"], scores["n_items"], scores["n_candidates"]) == (900, 60, 6)
    assert 0.7 < scores["share_trained"] < 0.95  # less than nine tenths, for the purge


def test_words_that_are_only_recognised_are_at_chance_when_unseen() -> None:
    X, targets, onsets = words(1.0)
    rng = np.random.default_rng(5)
    known_by_heart = targets._replace(
        item_vectors=(vectors := rng.standard_normal((60, 8))), Y=vectors[targets.truth]
    )
    scores = left_out_items(X, known_by_heart, onsets, CHOSEN, Fit(n_permutations=199, purge=2.0))
    assert abs(scores["rank_accuracy"] - 0.5) < 0.12  # six items a fold are few
    assert scores["p"] > 0.01


def test_p_is_uniform_where_there_is_nothing() -> None:
    found = [
        left_out_items(
            *words(0.0, n=200, n_items=20, seed=seed), CHOSEN, Fit(n_permutations=99, purge=0.0)
        )["p"]
        for seed in range(60)
    ]
    assert kstest(found, "uniform").pvalue > 0.01


def test_the_null_keeps_the_events_of_an_item_together() -> None:
    # One item's events are all won, by a slow drift: one item of four is luck, 50 events are not.
    similarity, truth = np.zeros((200, 4)), np.repeat(np.arange(4), 50)
    similarity[truth == 0, 0] = 1.0
    scores = unseen_scores([(similarity, truth)], 499)
    assert scores["rank_accuracy"] == rank_accuracy(similarity, truth).mean()
    assert scores["p"] == pytest.approx(1 / 4, abs=0.06)


def test_without_two_unseen_items_there_is_no_figure() -> None:
    assert unseen_scores([(np.zeros((3, 5)), np.zeros(3, int))]) == {}
    assert unseen_scores([]) == {}
    X, targets, onsets = words(0.5, n=60, n_items=19)
    assert left_out_items(X, targets, onsets, CHOSEN, Fit(purge=2.0)) == {}
    X, targets, _ = words(0.5)
    assert (
        left_out_items(X, targets, 0.1 * np.arange(900), CHOSEN, Fit(purge=2.0)) == {}
    )  # the purge takes all


def test_unseen_items_are_not_in_the_headline() -> None:
    model = random_model(RECORDING, small_recipe(fit={"n_permutations": 99}))
    assert seen_items(model).all()
    X = np.random.default_rng(0).standard_normal((120, len(model.center))).astype(np.float32)
    truth = np.arange(120) % 12
    labels = [WORDS[i] for i in truth]
    seen = evaluate(model, X[truth < 8], [labels[i] for i in np.flatnonzero(truth < 8)])
    partly = replace(model, certificate={"trained": list(range(8))})
    assert seen_items(partly).tolist() == [True] * 8 + [False] * 4
    both = evaluate(partly, X, labels)
    apart, heard = both.pop("unseen"), both.pop("heard")
    assert (heard["n"], heard["n_items"]) == (80, 8)
    assert (both["n"], both["n_unseen"], seen["n_unseen"]) == (80, 40, 0)
    assert both | {"n_unseen": 0} == seen
    cosines = similarity(model, X[truth >= 8])[:, 8:]
    want = rank_accuracy(cosines, truth[truth >= 8] - 8).mean()
    assert apart["rank_accuracy"] == pytest.approx(want)
    assert (apart["n"], apart["n_items"], apart["n_candidates"]) == (40, 4, 4)
    told = score_lines(both | {"unseen": apart}, "here")
    assert any("words never seen in training: ." in line for line in told)
    only = evaluate(partly, X[truth >= 8], [labels[i] for i in np.flatnonzero(truth >= 8)])
    assert (only["n"], only["n_unseen"]) == (40, 40)


def test_a_certificate_scores_unseen_items_apart(tmp_path: Path) -> None:
    """As `evaluate` does: items that only the locked block has are not in the headline."""
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("\n".join(WORDS), encoding="utf-8")
    recording = small_recording(seconds=90.0)
    late = 0.8 * recording.times[-1]  # the last fifth is locked
    some = replace(
        recording,
        markers=tuple(m for m in recording.markers if m.time > late or m.label not in WORDS[:3]),
    )
    recipe = small_recipe(
        target={"vocabulary": str(vocabulary)},
        features={"anytime": [0.3]},
        fit={"n_permutations": 99, "purge": 0.8},
    )
    model = fit_small(some, recipe)
    certificate, final = model.certificate, model.certificate["final"]
    assert not seen_items(model)[:3].any()
    assert final["n_unseen"] > 1
    assert final["n"] + final["n_unseen"] == certificate["split"]["n_final"]
    assert final["n"] == final["heard"]["n"] == certificate["pooled"]["final"]["1"]["n"]
    assert final["unseen"]["n"] == final["n_unseen"]
    assert {row["n"] for row in certificate["anytime"]["windows"]} == {final["n"]}
    draft = draft_model([some], recipe)
    design = build_design(draft, [label_recording(some, None, recipe, MarkerRules())])
    design = design.answered_only()
    locked = slice(len(design.labels) - certificate["split"]["n_final"], None)
    X = scale_features(design.X[locked], model.center, model.scale, recipe.features.clamp)
    again = evaluate(
        model,
        X,
        design.labels[locked],
        memory=certificate["null_memory"],
        groups=design.run[locked],
    )
    assert {name: final[name] for name in again} == again


def test_a_fit_lists_what_it_trained_on_and_estimates_if_asked(tmp_path: Path) -> None:
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("\n".join(WORDS), encoding="utf-8")
    recording = small_recording(seconds=60.0)
    some = replace(
        recording, markers=tuple(m for m in recording.markers if m.label not in WORDS[:2])
    )
    recipe = small_recipe(
        target={"vocabulary": str(vocabulary)}, fit={"n_permutations": 9, "unseen": True}
    )
    model = fit_small(some, recipe)
    assert not seen_items(model)[:2].any()
    assert seen_items(model)[2:].sum() >= 8
    assert model.certificate["unseen"] == {}  # twelve items are too few
    shown = {"rank_accuracy": 0.5, "null_rank_accuracy": 0.5, "p": 1.0, "n": 3, "n_items": 2}
    told = certificate_lines(replace(model, certificate={**model.certificate, "unseen": shown}))
    assert any("words never seen in training: .500" in line for line in told)
    assert "trained" not in fit_small(recording, small_recipe()).certificate
