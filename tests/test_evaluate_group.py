"""`rt-calibrate evaluate` of a group model: aligned as `rt-decoder decode` aligns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.confidence import log_posterior
from calibration.demo import save_recording
from calibration.design import build_design
from calibration.evaluate import aligned_evidence, evaluate, evidence
from calibration.events import label_recording
from rt_decoder.decoding.features import scale_features
from rt_decoder.files.model_file import save_model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from tests.new_person import RULES, group, person
from tests.small import WORDS, call

NEW = person(7)


def designed(model):
    labelled = label_recording(NEW, None, model.recipe, RULES)
    return build_design(model, [labelled]).answered_only()


def test_each_event_is_decoded_as_decode_does() -> None:
    model = group()
    design = designed(model)
    found = aligned_evidence(model, design.X, design.run)
    posterior = np.exp(log_posterior(found, model.posterior, model.log_prior, model.item_bias))
    answers = list(decode_recording(model, NEW, NEW.markers, PipelineOptions(RULES)))
    assert len(answers) == len(posterior) > 40
    for answer, row in zip(answers, posterior, strict=True):
        expected = row[[WORDS.index(word) for word in answer.words]]
        np.testing.assert_allclose(answer.probabilities, expected, atol=2e-4)


def test_recordings_are_aligned_apart_and_the_first_events_by_the_group() -> None:
    model = group()
    design = designed(model)
    alone = aligned_evidence(model, design.X, design.run)
    twice = aligned_evidence(
        model, np.vstack([design.X, design.X]), np.repeat([0, 1], len(design.X))
    )
    np.testing.assert_array_equal(twice.cosines, np.vstack([alone.cosines, alone.cosines]))
    scaled = scale_features(design.X, model.center, model.scale, model.recipe.features.clamp)
    stored = evidence(model, scaled)
    np.testing.assert_allclose(alone.cosines[:20], stored.cosines[:20], atol=1e-6)
    assert np.abs(alone.cosines[20:] - stored.cosines[20:]).max() > 0.05
    with pytest.raises(ValueError, match="need a model with alignment"):
        aligned_evidence(replace(model, alignment=None), design.X, design.run)


def test_the_command_tells_what_decoding_would_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = group()
    save_model(model, tmp_path / "group.rtd.safetensors")
    save_recording(NEW, tmp_path / "new.xdf")
    ran = call(
        capsys, "evaluate", tmp_path / "new.xdf", "--model", tmp_path / "group.rtd.safetensors",
        "--json", program="calibration",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    scores = json.loads(ran.out.splitlines()[-1])["scores"]
    assert scores["aligned"] is True
    design = designed(model)
    found = aligned_evidence(model, design.X, design.run)
    expected = evaluate(model, design.X, design.labels, found=found)
    assert scores["rank_accuracy"] == pytest.approx(expected["rank_accuracy"], abs=1e-3)
