"""The table of stages: the pipeline follows it, and it holds all that a stage needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rt_decoder.cleaning.stages import CLEANING, FLOW
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline
from rt_decoder.recipe import STAGES, Clean
from tests import contract
from tests.cleaned import fitted, scene
from tests.small import random_model, small_recipe


def everything() -> Model:
    """A model with every stage there is."""
    model, _ = fitted()
    n_data = sum(kind == "eeg" for kind in model.info.ch_types)
    added = {"mains": {"line_freq": 50.0}, "projector": {"matrix": np.eye(n_data)}}
    recipe = small_recipe(clean={"stages": list(STAGES)}, features={"kind": "bandpower"})
    return replace(random_model(scene(), recipe), cleaning=model.cleaning | added)


def test_the_recipe_names_the_stages_that_have_no_key_of_their_own() -> None:
    by_keys = {"mains", "projector"}
    assert tuple(name for name in CLEANING if name not in by_keys) == STAGES
    assert Clean().stages == STAGES


def test_the_pipeline_has_every_stage_in_the_order_of_the_table() -> None:
    model = everything()
    assert list(Pipeline(model, factor=2).stages) == list(FLOW)
    for without in ((), ("mains", "eye"), CLEANING):
        stages = list(Pipeline(model, without=without).stages)
        assert stages == [name for name in FLOW if name not in {"decimate", *without}]


@pytest.mark.parametrize("name", FLOW)
def test_every_stage_keeps_the_laws_and_says_what_it_does(name: str) -> None:
    classes = {type(case.make(contract.INFO)) for case in contract.STAGES.values()}
    assert FLOW[name].make in classes
    assert FLOW[name].title
    assert [row.title for row in FLOW.values()].count(FLOW[name].title) == 1
