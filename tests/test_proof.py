"""Models that are not above their nulls are refused, unless they are forced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
import pytest

from calibration.demo import save_recording
from calibration.design import Design, build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from rt_decoder.files.model_file import save_model
from rt_decoder.files.proof import proof, why_unproven
from rt_decoder.live.opening import open_session
from rt_decoder.live.run_options import RunOptions
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.sinks.outlets import data_outlet
from rt_decoder.timing.markers import MarkerRules
from tests.feis import PEOPLE, feis_recipe, read_feis
from tests.small import (
    VECTORS,
    WORDS,
    call,
    fake_embedder,
    lines,
    random_model,
    small_recipe,
    small_recording,
)

RECORDING = small_recording(seconds=4.0)
MODEL = random_model(RECORDING, small_recipe())
FINAL = {
    "p": 0.01, "p_smallest": 0.005, "n": 40, "bits_per_word": 0.3, "rank_accuracy": 0.6,
    "chance_rank_accuracy": 0.5,
}  # fmt: skip


def certified(final: Any = None, **others: Any) -> Model:
    found = {} if final is None else {"final": final}
    return replace(MODEL, certificate=found | others)


def noise_model(seed: int, n: int = 200, p: int = 20, signal: float = 0.0) -> Model:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(WORDS), n)
    mix = rng.standard_normal((VECTORS.shape[1], p))
    X = signal * VECTORS[truth] @ mix + rng.standard_normal((n, p))
    design = Design(
        (1e-6 * X).astype(np.float32), tuple(WORDS[i] for i in truth), 0.7 * np.arange(n),
        ("",) * n, None, np.zeros(n, int), 0, np.ones(n, bool),
    )  # fmt: skip
    recipe = small_recipe(fit={"n_permutations": 199, "n_blocks": 4, "purge": 1.5})
    return fit_model(draft_model([RECORDING], recipe), design, embedder=fake_embedder)


def test_a_model_above_its_nulls_is_proven() -> None:
    assert why_unproven(certified(FINAL)) == ""
    assert proof(certified(FINAL)) == FINAL
    for people in (FINAL, {"final": FINAL}):
        assert why_unproven(certified(people=people)) == ""
    assert why_unproven(noise_model(0, signal=1.0)) == ""


REFUSED = {
    "no final block": (None, "no locked block: nothing is proven"),
    "empty": ({}, "no locked block"),
    "no table": (["p", 0.01], "no locked block"),
    "no p": ({name: value for name, value in FINAL.items() if name != "p"}, "cannot be read"),
    "p is a text": (FINAL | {"p": "0.01"}, "cannot be read"),
    "bits are unknown": (FINAL | {"bits_per_word": None}, "cannot be read"),
    "p": (FINAL | {"p": 0.051}, "p = 0.051, 0.300 bits a word and rank accuracy 0.600 on 40"),
    "few events": (FINAL | {"p": 0.2, "p_smallest": 0.2}, "too few to show anything"),
    "bits": (FINAL | {"bits_per_word": 0.0}, "no more than the prior knows"),
    "rank": (FINAL | {"rank_accuracy": 0.5}, "not above chance, 0.500"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_not_and_it_says_why(name: str) -> None:
    final, why = REFUSED[name]
    assert why in why_unproven(certified(final))


def test_held_out_groups_must_be_above_chance_too() -> None:
    assert why_unproven(certified(FINAL, out_of_fold={"rank_accuracy": 0.51})) == ""
    said = why_unproven(certified(FINAL, out_of_fold={"rank_accuracy": 0.499}))
    assert "0.499 in the held-out groups" in said


def test_noise_is_refused() -> None:
    assert np.mean([why_unproven(noise_model(seed)) != "" for seed in range(8)]) >= 0.95


@pytest.mark.slow
def test_noise_is_refused_in_many_sessions() -> None:
    assert np.mean([why_unproven(noise_model(seed)) != "" for seed in range(100)]) >= 0.95


def sound_vectors(texts: Sequence[str], **_: Any) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((16, 16))
    return vectors[[sorted(texts).index(text) for text in texts]]


@pytest.mark.realdata
@pytest.mark.parametrize("person", PEOPLE)
def test_real_eeg_with_labels_that_cannot_be_decoded_is_refused(
    person: str, data_dir: Path, tmp_path: Path
) -> None:
    recording, recipe = read_feis(data_dir, person, tmp_path), feis_recipe()
    draft = draft_model([recording], recipe)
    labelled = label_recording(recording, None, recipe, MarkerRules())
    design = build_design(draft, [labelled])
    assert len(design.labels) > 150
    assert why_unproven(fit_model(draft, design, embedder=sound_vectors))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proof")
    save_recording(RECORDING, folder / "rec.xdf")
    for name, final in (("good", FINAL), ("noise", FINAL | {"p": 0.4}), ("open", None)):
        save_model(certified(final), folder / f"{name}.safetensors")
    return folder


def test_decode_refuses_and_writes_nothing(folder: Path, tmp_path: Path, capsys) -> None:
    for name, why in (("noise", "p = 0.4, 0.300 bits"), ("open", "no locked block")):
        ran = call(
            capsys, "decode", folder / "rec.xdf", "--model", folder / f"{name}.safetensors",
            "--jsonl", tmp_path / "log.jsonl",
        )  # fmt: skip
        assert ran.code == 1
        assert ran.err.count("\n") == 1
        assert why in ran.err
        assert "calibrate with more data (--force" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_forced_says_so(folder: Path, tmp_path: Path, capsys) -> None:
    for name in ("noise", "good"):
        log = tmp_path / f"{name}.jsonl"
        ran = call(
            capsys, "decode", folder / "rec.xdf", "--model", folder / f"{name}.safetensors",
            "--jsonl", log, "--force", "--json",
        )  # fmt: skip
        assert ran.code == 0, ran.err
        header, *_, footer = lines(log)
        for line in (header, footer, json.loads(ran.out.splitlines()[-1])):
            assert ("p = 0.4" in line.get("forced", "")) == (name == "noise")


@pytest.mark.lsl
def test_run_refuses_before_it_looks_for_streams(folder: Path, capsys) -> None:
    ran = call(capsys, "run", "--model", folder / "noise.safetensors", "--name", "nobody")
    assert ran.code == 1
    assert "is not above its nulls: p = 0.4" in ran.err


@pytest.mark.lsl
@pytest.mark.parametrize("p", [0.4, 0.01])
def test_log_and_outlets_of_a_forced_session_say_so(p: float, source_id: str, tmp_path) -> None:
    model = certified(FINAL | {"p": p})
    sender = data_outlet(source_id, RECORDING.info, source_id)
    options = RunOptions(
        selection={"source_id": source_id}, outlet=f"{source_id}-out",
        clean_outlet=f"{source_id}-clean", log=tmp_path / "log.jsonl", force=True,
    )  # fmt: skip
    with ExitStack() as stack:
        session = open_session(model, options, stack)
        told = {}
        for name in ("out-scores", "out-readout", "clean"):
            (found,) = pylsl.resolve_byprop("name", f"{source_id}-{name}", 1, 30.0)
            desc = pylsl.StreamInlet(found).info(30.0).desc()
            told[name] = desc.child("cleaning" if name == "clean" else "decoder").child_value(
                "forced"
            )
        told["footer"] = session.footer().get("forced", "")
    told["header"] = lines(tmp_path / "log.jsonl")[0].get("forced", "")
    assert all(("p = 0.4" in text) == (p == 0.4) for text in told.values()), told
    del sender


ANSWERS = {
    "always": (0.0, {}, "always answers, however uncertain it is (precision = 0)"),
    "some": (
        0.25, {"wanted_precision": 0.5, "precision": 0.6, "coverage": 0.4},
        "answers 40 % of events out of fold; 60 % of these answers are right (50 % promised)",
    ),
    "old": (0.25, {}, "answers where the probability is at least 0.25"),
    "never": (2.0, {"wanted_precision": 0.8}, "never answers: a precision of 0.8 was not shown"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_inspect_says_what_is_proven_and_when_it_answers(name: str, tmp_path, capsys) -> None:
    threshold, inner, told = ANSWERS[name]
    model = replace(
        certified(FINAL, out_of_fold=inner), posterior=PosteriorParameters(3.0, threshold, 0.8)
    )
    save_model(model, tmp_path / "m.safetensors")
    out = " ".join(call(capsys, "inspect", tmp_path / "m.safetensors").out.split())
    assert "proven yes: p = 0.01, 0.300 bits a word" in out
    assert told in out
