"""Inputs that were believed: events twice, a dead channel, the companion of another model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.ahead import check_events
from calibration.cleaning.seen import unlocked_share
from calibration.commands.people import write_companion
from calibration.demo import save_recording
from calibration.design import build_design, draft_model
from calibration.events import label_recording
from rt_decoder.files.events import EventRow
from rt_decoder.files.outputs import companion_path
from rt_decoder.signal import Marker
from rt_decoder.timing.markers import MarkerRules
from tests.small import call, save_small, small_recipe, small_recording

RECIPE = small_recipe()


def labelled(rows):
    events = [EventRow(at, label, {"word": label}, "word") for at, label in sorted(rows)]
    return label_recording(small_recording(seconds=20), events, RECIPE, MarkerRules())


ROWS = [(2.0 + k, f"word{k % 3}") for k in range(9)]


@pytest.mark.parametrize(
    "more",
    [
        ROWS,
        [(5.0, "word0")],
        [(5.004, "word0")],  # the next sample
        [(5.0, "WORD0")],  # the same item
    ],
)
def test_an_event_twice_is_refused(more) -> None:
    with pytest.raises(ValueError, match=rf"each event once, got {len(more)} of {9 + len(more)}"):
        labelled(ROWS + more)


def test_two_items_at_one_sample_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one item at a time, got 1 events.*'word0' and 'word1'"):
        labelled([*ROWS, (5.0, "word1")])


def test_single_events_cues_and_what_is_no_stimulus_pass() -> None:
    more = [(5.0, "cue/blink"), (5.0, "cue/blink"), (6.0, "boundary"), (7.2, "word1")]
    assert len(labelled(ROWS + more).markers) == 12


def test_own_markers_twice_are_refused() -> None:
    """As where two streams write one event, a few milliseconds apart."""
    recording = small_recording(seconds=20)
    late = [Marker(m.label, m.time + 0.004, m.index + 1) for m in recording.markers]
    markers = tuple(sorted((*recording.markers, *late), key=lambda m: m.time))
    with pytest.raises(ValueError, match="--markers NAME"):
        label_recording(replace(recording, markers=markers), None, RECIPE, MarkerRules())


def with_triggers(seconds: float = 60.0, *, bounce: bool = False):
    """A recording whose events are codes of its channel TRIG alone; one may bounce."""
    recording = small_recording(seconds=seconds)
    data, column = recording.data.copy(), recording.info.ch_names.index("TRIG")
    if bounce:
        at = recording.markers[3].index
        data[at + 1 : at + 2, column] = 0.0  # down for one sample: the same code rises again
    return replace(recording, data=data, markers=())


TRIGGER = MarkerRules(trigger="TRIG")


def test_a_trigger_that_bounces_is_refused() -> None:
    with pytest.raises(ValueError, match=r"each event once, got 1 of \d+.*codes of channel TRIG"):
        label_recording(with_triggers(bounce=True), None, RECIPE, TRIGGER)
    with pytest.raises(ValueError, match="need a trigger channel STI, got Fz"):
        label_recording(with_triggers(), None, RECIPE, MarkerRules(trigger="STI"))


def test_triggers_are_checked_ahead_as_other_events_are() -> None:
    """Repeats, windows and what the locked block leaves, before minutes of cleaning."""
    session = label_recording(with_triggers(), None, RECIPE, TRIGGER)
    own = label_recording(small_recording(), None, RECIPE, MarkerRules())
    check_events([session], RECIPE)
    with pytest.raises(ValueError, match="need repeats up to"):
        check_events([session], small_recipe(readout={"repeats": 500}))
    with pytest.raises(ValueError, match="final_block"):
        check_events([session], small_recipe(fit={"final_block": 0.8}))
    with pytest.raises(ValueError, match=r"complete window, got none among .*channel TRIG"):
        check_events([session], small_recipe(features={"tmax": 70.0}))
    assert unlocked_share([session], RECIPE.fit) == unlocked_share([own], RECIPE.fit)


def test_decode_and_replay_refuse_an_event_twice(tmp_path: Path, capsys) -> None:
    save_small(tmp_path / "me.rtd.safetensors")
    recording = small_recording(seconds=20)
    save_recording(recording, tmp_path / "rec.xdf")
    rows = [f"{m.time - recording.times[0]:.4f}\t0\t{m.label}" for m in recording.markers]
    table = tmp_path / "events.tsv"
    table.write_text("\n".join(["onset\tduration\tword", *rows, *rows]) + "\n")
    for call_of in (
        ("decode", tmp_path / "rec.xdf", "--model", tmp_path / "me.rtd.safetensors", "--force",
         "--jsonl", tmp_path / "log.jsonl"),
        ("replay", tmp_path / "rec.xdf"),
    ):  # fmt: skip
        ran = call(capsys, *call_of, "--events", table)
        assert ran.code == 1
        assert f"need each event once, got {len(rows)} of {2 * len(rows)}" in ran.err
    assert not (tmp_path / "log.jsonl").exists()
    ran = call(
        capsys, "evaluate", tmp_path / "rec.xdf", "--model", tmp_path / "me.rtd.safetensors",
        "--events", table, program="calibration",
    )  # fmt: skip
    assert f"need each event once, got {len(rows)} of {2 * len(rows)}" in ran.err


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_dead_channel_is_named_with_the_remedy(value: float) -> None:
    recording = small_recording(seconds=20)
    data, names = recording.data.copy(), recording.info.ch_names
    dead = names.index("Pz")
    data[data.shape[0] // 50 :, dead] = value
    recording = replace(recording, data=data)
    draft = draft_model([recording], RECIPE)
    session = label_recording(recording, None, RECIPE, MarkerRules())
    with pytest.raises(ValueError, match=r"got none among \d+: Pz is .* --picks Fz,") as told:
        build_design(draft, [session])
    assert "Pz," not in str(told.value).split("--picks")[1]


def test_a_companion_goes_with_the_model_before(tmp_path: Path, capsys) -> None:
    model = tmp_path / "me.rtd.safetensors"
    companion_path(model).write_bytes(b"of another model")
    write_companion(None, model, overwrite=False)
    assert companion_path(model).exists()
    write_companion(None, model, overwrite=True)
    assert not companion_path(model).exists()
    companion_path(model).write_bytes(b"of another model")
    ran = call(capsys, "fit", "x.xdf", "-o", model, "--no-sums", program="calibration")
    assert ran.code == 2
    assert "me.sums.safetensors, which exists" in " ".join(ran.err.split())
