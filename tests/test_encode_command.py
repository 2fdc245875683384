"""``rt-calibrate encode`` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.demo import save_recording
from tests.small import WORDS, call, save_small, small_recording


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new recording of the participant, and a model."""
    folder = tmp_path_factory.mktemp("encode")
    save_recording(small_recording(session=2), folder / "rec.xdf")
    save_small(folder / "model.rtd.safetensors")
    return folder


def test_what_the_network_predicts_is_told_drawn_and_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = call(
        capsys, "encode", folder / "rec.xdf", "--model", folder / "model.rtd.safetensors",
        "--permutations", "39", "--step", "0.1", "--report", tmp_path / "brain.html", "--json",
        program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out.splitlines()[-1])["encoding"]
    shape = (len(found["ch_names"]), len(found["times"]))
    assert shape == (8, 9)
    for name in ("r", "low", "high", "p", "strength"):
        assert np.shape(found[name]) == shape
    assert found["best"]["r"] == np.max(found["r"]) > 0.2  # of a participant who answers strongly
    assert found["best"]["p"] == found["p_smallest"] == 0.025
    assert found["n_channels_above_chance"] > 0
    assert found["unique"]["nuisance"] == ["length", "position in run", "interval"]
    assert found["unique"]["total"]["p"] <= 0.05
    assert np.shape(found["decoder_pattern"])[0] == 8
    assert np.abs(np.array(found["strength"])).max() < 1e-4  # V
    for told in ("largest r", "channels", "share", f"of {len(WORDS)} items"):
        assert told in ran.out
    page = (tmp_path / "brain.html").read_text(encoding="utf-8")
    assert page.count("<figure>") >= 6  # r and patterns on the head and over time, null, share
    assert "<script" not in page
    assert "Above chance: in" in page
    assert "positions of the channel names, 10-05 system" in page


@pytest.mark.slow
def test_layers_ceiling_and_learning_curve_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = call(
        capsys, "encode", folder / "rec.xdf", "--model", folder / "model.rtd.safetensors",
        "--permutations", "19", "--step", "0.2", "--language-model", "minilm", "--all-layers",
        "--learning", "--report", tmp_path / "brain.html", "--json", program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out.splitlines()[-1])["encoding"]
    assert [row["name"] for row in found["layers"]["layers"]][:2] == ["input", "layer 1"]
    assert np.shape(found["layer_maps"]["r"]) == (7, *np.shape(found["r"]))
    assert found["ceiling"]["r"] is not None
    for told in ("  ceiling ", "  learning ", "  layers ", "  order "):
        assert told in ran.out
    page = (tmp_path / "brain.html").read_text(encoding="utf-8")
    for told in (
        "Ceiling",
        "Learning curve",
        "p of no difference",
        "as good as the best",
        "power law",
    ):
        assert told in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--all-layers",), "need --language-model"),
        (("--hidden-layer", "2"), "need --language-model"),
        (("--envelope", "sound"), "need a channel among"),
        (("--start", "0.5", "--end", "0.2"), "need tmax above tmin"),
        (("--language", "xx-none"), "need a language"),
    ],
)
def test_what_cannot_be_encoded_is_refused_in_one_sentence(
    folder: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / "model.rtd.safetensors"
    ran = call(
        capsys, "encode", folder / "rec.xdf", "--model", model, *arguments, program="calibration"
    )
    assert ran.code in (1, 2)
    assert said in ran.err
    assert "Traceback" not in ran.err
