"""`rt-decoder record` with several marker streams: stimuli, buttons, a photodiode box."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.files.model_file import save_model
from rt_decoder.files.read import read_recording
from rt_decoder.files.xdf_streams import load_streams
from rt_decoder.live.run_options import run_options
from rt_decoder.recorded import decode_recording
from rt_decoder.sinks.outlets import data_outlet, marker_outlet
from tests.lsl_loopback import wait_for
from tests.small import (
    Ran,
    call,
    finish,
    lines,
    random_model,
    readouts,
    small_recipe,
    small_recording,
    start,
)

RECORDING = small_recording(seconds=8.0)
SFREQ = RECORDING.info.sfreq
pytestmark = pytest.mark.lsl


@dataclass
class Lab:
    """An amplifier and marker streams of any names, for one process of ours."""

    name: str
    outlets: dict[str, Any] = field(default_factory=dict)
    process: Any = None
    begin: float = 0.0

    def offer(self, what: str, *, source_id: str | None = None) -> str:
        """A marker stream of this lab; gives its name."""
        name = f"{self.name}-{what}"
        self.outlets[what] = marker_outlet(name, name if source_id is None else source_id)
        return name

    def begins(self, *arguments: str | Path) -> None:
        """Start `rt-decoder`, and wait until it has subscribed to everything."""
        self.amplifier: Any = data_outlet(self.name, RECORDING.info, self.name)
        self.process = start(*arguments, "--name", self.name, "--timeout", "60")
        self.heard("amplifier")

    def heard(self, *names: str) -> None:
        """Wait until someone reads these streams."""
        for name in names:
            outlet = self.amplifier if name == "amplifier" else self.outlets[name]
            wait_for(outlet.have_consumers)

    def send(self, start: float, stop: float) -> None:
        """Samples between two times, in s since the first; in real time they are stamped."""
        if not self.begin:
            self.begin = local_clock() - 0.5
        rows = slice(round(start * SFREQ), round(stop * SFREQ))
        stamps = self.begin + np.arange(rows.start, rows.stop) / SFREQ
        self.amplifier.push_chunk(np.ascontiguousarray(RECORDING.data[rows]), list(stamps))

    def mark(self, what: str, label: str, at: float) -> None:
        self.outlets[what].push_sample([label], self.begin + at)

    def recorded(self, path: Path, what: str, n: int) -> None:
        """Wait until so much of a stream stands in the record: a closed outlet sends no more."""
        wait_for(lambda: n_recorded(path, self.name + what) >= n)

    def end(self) -> Ran:
        """The amplifier is switched off."""
        del self.amplifier
        return finish(self.process)


def n_recorded(path: Path, name: str) -> int:
    """Samples of a stream in a record that is still being written."""
    with warnings.catch_warnings(), suppress(OSError):
        warnings.simplefilter("ignore")
        return sum(len(one.stamps) for one in load_streams(path) if one.name == name)
    return 0


@pytest.fixture
def lab(source_id: str) -> Iterator[Lab]:
    made = Lab(source_id)
    yield made
    made.outlets.clear()
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


@pytest.mark.slow
def test_every_stream_that_is_named_is_recorded_and_the_first_gives_the_words(
    lab: Lab, tmp_path: Path
) -> None:
    """One has no source_id, and one never sends anything; readers take the first, or the asked."""
    names = [lab.offer("stimuli"), lab.offer("buttons", source_id=""), lab.offer("diode")]
    path = tmp_path / "run.xdf"
    options = [word for name in names for word in ("--markers", name)]
    lab.begins("record", *options, "-o", path, "--until-lost", "--json")
    lab.heard("stimuli", "buttons", "diode")
    lab.send(0.0, 2.0)
    sent = [("stimuli", "word1", 0.8), ("buttons", "left", 1.0), ("stimuli", "word2", 1.4),
            ("buttons", "right", 1.4), ("buttons", "left", 1.8)]  # fmt: skip
    for what, label, at in sent:
        lab.mark(what, label, at)
    lab.recorded(path, "-stimuli", 2)
    lab.recorded(path, "-buttons", 3)
    lab.send(2.0, 8.0)
    lab.recorded(path, "", len(RECORDING.data))
    ran = lab.end()
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out.splitlines()[-1])
    assert [(one["name"], one["n"], one["n_losses"]) for one in told["marker_streams"]] == [
        (names[0], 2, 0), (names[1], 3, 0), (names[2], 0, 0),
    ]  # fmt: skip
    assert told["marker_streams"][1]["labels"] == {"left": 2, "right": 1}
    assert f"markers of {names[1]}: 3: left (2), right (1)" in ran.out
    assert f"markers of {names[2]}: none came" in ran.out
    assert told["counts"]["markers"] == 5, ran.out

    streams = {one.name: one for one in load_streams(path)}
    assert [streams[name].type for name in names] == ["Markers"] * 3
    assert [streams[name].source_id for name in names] == [names[0], "", names[2]]
    with pytest.warns(RuntimeWarning, match="gives the events, which was named first.*3 markers"):
        found = read_recording(path)
    assert [one.label for one in found.markers] == ["word1", "word2"]
    assert [one.index for one in found.markers] == [round(0.8 * SFREQ), round(1.4 * SFREQ)]
    pressed = read_recording(path, markers=names[1])
    assert [one.label for one in pressed.markers] == ["left", "right", "left"]
    model = random_model(RECORDING, small_recipe())
    readouts = list(decode_recording(model, found, found.markers))
    assert [one.label for one in readouts if one.kind == "event"] == ["word1", "word2"]


@pytest.mark.slow
def test_run_decodes_by_the_first_and_keeps_the_others(lab: Lab, tmp_path: Path) -> None:
    """The buttons mirror a word, label and time: the record is decoded as live all the same."""
    names = [lab.offer("stimuli"), lab.offer("buttons")]
    model, log, path = tmp_path / "m.rtd.safetensors", tmp_path / "s.jsonl", tmp_path / "s.xdf"
    save_model(random_model(RECORDING, small_recipe()), model)
    options = [word for name in names for word in ("--markers", name)]
    lab.begins("run", "--model", model, "--force", *options, "--log", log, "--record", path,
               "--outlet", lab.name + "-answers", "--continuous", "--until-lost")  # fmt: skip
    lab.heard("stimuli", "buttons")
    lab.send(0.0, 1.0)
    lab.mark("buttons", "word1", 0.8)
    lab.recorded(path, "-buttons", 1)
    lab.mark("buttons", "left", 0.9)
    lab.recorded(path, "-buttons", 2)
    lab.send(1.0, 2.0)
    lab.mark("stimuli", "word1", 0.8)
    lab.recorded(path, "-stimuli", 1)
    lab.send(2.0, 8.0)
    lab.recorded(path, "", len(RECORDING.data))
    ran = lab.end()
    assert ran.code == 0, ran.err
    assert f"markers of {names[1]}: 2: word1 (1), left (1)" in ran.out
    live = lines(log)
    told = {one["name"]: one["labels"] for one in live[-1]["marker_streams"]}
    assert told == {names[0]: {"word1": 1}, names[1]: {"word1": 1, "left": 1}}
    assert live[-1]["counts"]["markers"] == 1
    again = tmp_path / "again.jsonl"
    assert finish(start("decode", path, "--model", model, "--force", "--jsonl", again)).code == 0
    assert readouts(again) == readouts(log)
    assert sum(one["kind"] == "event" for one in live if one["type"] == "readout") == 1


@pytest.mark.slow
def test_a_recorded_lab_is_read_by_every_program(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyxdf

    names = [lab.offer("stimuli"), lab.offer("buttons")]
    path = tmp_path / "run.xdf"
    lab.begins("record", "--markers", names[0], "--markers", names[1], "-o", path, "--until-lost")
    lab.heard("stimuli", "buttons")
    lab.send(0.0, 2.0)
    for at in (0.5, 1.0, 1.5):
        lab.mark("stimuli", "word1", at)
    lab.mark("buttons", "left", 1.1)
    lab.recorded(path, "-stimuli", 3)
    lab.recorded(path, "-buttons", 1)
    lab.send(2.0, 8.0)
    lab.recorded(path, "", len(RECORDING.data))
    assert lab.end().code == 0
    theirs = {one["info"]["name"][0]: one for one in pyxdf.load_xdf(str(path))[0]}
    assert [text for (text,) in theirs[names[1]]["time_series"]] == ["left"]
    assert len(theirs[names[0]]["time_stamps"]) == 3

    ran = call(capsys, "check", path, "--markers", names[0], "--markers", names[1], "--json")
    findings = json.loads(ran.out.splitlines()[-1])["findings"]
    said = [one["text"] for one in findings if one["what"] == "markers"]
    assert said == [f"{names[0]}: 3 came: word1 (3)", f"{names[1]}: 1 came: left (1)"]
    ran = call(capsys, "convert", path, "--markers", names[1], "-o", tmp_path / "buttons_raw.fif")
    assert ran.code == 0, ran.err
    assert [m.label for m in read_recording(tmp_path / "buttons_raw.fif").markers] == ["left"]
    ran = finish(start("convert", path, "-o", tmp_path / "words_raw.fif"))
    assert "--markers chooses another" in ran.err
    assert len(read_recording(tmp_path / "words_raw.fif").markers) == 3


@pytest.mark.slow
def test_a_stream_that_is_lost_and_returns_goes_on_in_its_place(lab: Lab, tmp_path: Path) -> None:
    names = [lab.offer("stimuli"), lab.offer("buttons")]
    path = tmp_path / "run.xdf"
    lab.begins(
        "record", "--markers", names[0], "--markers", names[1], "-o", path, "--until-lost", "--json"
    )
    lab.heard("stimuli", "buttons")
    lab.send(0.0, 2.0)
    lab.mark("buttons", "left", 1.0)
    lab.recorded(path, "-buttons", 1)
    del lab.outlets["buttons"]
    lab.mark("stimuli", "word1", 1.5)
    lines = iter(lab.process.stdout.readline, "")
    heard = []
    for line in lines:
        heard.append(line)
        if "marker stream is gone" in line:
            break
    lab.offer("buttons")
    lab.heard("buttons")
    lab.mark("buttons", "right", 1.8)
    lab.recorded(path, "-buttons", 2)
    lab.recorded(path, "-stimuli", 1)
    lab.send(2.0, 8.0)
    lab.recorded(path, "", len(RECORDING.data))
    ran = lab.end()
    told = json.loads(ran.out.splitlines()[-1])
    assert [(one["n"], one["n_losses"]) for one in told["marker_streams"]] == [(1, 0), (2, 1)]
    assert names[1] in heard[-1]
    assert "lost 1 time" in ran.out
    assert [m.label for m in read_recording(path, markers=names[1]).markers] == ["left", "right"]


@pytest.mark.slow
def test_two_streams_of_one_name_are_told_apart_by_their_ids(lab: Lab, tmp_path: Path) -> None:
    name = f"{lab.name}-psychopy"
    ids = [f"{lab.name}-left-pc", f"{lab.name}-right-pc"]
    twins = [marker_outlet(name, one) for one in ids]
    path = tmp_path / "run.xdf"
    options = ("--name", lab.name, "--timeout", "2", "-o", path)
    ran = finish(start("record", "--markers", name, *options))
    assert (ran.code, list(tmp_path.iterdir())) == (1, [])
    assert "got 2" in ran.err
    assert "name one by its source_id" in ran.err

    lab.begins("record", "--markers", ids[0], "--markers", ids[1], "-o", path, "--until-lost")
    for twin in twins:
        wait_for(twin.have_consumers)
    lab.send(0.0, 2.0)
    for twin, label in zip(twins, ("here", "there"), strict=True):
        twin.push_sample([label], lab.begin + 1.0)
    lab.recorded(path, "-psychopy", 2)
    lab.send(2.0, 8.0)
    lab.recorded(path, "", len(RECORDING.data))
    ran = lab.end()
    assert ran.code == 0
    assert f"markers of {name} (1): 1: here (1)" in ran.out
    assert f"markers of {name} (2): 1: there (1)" in ran.out
    assert "2 markers" in ran.out
    for wanted, label in zip(ids, ("here", "there"), strict=True):
        assert [m.label for m in read_recording(path, markers=wanted).markers] == [label]
    with pytest.warns(RuntimeWarning, match=f"2 streams are '{name}' and are read together"):
        both = read_recording(path, markers=name).markers
    assert [m.label for m in both] == ["here", "there"]


def test_streams_that_never_come_are_all_named(lab: Lab, tmp_path: Path) -> None:
    name = lab.offer("stimuli")
    outlet = data_outlet(lab.name, RECORDING.info, lab.name)
    process = start(
        "record", "--name", lab.name, "--timeout", "2", "-o", tmp_path / "x.xdf",
        "--markers", name, "--markers", "nobody-1", "--markers", "nobody-2",
    )  # fmt: skip
    ran = finish(process)
    assert (ran.code, list(tmp_path.iterdir())) == (1, [])
    assert "'nobody-1'" in ran.err
    assert "'nobody-2'" in ran.err
    del outlet


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["Words", "Words"], "each marker stream once, got Words, Words"),
        (["Words", "channel:STI"], "or one trigger channel, got channel:STI and others"),
    ],
)
def test_streams_that_cannot_be_recorded_together(given: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run_options({"markers": given})


def test_one_stream_by_two_names_is_refused(lab: Lab, tmp_path: Path) -> None:
    lab.offer("stimuli", source_id=f"{lab.name}-id")
    lab.amplifier = data_outlet(lab.name, RECORDING.info, lab.name)  # type: ignore[attr-defined]
    process = start(
        "record", "--name", lab.name, "--timeout", "60", "-o", tmp_path / "x.xdf",
        "--markers", f"{lab.name}-stimuli", "--markers", f"{lab.name}-id",
    )  # fmt: skip
    ran = finish(process)
    assert ran.code == 1
    assert "which name one stream twice" in ran.err


@pytest.mark.parametrize("command", ["run", "record", "check"])
def test_the_amplifier_is_no_marker_stream(lab: Lab, tmp_path: Path, command: str) -> None:
    """Every session says so at once, and leaves nothing."""
    options = {
        "run": ["--model", tmp_path / "m.rtd.safetensors", "--force"],
        "record": ["-o", tmp_path / "x.xdf"],
        "check": ["--seconds", "5"],
    }[command]
    save_model(random_model(RECORDING, small_recipe()), tmp_path / "m.rtd.safetensors")
    there = set(tmp_path.iterdir())
    lab.amplifier = data_outlet(lab.name, RECORDING.info, lab.name)  # type: ignore[attr-defined]
    ran = finish(
        start(command, *options, "--name", lab.name, "--markers", lab.name, "--timeout", "60")
    )
    assert (ran.code, set(tmp_path.iterdir())) == (1, there)
    assert f"need a marker stream (text, or numbers that are codes), got {lab.name!r}" in ran.err
    assert "of type EEG" in ran.err
