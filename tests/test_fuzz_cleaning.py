"""Whatever a model file says of a cleaning stage: it cleans, or it is refused in one sentence.

Each argument of each stage is replaced by values of other types, shapes and sizes, under a true
hash. `RT_DECODER_FUZZ=20` runs twenty times as many examples.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_decoder.cleaning.stages import CLEANING, FLOW
from rt_decoder.decoder import Decoder
from rt_decoder.files.model_file import ModelCorrupt, load_model
from rt_decoder.files.model_format import pack
from rt_decoder.model import Model
from tests.hand_written import write_model
from tests.small import random_model, small_recipe, small_recording
from tests.test_fuzz import HOSTILE, answer, bounded, fuzz

RECORDING = small_recording(seconds=4.0)
DRAFT = random_model(RECORDING, small_recipe(clean={"stages": ["eye"]}))
INFO, N_DATA = DRAFT.info, DRAFT.n_picks


def arguments() -> dict[str, dict[str, Any]]:
    """Every argument of every stage, all good."""
    rng, c = np.random.default_rng(0), INFO.n_channels
    basis = np.linalg.qr(rng.standard_normal((N_DATA, 2)))[0]
    neighbors = np.full((c, 2), -1)
    neighbors[:N_DATA] = (np.arange(N_DATA)[:, None] + [1, 2]) % N_DATA
    return {
        "muscle": {
            "scale": np.full(c, 1e-6), "far": np.full(c, 1e-4), "on": 2.0, "off": 1.4,
            "line_freq": 50.0, "accelerometer": ("RESP",), "acc_limit": 1.0,
        },
        "mains": {"line_freq": 50.0, "harmonics": 2, "time_constant": 1.0},
        "repair": {
            "neighbors": neighbors, "weights": np.full((3, c, 2), 0.5),
            "limits": np.array([[1e-4], [0.25], [0.04], [1e-8], [0.1]]) * np.ones(c),
            "bad": np.arange(c) == 2,
        },
        "projector": {"matrix": np.eye(N_DATA) - basis @ basis.T},
        "eye": {
            "mixing": basis, "unmixing": basis, "rest_scale": np.full(2, 1e-5), "threshold": 4.0,
            "release_s": 0.4, "drift": np.stack([basis[:, 0], basis[:, 0]]), "drift_power": 0.01,
        },
        "regressors": {
            "names": ("ECG", "RESP"), "taps": np.array([[0, 0], [0, 2], [1, 0]]),
            "weights": np.full((3, N_DATA), 1e-6), "inverse": np.eye(3) + 0.5,
            "scale": np.array([1e-4, 1.0]), "limit": np.array([1e-2, 9.0]),
            "spread": np.full(N_DATA, 1e-5), "reach": np.full(2, 1e3), "smoothing": np.zeros(2),
            "watched": np.full((2, N_DATA + 6), 0.5),
            "time_constant": 60.0, "leakage": 120.0, "box": 1.0, "clip": 5.0, "most_trace": 2.0,
            "silent": 0.1, "holdoff": 0.25, "notable": 0.1, "max_rate": 250.0,
        },
        "heartbeat": {
            "source": np.array([kind == "ecg" for kind in INFO.ch_types], float),
            "maps": 1e-6 * basis.T, "filters": 1e6 * basis.T,
            "courses": rng.standard_normal((100, 2)),
            "levels": np.array([1e-3, 1e-5, INFO.sfreq, 1.0, 1e-7, 1e-7, 1e-5, 1e-3, 0.35, 0.02]),
            "n_beats": 50.0,
            "watched": np.ones(2),
        },
    }  # fmt: skip


MODEL = replace(DRAFT, cleaning=arguments())
ARGUMENTS = [(stage, name) for stage, found in MODEL.cleaning.items() for name in found]


def two_hops(model: Model) -> None:
    """Build a pipeline and clean two hops."""
    decoder, n = Decoder(model, RECORDING.info), 2 * model.n_hop
    decoder.push(RECORDING.data[:n], RECORDING.stamps[:n])
    assert decoder.pipeline.ring.next == n


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    two_hops(MODEL)  # what is compiled takes memory
    return tmp_path_factory.mktemp("cleaning")


def refused(path: Path) -> str:
    """What is said of a file that is no model."""
    with bounded(), pytest.raises(ModelCorrupt) as caught:
        load_model(path)
    said = str(caught.value)
    assert said.startswith("m is incomplete or inconsistent: "), said
    assert "\n" not in said
    assert len(said) < 500
    return said


def test_every_argument_of_every_stage_is_here() -> None:
    assert tuple(MODEL.cleaning) == CLEANING
    for stage in CLEANING:
        assert ["info", *MODEL.cleaning[stage]] == list(
            inspect.signature(FLOW[stage].make).parameters
        )


NUMBERS = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-320, 1e-60, 1e60, 1e308, -1e308, 1e9]


@st.composite
def arrays(draw: st.DrawFn, good: np.ndarray) -> np.ndarray:
    """An array of another type or shape, or with an odd number in it."""
    kind = draw(st.sampled_from(("dtype", "shape", "number", "all", "times", "whole")))
    if kind == "dtype":
        with np.errstate(all="ignore"):
            return good.astype(draw(st.sampled_from(["f4", "f2", "i8", "i4", "u1", "?"])))
    if kind == "shape":
        shapes = [good[:0], good[:1], good[1:], good.T, good[None], good.ravel(), good[..., None]]
        return np.ascontiguousarray(draw(st.sampled_from([*shapes, np.concatenate([good] * 2)])))
    if kind == "times":
        return good * draw(st.sampled_from([0.0, -1.0, 1e-30, 1e-9, 1e9, 1e30]))
    if kind == "whole":
        numbers = st.sampled_from([0, 1, -1, -2, 2**31, 2**40, 2**62, -(2**62)])
        out = good.astype(np.int64)
        out.flat[draw(st.integers(0, good.size - 1))] = draw(numbers)
        return out
    out = good.astype(float)
    if kind == "all":
        out[:] = draw(st.sampled_from(NUMBERS))
    else:
        out.flat[draw(st.integers(0, good.size - 1))] = draw(st.sampled_from(NUMBERS))
    return out


@pytest.mark.parametrize(("stage", "name"), ARGUMENTS)
@fuzz(8)
@given(data=st.data())
def test_any_value_of_an_argument(stage: str, name: str, data: st.DataObject, folder: Path) -> None:
    text, tensors = pack(MODEL)
    head, good = json.loads(text), MODEL.cleaning[stage][name]
    place, plain = f"cleaning.{stage}.{name}", head["cleaning"][stage]
    value: Any = data.draw(
        HOSTILE
        | st.sampled_from([*NUMBERS, 2**40, True, [], [[]], [[1.0], [1.0, 2.0]], {"x": 1}, "ECG"])
        | (arrays(good) if isinstance(good, np.ndarray) else st.just(np.ones(3)))
    )
    tensors.pop(place, None)
    if isinstance(value, np.ndarray) and data.draw(st.booleans()):
        tensors[place] = value
        plain.pop(name, None)
    else:
        plain[name] = value.tolist() if isinstance(value, np.ndarray) else value
    path = write_model(folder / "m", json.dumps(head), tensors)
    try:
        with bounded():
            model = load_model(path)
    except ModelCorrupt:
        said = refused(path)
        assert f"cleaning stage {stage}: " in said
        return
    answer(two_hops, model)  # without a complaint of numpy
    two_hops(model)


@pytest.mark.parametrize(("stage", "name"), ARGUMENTS)
def test_an_argument_of_text_is_refused_by_name(stage: str, name: str, folder: Path) -> None:
    text, tensors = pack(MODEL)
    head = json.loads(text)
    tensors.pop(f"cleaning.{stage}.{name}", None)
    head["cleaning"][stage][name] = "ECG"
    said = refused(write_model(folder / "m", head, tensors))
    assert f"cleaning stage {stage}: need {name} to be " in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: found["regressors"].update(taps=[[0, 0], [1, 1 << 40]]), "need taps"),
        (lambda found: found["regressors"].update(names="ECG"), "need names to be a list"),
        (lambda found: found["regressors"].update(names=["ECG", "Fz"]), "among .*, ECG, RESP"),
        (lambda found: found["mains"].update(harmonics=10**400), "need harmonics"),
        (lambda found: found["mains"].update(line_freq=[50.0]), "need line_freq"),
        (lambda found: found["mains"].update(gain=1.0), "unknown argument gain of .* mains"),
        (lambda found: found["mains"].update(info=1.0), "unknown argument info of .* mains"),
        (lambda found: found["mains"].update({"a\nb": 1.0}), r"unknown argument 'a\\nb' of"),
        (lambda found: found["mains"].pop("line_freq"), "need line_freq of .* mains, got none"),
        (lambda found: found.update(reverb={}), "unknown cleaning stage reverb; known are muscle"),
        (lambda found: found.update(mains=[50.0]), r"need a table as mains, got \[50.0\]"),
        (lambda found: found["eye"].update(mixing=[[1.0]]), "need mixing of .* eye once"),
        (lambda found: found.pop("eye"), "need cleaning stage eye in the header"),
    ],
)
def test_what_is_wrong_is_said(change: Any, why: str, folder: Path) -> None:
    text, tensors = pack(MODEL)
    head = json.loads(text)
    if "taps" in why:
        del tensors["cleaning.regressors.taps"]
    change(head["cleaning"])
    path = write_model(folder / "m", head, tensors)
    with pytest.raises(ModelCorrupt, match=why):
        load_model(path)
    refused(path)
