"""The model file: whole, unaltered and finite, or refused."""

from __future__ import annotations

import stat
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.files.model_file import ModelCorrupt, load_model, model_hash, save_model
from rt_decoder.model import (
    TENSORS,
    Alignment,
    Language,
    Model,
    Pooling,
    PosteriorParameters,
    WindowMap,
)
from rt_decoder.recorded import decode_recording
from tests.small import random_model, small_recipe, small_recording, timeless

RECORDING = small_recording(seconds=4.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return replace(random_model(RECORDING, small_recipe()), certificate={"Säge": None})


@pytest.fixture(scope="module")
def saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.rtd.safetensors"
    save_model(model, path)
    return path


def test_what_was_saved_is_what_is_loaded(model: Model, saved: Path) -> None:
    again = load_model(saved)
    for field in fields(Model):
        before, after = getattr(model, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before, strict=True)
            assert not after.flags.writeable
        elif field.name == "info":
            for name in ("sfreq", "ch_names", "ch_types", "units"):
                assert getattr(after, name) == getattr(before, name)
            np.testing.assert_array_equal(after.positions, before.positions)
        else:
            assert after == before, field.name
    assert model_hash(again) == model_hash(model)
    answers = [
        timeless(list(decode_recording(m, RECORDING, RECORDING.markers))) for m in (model, again)
    ]
    assert answers[0] == answers[1] != []


@pytest.mark.parametrize("n_items", [(1 << 14) - 1, 1 << 14, (1 << 15) + 7])  # pieces end there
def test_a_large_vocabulary_is_read_in_pieces_to_the_bit(n_items: int, tmp_path: Path) -> None:
    large = random_model(RECORDING, small_recipe(), items=[f"w{i}" for i in range(n_items)])
    save_model(large, tmp_path / "large.rtd.safetensors")
    loaded = load_model(tmp_path / "large.rtd.safetensors")
    assert np.array_equal(loaded.vectors, large.vectors)
    assert loaded.items == large.items


def test_the_file_is_private_and_alone(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert list(saved.parent.iterdir()) == [saved]


def test_the_same_model_has_the_same_hash(model: Model, saved: Path, tmp_path: Path) -> None:
    digest = save_model(load_model(saved), tmp_path / "again")
    assert digest == model_hash(model) == model_hash(load_model(tmp_path / "again"))


def test_the_hash_sees_every_field(model: Model) -> None:
    changes = {
        "info": replace(model.info, sfreq=251.0),
        "recipe": replace(model.recipe, fit=replace(model.recipe.fit, seed=1)),
        "items": ("other", *model.items[1:]),
        "posterior": replace(model.posterior, tau=3.5),
        "continuous": model.posterior,
        "alignment": Alignment(),
        "pooling": Pooling(),
        "windows": (WindowMap(0.5, *np.ones((3, 1, 1)), PosteriorParameters(tau=1.0)),),
        "item_bias": np.zeros(len(model.items)),
        "covariance": np.eye(len(model.center)),
        "prior_gram": np.eye(len(model.center)),
        "target_lengths": np.ones(len(model.items)),
        "target_transform": np.eye(len(model.target_mean)),
        "set_cutoffs": np.ones(99),
        "language_cutoffs": np.ones(99),
        "language": Language(0.5),
        "certificate": {},
        "references": ("ECG",),
        "cleaning": {"eye": {"mixing": np.ones((2, 1)), "threshold": 3.0}},
        "monitor": {"events": {"ar": np.ones(3), "spread": 0.5}},
        "versions": {"python": "4"},
    }
    for field in fields(Model):
        array = getattr(model, field.name)
        if isinstance(array, np.ndarray) and array.size:
            other = array.copy()
            other.flat[-1] = np.nextafter(other.flat[-1], np.inf)
            changes[field.name] = other
    assert changes.keys() == {field.name for field in fields(Model)}
    hashes = {model_hash(replace(model, **{k: v})) for k, v in changes.items()}
    assert len(hashes | {model_hash(model)}) == len(changes) + 1


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_altered_byte_is_noticed(saved: Path, tmp_path_factory, data) -> None:
    content = bytearray(saved.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    altered = tmp_path_factory.getbasetemp() / "altered.safetensors"
    altered.write_bytes(content)
    with pytest.raises(ModelCorrupt, match=r"altered\.safetensors"):
        load_model(altered)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_cut_is_noticed(saved: Path, tmp_path_factory, data) -> None:
    content = saved.read_bytes()
    cut = tmp_path_factory.getbasetemp() / "cut.safetensors"
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ModelCorrupt, match=r"cut\.safetensors"):
        load_model(cut)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scale": np.ones(3)}, "scale"),
        ({"channel_scale": np.ones(3)}, "channel_scale"),
        ({"sos": np.ones((2, 5))}, "sos"),
        ({"items": ("one", "two")}, "vectors"),
        ({"weights": np.full((128, 5), np.nan, np.float32)}, "finite"),
        ({"cleaning": {"mains": {"line_freq": 200}}}, "stage mains: need line_freq between"),
    ],
)
def test_what_does_not_fit_together_is_never_written(model, tmp_path, changes, why) -> None:
    with pytest.raises(ValueError, match=why):
        save_model(replace(model, **changes), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_keeps_the_old_model(model: Model, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "m"
    save_model(model, path)
    before = path.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def replace_fails(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace_fails)
    new = replace(model, certificate={"seed": 1})
    with pytest.raises(
        OSError, match=r"cannot write m in .* space left.*; it is kept as .*elsewhere"
    ):
        save_model(new, path, overwrite=True)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "elsewhere", path]
    assert model_hash(load_model(tmp_path / "elsewhere" / "m")) == model_hash(new)


def test_nothing_of_a_model_changes(model: Model) -> None:
    report, array = {"rank": 2}, np.ones(3)
    changed = replace(
        model, certificate=report, cleaning={"eye": {"mixing": array, "names": ["a"]}}
    )
    report["rank"] = 3
    assert changed.certificate == {"rank": 2}
    assert changed.cleaning["eye"]["names"] == ("a",)
    assert changed.cleaning["eye"]["mixing"] is array  # no copy
    for table in (changed.certificate, changed.versions, changed.cleaning, changed.cleaning["eye"]):
        with pytest.raises(TypeError):
            table["x"] = 1
    for name in TENSORS:
        assert not getattr(changed, name).flags.writeable, name
    assert not array.flags.writeable
    assert model.certificate == {"Säge": None}  # as it was
    assert replace(changed).certificate == changed.certificate


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tau": np.nan}, "need tau in the posterior"),
        ({"tau": -1.0}, "need tau"),
        ({"threshold": "0"}, "need threshold"),
        ({"min_quality": 1.5}, "need min_quality"),
    ],
)
def test_a_posterior_is_checked(changes, why) -> None:
    with pytest.raises(ValueError, match=why):
        PosteriorParameters(**changes)


def test_a_hop_is_never_shorter_than_a_sample(model: Model) -> None:
    recipe = replace(model.recipe, stream=replace(model.recipe.stream, hop_ms=0.1))
    assert replace(model, recipe=recipe).n_hop == 1
    assert model.n_hop == 2
