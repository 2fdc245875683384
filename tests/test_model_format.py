"""Files of older formats: read as what they were, or refused with what to do."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.design import draft_model
from rt_decoder.files.model_file import ModelCorrupt, load_model, model_hash, save_model
from rt_decoder.files.model_format import FORMAT_VERSION, pack
from rt_decoder.model import Model
from rt_decoder.recipe import Clean
from rt_decoder.recorded import decode_recording
from tests.hand_written import write_model
from tests.small import random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=20.0)


@pytest.fixture(scope="module")
def model() -> Model:
    """A model that takes out the mains and the eyes, with a report on them."""
    recipe = small_recipe(
        fit={"purge": 2.0},
        stream={"picks": ["eeg"], "bads": "keep"},
        clean={"mains": "adaptive", "stages": list(Clean().stages)},
        features={"whiten": 0.0, "clamp": 20.0},
        target={"names": {"1": "word0"}, "fold": False, "power": 1.0},
    )
    return replace(
        random_model(RECORDING, recipe),
        cleaning={"mains": {"line_freq": 50.0, "harmonics": 1}, "eye": eye_tensors()},
        certificate={"cleaning": {"mains": {"line_freq": 50.0}, "eye": {"rank": 2}}, "seed": 0},
        versions={"python": "3.11"},
    )


# Every key of format 1, as the last program that wrote it had them.
RECIPE_1: dict[str, dict[str, Any]] = {
    "stream": {"picks": ["eeg"], "reference": "average", "line_freq": 50.0, "hop_ms": 10.0},
    "filter": {"l_freq": 0.5, "h_freq": 30.0, "order": 2, "notch": True},
    "clean": {
        "stages": ["muscle", "repair", "eye", "regressors", "heartbeat"],
        "references": ["eog", "ecg", "resp", "emg"],
        "projections": ["ssp"],
        "line": "adaptive",
    },
    "features": {
        "kind": "amplitude", "tmin": 0.0, "tmax": 0.8, "decim": 12, "baseline": [],
        "bands": [[4.0, 8.0], [8.0, 13.0], [13.0, 30.0]], "band_order": 4, "clamp": 20.0,
    },
    "target": {
        "label": "", "names": {"1": "word0"}, "embedding": "minilm", "layer": -1,
        "pooling": "mean", "context": "", "vocabulary": "",
    },
    "fit": {
        "groups": "", "n_blocks": 4, "purge": 2.0, "final_block": 0.2, "alphas": [], "rank": 64,
        "n_permutations": 19, "seed": 0,
    },
    "readout": {
        "prior": "uniform", "precision": 0.0, "min_quality": 0.8, "budget_ms": 50.0, "top": 10
    },
}  # fmt: skip


def format_1(model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and tensors as format 1 had them."""
    info = model.info
    head = {
        "format_version": 1,
        "info": {
            "sfreq": info.sfreq,
            "ch_names": list(info.ch_names),
            "ch_types": list(info.ch_types),
            "units": list(info.units),
        },
        "recipe": copy.deepcopy(RECIPE_1),
        "items": list(model.items),
        "posterior": {"tau": 3.0, "threshold": 0.0, "min_quality": 0.8} if model.items else {},
        "certificate": {"cleaning": {"line": {"line_freq": 50.0}, "eye": {"rank": 2}}, "seed": 0},
        "references": list(model.references),
        "cleaning": {"line": {"line_freq": 50.0, "harmonics": 1}, "eye": {}},
        "versions": {"python": "3.11"},
    }
    tensors = {
        name: getattr(model, name)
        for name in (
            "sos", "channel_scale", "channel_jump", "center", "scale", "weights", "offset", "basis",
            "target_mean", "vectors", "log_prior",
        )
        if getattr(model, name).size
    }  # fmt: skip
    tensors |= {f"cleaning.eye.{name}": array for name, array in eye_tensors().items()}
    return head, tensors


def eye_tensors() -> dict[str, np.ndarray]:
    mixing = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 2)))[0]
    return {"mixing": mixing, "unmixing": mixing, "rest_scale": np.full(2, 1e-5)}


def answers(model: Model) -> list[tuple[Any, ...]]:
    return timeless(list(decode_recording(model, RECORDING, RECORDING.markers)))


def test_a_file_of_format_1_says_the_same_words(model: Model, tmp_path: Path) -> None:
    old = load_model(write_model(tmp_path / "old", *format_1(model)))
    assert old.recipe == model.recipe
    assert old.recipe.clean.mains == "adaptive"
    assert set(old.cleaning) == {"mains", "eye"}
    assert old.certificate == model.certificate
    assert old.posterior == model.posterior
    assert answers(old) == answers(model) != []
    same = replace(model, channel_level=np.zeros(0))  # format 1 had none
    assert model_hash(old) == model_hash(same) == save_model(old, tmp_path / "new")
    with_hash = json.loads(pack(load_model(tmp_path / "new"))[0])
    assert with_hash["format_version"] == FORMAT_VERSION == 5


def test_a_file_of_format_2_takes_labels_and_channels_as_its_program_did(
    model: Model, tmp_path: Path
) -> None:
    text, tensors = pack(model)
    head = json.loads(text) | {"format_version": 2}
    forget(head, {"stream": ("bads",), "target": ("include", "exclude", "fold")})
    forget_whitening(head)
    old = load_model(write_model(tmp_path / "old", json.dumps(head), tensors))
    assert old.recipe == model.recipe
    assert (old.recipe.stream.bads, old.recipe.target.fold) == ("keep", False)
    assert answers(old) == answers(model)


def test_a_file_of_format_3_knows_no_whitening(model: Model, tmp_path: Path) -> None:
    text, tensors = pack(model)
    head = json.loads(text) | {"format_version": 3}
    forget_whitening(head)
    old = load_model(write_model(tmp_path / "old", json.dumps(head), tensors))
    assert old.recipe == model.recipe
    assert (old.recipe.features.whiten, old.recipe.target.power) == (0.0, 1.0)
    assert (old.posterior.length, old.posterior.floor) == (0.0, 0.0)
    assert old.continuous is old.alignment is None
    assert answers(old) == answers(model)


def forget(head: dict[str, Any], keys: dict[str, tuple[str, ...]]) -> None:
    for section, names in keys.items():
        for name in names:
            del head["recipe"][section][name]


def forget_whitening(head: dict[str, Any]) -> None:
    """Take out what format 4 added."""
    sections = {"features": ("whiten",), "target": ("power",)}
    forget(head, sections | {"readout": ("repeats", "false_alarms")})
    for name in ("length", "floor", "nothing"):
        del head["posterior"][name]
    for name in ("continuous", "alignment", "pooling"):
        del head[name]


def test_a_model_without_a_map_has_an_empty_posterior(tmp_path: Path) -> None:
    head, tensors = format_1(draft_model([RECORDING], small_recipe()))
    assert head["posterior"] == {}
    old = load_model(write_model(tmp_path / "old", head, tensors))
    assert not old.has_map
    assert old.posterior.tau == 0.0
    save_model(old, tmp_path / "new")
    assert load_model(tmp_path / "new").posterior == old.posterior
    with pytest.raises(ModelCorrupt, match="too few: floor, length, nothing, tau"):
        load_model(write_model(tmp_path / "m", head | {"posterior": {"tau": 1.0}}, tensors))


def test_tensors_of_the_stage_follow_its_name(model: Model, tmp_path: Path) -> None:
    head, tensors = format_1(model)
    path = write_model(tmp_path / "old", head, tensors | {"cleaning.line.gain": np.ones(3)})
    with pytest.raises(ModelCorrupt, match="unknown argument gain of cleaning stage mains"):
        load_model(path)


CANNOT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "before there was cleaning": lambda head: head["recipe"].pop("clean"),
    "no references": lambda head: head.pop("references"),
    "a list of stages": lambda head: head.update(cleaning=["line"]),
    "a list as certificate": lambda head: head.update(certificate=[1]),
    "a number as recipe": lambda head: head.update(recipe=3),
    "both names": lambda head: head["recipe"]["clean"].update(mains="notch"),
    "a setting that is refused today": lambda head: head["recipe"]["fit"].update(purge=-2.0),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_read_any_more_is_to_be_fitted_again(
    name: str, model: Model, tmp_path: Path
) -> None:
    head, tensors = format_1(model)
    CANNOT[name](head)
    with pytest.raises(ModelCorrupt) as refused:
        load_model(write_model(tmp_path / "old", head, tensors))
    said = str(refused.value)
    assert said.startswith("old has format 1 and cannot be read any more (")
    assert said.endswith("fit it again with rt-calibrate fit")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda head: head["recipe"]["features"].pop("tmax"), r"need tmax in \[features\]"),
        (lambda head: head["recipe"].pop("readout"), r"need prior in \[readout\]"),
        (lambda head: head["posterior"].pop("tau"), "need tau, threshold, min_quality"),
        (lambda head: head["posterior"].update(x=1), "too few: x"),
        (lambda head: head["info"].update(ch_names="abc"), "need ch_names to be a list"),
        (lambda head: head["info"].update(sfreq="250"), "need the sampling rate"),
        (lambda head: head["info"].update(sfreq=True), "need the sampling rate"),
        (lambda head: head["recipe"]["readout"].update(top=True), "need top in"),
        (lambda head: head.update(versions={"python": 3}), "need versions"),
        (lambda head: head["certificate"].update(x="\ud800"), "surrogates"),
    ],
)
def test_a_file_of_today_holds_all_of_its_settings(change, why, model, tmp_path) -> None:
    text, tensors = pack(model)
    head = json.loads(text)
    change(head)
    with pytest.raises(ModelCorrupt, match=rf"m is incomplete or inconsistent: .*{why}"):
        load_model(write_model(tmp_path / "m", json.dumps(head), tensors))
