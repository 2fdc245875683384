"""What a model tells of its own past: `inspect`, and the header of a log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rt_decoder.commands.describe import model_lines, model_summary
from rt_decoder.files.history import changed_since, history
from rt_decoder.model import Model, Pooling
from rt_decoder.sinks.header import header_line
from tests.small import random_model, small_recipe, small_recording

FINAL = {
    "n": 100, "p": 0.001, "bits_per_word": 0.5, "rank_accuracy": 0.7, "chance_rank_accuracy": 0.5,
    "top1": 0.2, "chance_top1": 0.1, "top10": 0.9, "chance_top10": 0.8, "prior_top10": 0.8,
}  # fmt: skip
BEFORE = {"rank_accuracy": 0.61, "null_rank_accuracy": 0.5}
REFIT = [
    {"added": "a" * 64, "n": 167, "before": BEFORE},
    {"removed": "b" * 64, "n": 30},
]
REALIGNED = {
    "method": "gains", "n_windows": 240, "date": "2026-11-27", "data_hash": "c" * 64,
    "model": "d" * 64, "trained_on": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> Model:
    model = random_model(small_recording(seconds=3.0), small_recipe(readout={"repeats": 3}))
    return replace(model, certificate={"final": FINAL, "out_of_fold": {"rank_accuracy": 0.7}})


def with_certificate(model: Model, **more: object) -> Model:
    return replace(model, certificate={**model.certificate, **more})


def test_a_model_without_a_past_tells_none(plain: Model) -> None:
    assert history(plain) == {}
    assert "history" not in header_line(plain, "test")
    assert "proven      yes: p = 0.001, 0.500 bits a word beyond the prior" in model_lines(plain)


def test_what_was_added_and_taken_out_is_told(plain: Model) -> None:
    model = with_certificate(plain, refit=REFIT)
    (line,) = (one for one in model_lines(model) if one.startswith("refitted"))
    assert "167 events of recording aaaaaaaaaaaa added (rank accuracy 0.610 before" in line
    assert "30 events of recording bbbbbbbbbbbb taken out" in line
    assert line.endswith("the certificate is of the model before")
    assert any(
        "proven      yes" in one and one.endswith("of the model before it was refitted")
        for one in model_lines(model)
    )


def test_realigned_from_what_and_when(plain: Model) -> None:
    model = with_certificate(plain, realigned=REALIGNED, refit=REFIT)
    (line,) = (one for one in model_lines(model) if one.startswith("realigned"))
    for told in ("240 windows on 2026-11-27", "recording cccccccccccc", "was model dddddddddddd",
                 "that the model was fitted on"):  # fmt: skip
        assert told in line
    assert changed_since(model) == "refitted and realigned"
    assert header_line(model, "test")["history"] == history(model)
    assert model_summary(model)["history"] == history(model)


@pytest.mark.parametrize(
    ("kappa", "told"),
    [(0.3, "in the map, 542 events of 2 other people; each counts 0.3"), (0, "are not used")],
)
def test_the_prior_of_other_people_is_told(plain: Model, kappa: float, told: str) -> None:
    prior = {"n_people": 2, "n_events": 542, "kappa": kappa}
    (line,) = history(with_certificate(plain, map={"prior": prior})).values()
    assert told in line


def test_pooled_repeats_are_told(plain: Model) -> None:
    told = history(replace(plain, pooling=Pooling(0.25, 0.5)))["pools"]
    assert told.startswith("3 events in a row")
    assert "correlate by 0.25" in told
    assert history(replace(plain, pooling=Pooling(1.0, 2.0)))["pools"].endswith("never answered")


@pytest.mark.parametrize("broken", ["text", [1], {"n": "x"}, [{}]])
def test_an_unreadable_certificate_is_no_crash(plain: Model, broken: object) -> None:
    model = with_certificate(plain, refit=broken, realigned=broken, map={"prior": broken})
    assert set(history(model)) == {"refitted", "realigned", "prior"}
