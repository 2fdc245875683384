"""The tables of stages, live and fitted: they agree, and hold all that a stage needs."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any

import numpy as np
import pytest

from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut
from calibration.cleaning.stages import FITS
from calibration.report.html import report_page
from calibration.report.stretch import look
from calibration.report.text import cleaning_lines
from rt_decoder.cleaning.stages import CLEANING, FLOW
from rt_decoder.decoder import Decoder
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline, PipelineOptions
from rt_decoder.recipe import STAGES, Clean
from rt_decoder.recorded import hops_of_recording
from tests import contract
from tests.cleaned import drafted, fitted, labelled, scene
from tests.small import random_model, small_recipe

MAINS = {"line_freq": 50.0, "harmonics": 1, "attenuation_db": [30.0], "preserved": [0.99]}
PROJECTOR = {"ssp": ["PCA-v1", "PCA-v2"], "sss": True, "rank": 60, "left": {}}


def everything() -> tuple[Model, dict[str, Any]]:
    """Make a model with every stage, and a report of every cleaning stage."""
    model, report = fitted()
    report = report | {"mains": MAINS, "projector": PROJECTOR}
    n_data = sum(kind == "eeg" for kind in model.info.ch_types)
    added = {"mains": {"line_freq": 50.0}, "projector": {"matrix": np.eye(n_data)}}
    recipe = small_recipe(clean={"stages": list(STAGES)}, features={"kind": "bandpower"})
    powers = random_model(scene(), recipe)
    certificate = {"cleaning": report}
    model = replace(powers, cleaning=model.cleaning | added, certificate=certificate)
    return model, report


def test_every_cleaning_stage_is_fitted_and_every_fit_has_a_stage() -> None:
    assert set(FITS) == set(CLEANING)


def test_the_recipe_lists_stages_without_a_key() -> None:
    by_keys = {"mains", "projector"}
    assert tuple(name for name in CLEANING if name not in by_keys) == STAGES
    assert Clean().stages == STAGES
    # keys ask for none of these, and each name asks for its stage alone
    session = labelled(scene())
    for name in CLEANING:
        draft = drafted(scene(), [name] if name in STAGES else [])
        asked = {other for other, row in FITS.items() if row.asked(Seen(draft, [session], other))}
        assert asked == {name} & set(STAGES)


def test_the_pipeline_has_every_stage_in_the_order_of_the_table() -> None:
    model, _ = everything()
    assert list(Pipeline(model, factor=2).stages) == list(FLOW)
    for without in ((), ("mains", "eye"), CLEANING):
        stages = list(Pipeline(model, PipelineOptions(without=without)).stages)
        assert stages == [name for name in FLOW if name not in {"decimate", *without}]


@pytest.mark.parametrize("name", FLOW)
def test_every_stage_has_a_contract_case_and_a_title(name: str) -> None:
    classes = {type(case.make(contract.INFO)) for case in contract.STAGES.values()}
    assert FLOW[name].make in classes
    assert FLOW[name].title
    assert [row.title for row in FLOW.values()].count(FLOW[name].title) == 1


def test_every_cleaning_stage_has_words_in_both_reports() -> None:
    model, found = everything()
    stretch = look(fitted()[0], [labelled(scene())])
    page = report_page(model, stretch)
    page = " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page)).split())
    lines = cleaning_lines(found)
    assert len(lines) == 1 + len(CLEANING)
    for name in CLEANING:
        assert [line for line in lines if line.startswith(f"  {name} ") and len(line) > 20]
        assert page.count(FLOW[name].title) == 2  # a row and a heading
        summary = FITS[name].summary(found[name])
        assert any(summary)
        for said in summary:
            assert " ".join(said.split()) in page
    text = "\n".join(lines)
    assert "50 Hz; taken out: 50 Hz at least 30.0 dB; kept: 99.0 % of the power" in text
    sources = "PCA-v1, PCA-v2, signal-space separation"
    assert FITS["projector"].summary(PROJECTOR) == (sources, "", "rank 60")


def test_both_reports_show_why_a_stage_is_left_out() -> None:
    found = {name: {"left_out": f"because of {name}"} for name in CLEANING}
    model = replace(fitted()[0], certificate={"cleaning": found})
    page = report_page(model, look(fitted()[0], [labelled(scene())]))
    for name, line in zip(CLEANING, cleaning_lines(found)[1:], strict=True):
        assert line == f"  {name:<11} left out: because of {name}"
        assert page.count(f"because of {name}") == 2


def test_leaving_out_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="need a reason"):
        LeftOut("")


@pytest.mark.parametrize(
    ("stage", "before", "there"),
    [
        ("muscle", "guard", ()),
        ("mains", "muscle", ("muscle",)),
        ("repair", "filter", ("muscle", "mains")),
        ("eye", "rereference", ("repair",)),
        ("regressors", "rereference", ()),
        ("regressors", "eye", ("eye",)),
        ("heartbeat", "regressors", ("regressors",)),
        ("heartbeat", "eye", ("eye",)),
    ],
)
def test_a_stage_is_fitted_on_the_output_of_the_one_before(
    stage: str, before: str, there: tuple[str, ...]
) -> None:
    whole = everything()[0].cleaning
    model = replace(fitted()[0], cleaning={name: whole[name] for name in there})
    recording = scene(session=3, seconds=6.0, cued=False)
    seen = Seen(model, [labelled(recording)], stage).samples
    decoder = Decoder(model, recording.info)
    hops = hops_of_recording(decoder, recording, recording.markers, before)
    expected = np.concatenate([hop.data.copy() for hop in hops])
    assert seen.data.tobytes() == expected[: len(seen.data)].tobytes()
    assert len(expected) - len(seen.data) <= model.n_hop


def test_recordings_run_once_and_only_when_samples_are_needed() -> None:
    seen = Seen(drafted(scene()), [], "eye")  # only a look at the samples finds nothing to run
    with pytest.raises(ValueError, match="at least one hop"):
        _ = seen.samples
    seen = Seen(drafted(scene()), [labelled(scene(session=3, seconds=6.0, cued=False))], "eye")
    assert seen.samples is seen.samples
