"""Images, sounds, sentences and vectors by hand: fitted by the command, decoded by the live side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from calibration.language.embeddings import embed
from calibration.language.senses import embed_stimuli
from rt_decoder.files.model_file import load_model
from rt_decoder.simulation.participant import Participant
from tests.small import call, finish, readouts, start
from tests.tiny_senses import save_bert, save_images, save_sounds, save_vit, save_wav2vec2

pytest.importorskip("torch")
pytest.importorskip("transformers")

NAMES = tuple(f"thing {i}" for i in range(8))
SENTENCES = (
    "the cat sat on the mat", "a dog ate", "the mat ate a dog", "a cat sat", "on a mat the dog sat",
    "the dog ate the cat on the mat", "a cat ate a mat", "the mat sat on a dog",
)  # fmt: skip


class Sense(NamedTuple):
    """What a person perceives, what the events call it, and the options of the fit."""

    vectors: np.ndarray
    items: tuple[str, ...]
    label: Callable[[str], str]
    options: tuple[str | Path, ...]


def images(folder: Path) -> Sense:
    stimuli, model = save_images(folder / "secret images", NAMES), save_vit(folder / "vit")
    found = embed_stimuli(NAMES, stimuli, model=model)
    options = ("--embedding", model, "--stimuli", stimuli)
    return Sense(found, NAMES, "images/{}.png".format, options)


def sounds(folder: Path) -> Sense:
    stimuli, model = save_sounds(folder / "secret sounds", NAMES), save_wav2vec2(folder / "w2v")
    found = embed_stimuli(NAMES, stimuli, model=model)
    options = ("--embedding", model, "--stimuli", stimuli)
    return Sense(found, NAMES, "{}.WAV".format, options)


def sentences(folder: Path) -> Sense:
    model = save_bert(folder / "bert", SENTENCES)
    return Sense(embed(SENTENCES, model=model), SENTENCES, str, ("--embedding", model))


def by_hand(folder: Path) -> Sense:
    rows = np.random.default_rng(0).standard_normal((len(NAMES), 6))
    table = [["name", *"abcdef"], *([n, *map(str, r)] for n, r in zip(NAMES, rows, strict=True))]
    path = folder / "mine.tsv"
    path.write_text("\n".join("\t".join(row) for row in table))
    return Sense(rows, NAMES, str, ("--vectors", path))


def save_session(folder: Path, sense: Sense, session: int) -> tuple[Path, Path]:
    """A recording as CSV, and its events."""
    vectors = sense.vectors - sense.vectors.mean(axis=0)
    person = Participant(vectors, sense.items, n_channels=6, snr=1.0, artifacts=0.0)
    made = person.simulate(duration=70, seed=session, components=False)
    data, events = folder / f"s{session}.csv", folder / f"s{session}.tsv"
    names = ",".join(["timestamps", *made.info.ch_names])
    times = np.arange(len(made.data)) / made.info.sfreq
    table = np.column_stack((times, made.data * 1e6))
    np.savetxt(data, table, delimiter=",", header=names, comments="", fmt="%.9g")
    words = [event for event in made.events if event.label in sense.items]
    rows = [f"{event.time:.6f}\t0\t{sense.label(event.label)}" for event in words]
    events.write_text("\n".join(["onset\tduration\ttrial_type", *rows]) + "\n")
    return data, events


def fit(folder: Path, sense: Sense, capsys: pytest.CaptureFixture[str]) -> Path:
    data, events = save_session(folder, sense, 1)
    model = folder / "me.rtd.safetensors"
    ran = call(
        capsys, "fit", data, "--events", events, "--units", "uV", "--stages", "[]", "-o", model,
        "--n-permutations", "19", "--n-blocks", "4", "--precision", "0", "--no-sums",
        *sense.options, program="calibration",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return model


@pytest.mark.slow
@pytest.mark.parametrize("sense_of", [images, sounds, sentences, by_hand])
def test_each_sense_is_fitted_and_decoded(
    sense_of: Callable[[Path], Sense],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RT_DECODER_CACHE", "")
    sense = sense_of(tmp_path)
    path = fit(tmp_path, sense, capsys)
    model = load_model(path)
    assert set(model.items) <= set(sense.items)
    assert model.certificate["final"]["rank_accuracy"] > 0.6
    assert b"secret" not in path.read_bytes()
    data, events = save_session(tmp_path, sense, 2)
    log = tmp_path / "log.jsonl"
    ran = call(
        capsys, "decode", data, "--events", events, "--units", "uV", "--model", path, "--force",
        "--jsonl", log,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "does not know" not in ran.err
    found = readouts(log)
    right = np.mean([one["label"] == one["word"] for one in found])
    assert len(found) > 20
    assert right > 2 / len(NAMES)


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.parametrize("sense_of", [images, sounds, sentences, by_hand])
def test_each_sense_is_decoded_live(
    sense_of: Callable[[Path], Sense],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    source_id: str,
) -> None:
    monkeypatch.setenv("RT_DECODER_CACHE", "")
    sense = sense_of(tmp_path)
    path, (data, events) = fit(tmp_path, sense, capsys), save_session(tmp_path, sense, 2)
    log = tmp_path / "log.jsonl"
    sending = start(
        "replay", data, "--events", events, "--units", "uV", "--name", source_id, "--speed", "4",
        "--wait", "100", "--linger", "5",
    )  # fmt: skip
    live = start(
        "run", "--force", "--model", path, "--name", source_id, "--log", log, "--until-lost",
        "--markers", f"{source_id}-markers",
        "--timeout", "100", "--quiet",
    )  # fmt: skip
    ran, sent = finish(live, 200), finish(sending, 200)
    assert sent.code == 0, sent.err
    assert ran.code == 0, ran.err
    found = readouts(log)
    assert {one["label"] for one in found} <= set(sense.items)  # what was seen, heard or read
    assert len(found) > 20
    assert np.mean([one["label"] == one["word"] for one in found]) > 2 / len(sense.items)
