"""A vocabulary with items that nobody ever hears: knowing so is no decoding."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from calibration.design import build_design, draft_model
from calibration.evaluate import evaluate
from calibration.events import label_recording
from calibration.fit import fit_model
from calibration.heard import heard_line, scores_among
from calibration.report.above import is_above
from calibration.report.shown import Shown
from calibration.report.text import certificate_lines
from calibration.report.verdict import limits, verdict
from calibration.targets import vocabulary_items
from rt_decoder.commands.describe import model_lines
from rt_decoder.files.proof import proof, why_unproven
from rt_decoder.model import Model
from rt_decoder.timing.markers import MarkerRules
from tests.small import VECTORS, WORDS, small_recipe, small_recording

DECOYS = tuple(f"decoy{k}" for k in range(100))


def embedder(texts, **_):
    """Vectors of the words, and random ones of decoys."""
    return np.stack(
        [
            VECTORS[WORDS.index(text)]
            if text in WORDS
            else np.random.default_rng(zlib.crc32(text.encode())).standard_normal(VECTORS.shape[1])
            for text in texts
        ]
    )


def test_knowing_which_items_occur_scores_nothing_among_the_heard() -> None:
    """Cosines that tell heard items from others, and nothing else."""
    rng = np.random.default_rng(0)
    n, V = 4000, 200
    heard = np.arange(V) < 20
    truth = rng.integers(0, 20, n)
    cosines = rng.normal(0, 0.1, (n, V)) + heard
    log_p = 20 * cosines - np.log(np.exp(20 * cosines).sum(axis=1, keepdims=True))
    flat = np.where(heard, np.log(1 / 20), -30.0)
    flat -= np.log(np.exp(flat).sum())
    prior = np.full(V, -np.log(V))
    told = scores_among(heard, cosines, np.tile(flat, (n, 1)), prior, truth)
    assert told["n_items"] == 20
    assert told["chance_top1"] == pytest.approx(1 / 20)
    assert told["rank_accuracy"] == pytest.approx(0.5, abs=0.02)
    assert told["bits_per_word"] == pytest.approx(0.0, abs=1e-9)  # log2(200 / 20) with all items
    assert scores_among(heard, cosines, log_p, prior, truth)["bits_per_word"] < 0
    assert "20 items that are heard" in heard_line(told)


def test_nothing_stands_beside_where_all_or_no_items_are_heard() -> None:
    cosines, truth = np.eye(4), np.arange(4)
    log_p, prior = np.full((4, 4), -np.log(4)), np.full(4, -np.log(4))
    for heard in ([1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]):
        assert scores_among(np.array(heard, bool), cosines, log_p, prior, truth) == {}
    some = scores_among(np.array([1, 1, 0, 0], bool), cosines, log_p, prior, truth)
    assert some["n"] == 2  # events of items that are heard


def fitted(tmp_path: Path, shuffled: bool) -> tuple[Model, np.ndarray, list[str]]:
    """A model with decoys in its vocabulary; labels may be shuffled."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join((*WORDS, *DECOYS)), encoding="utf-8")
    recipe = small_recipe(target={"vocabulary": str(path)}, fit={"n_permutations": 199})
    recording = small_recording(seconds=120)
    draft = draft_model([recording], recipe)
    design = build_design(draft, [label_recording(recording, None, recipe, MarkerRules())])
    if shuffled:
        labels = np.random.default_rng(1).permutation(design.labels)
        object.__setattr__(design, "labels", tuple(str(one) for one in labels))
    return fit_model(draft, design, embedder=embedder), design.X, list(design.labels)


def test_a_certificate_claims_only_what_is_among_the_heard(tmp_path: Path) -> None:
    model, X, labels = fitted(tmp_path, shuffled=False)
    final, inner = model.certificate["final"], model.certificate["out_of_fold"]
    assert final["n_items"] == 112
    assert final["heard"]["n_items"] == inner["heard"]["n_items"] == 12
    assert final["heard"]["bits_per_word"] < final["bits_per_word"]
    assert final["heard"]["bits_per_word"] <= np.log2(12)
    claimed = proof(model)
    assert claimed["bits_per_word"] == final["heard"]["bits_per_word"]
    assert claimed["chance_top1"] == pytest.approx(1 / 12)
    assert why_unproven(model) == ""
    text = "\n".join([*certificate_lines(model), *model_lines(model)])
    assert text.count("among the 12 items that are heard") == 3
    assert f"{final['bits_per_word']:.3f} bits a word beyond the prior" not in text
    low, high = final["heard"]["intervals"]["bits_per_word"]
    assert low < final["heard"]["bits_per_word"] < high
    page = Shown(model)
    assert "among the 12 that are heard, of 112 (95 % interval " in verdict(page)
    assert f"{final['heard']['bits_per_word']:.2f} ({low:.2f} to {high:.2f})" in "".join(
        limits(page)
    )
    from rt_decoder.decoding.features import scale_features

    again = evaluate(model, scale_features(X, model.center, model.scale, 20.0), labels)
    assert again["heard"]["n_items"] == 12


def test_wrong_labels_prove_nothing_with_a_large_vocabulary(tmp_path: Path) -> None:
    model, _, _ = fitted(tmp_path, shuffled=True)
    final = model.certificate["final"]
    assert final["heard"]["bits_per_word"] < 0.2
    assert why_unproven(model) != ""
    assert not is_above(Shown(model))


# --- a file of items


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("onset\tduration\tword\n1\t0\taxe\n", "tab in line 1"),
        ("axe\nbee\ta\n", "tab in line 2"),
        ("onset,duration,word\n1,0,axe\n", "header of a table"),
        ('"onset";"duration";"trial_type"\n', "header of a table"),
    ],
)
@pytest.mark.parametrize("fold", [False, True])
def test_a_table_is_no_vocabulary(text: str, why: str, fold: bool, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"need one item a line and nothing else, got a?.*{why}"):
        vocabulary_items(str(path), (), fold=fold)


def test_sentences_with_commas_are_items(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\nthe onset, the duration\n\tindented\nof words; and more\n")
    assert vocabulary_items(str(path), ()) == (
        "the onset, the duration", "indented", "of words; and more",
    )  # fmt: skip
