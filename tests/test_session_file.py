"""One file for what a lab types every day: read by every command, and no slip in it goes unnoticed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import pyxdf

from rt_decoder.commands.session_file import SHARED
from rt_decoder.files.model_file import save_model
from rt_decoder.files.read import read_recording
from rt_decoder.live.run_options import RunOptions, run_options
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import replay
from tests.small import REPO, Ran, call, random_model, small_recipe, small_recording

EXAMPLE = REPO / "scripts" / "examples" / "session.toml"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """Options of the sessions that a command would have opened."""
    found: list[RunOptions] = []

    def record_stream(options: RunOptions) -> None:
        found.append(options)
        raise ValueError("no further")

    monkeypatch.setattr("rt_decoder.commands.record.record_stream", record_stream)
    return found


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(text: str, *arguments: str) -> str:
        path = tmp_path / "lab.toml"
        path.write_text(text, encoding="utf-8")
        ran = call(capsys, *(arguments or ("info",)), "--config", path)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        return ran.err

    return run


def test_shared_options_come_first_then_the_table_then_the_command_line(
    asked: list[RunOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lab" / "lab.toml"
    path.parent.mkdir()
    (path.parent / "c.tsv").write_text("name\ttype\nCz\teeg\n")
    path.write_text(
        'name = "Amp"\nmarkers = "Words"\nreference = ["belt=12", "ecg"]\nchannels = "c.tsv"\n'
        'timeout = 3\n[record]\noutput = "run.xdf"\ntimeout = 4\nuntil-lost = true\n'
        "[check]\nseconds = 5.5\n"
    )
    ran = call(capsys, "record", "--config", path, "--name", "Other")
    assert (ran.code, ran.err) == (1, "error: no further\n")
    (options,) = asked
    assert options.selection["name"] == "Other"
    assert options.markers == "Words"
    assert [one.name for one in options.references] == ["belt", "ecg"]
    assert options.timeout == 4.0
    assert options.until_lost
    assert options.channels == path.parent / "c.tsv"  # beside the file, from wherever it is called
    assert options.record == path.parent / "run.xdf"
    told = options.config
    assert told["file"] == "lab.toml"
    assert set(told["options"]) == {
        "markers", "reference", "channels", "timeout", "output", "until_lost",
    }  # fmt: skip
    assert ran.out.splitlines()[0].startswith("config lab.toml: channels, markers,")
    json.dumps(told)

    assert call(capsys, "check", "--config", path).code == 1
    assert (asked[1].selection["name"], asked[1].timeout, asked[1].seconds) == ("Amp", 3.0, 5.5)


def test_the_order_of_the_call_does_not_matter(
    asked: list[RunOptions], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab.toml").write_text('name = "Amp"\n')
    for order in (("--name", "B", "--config"), ("--config",)):
        more = () if "--name" in order else ("--name", "B")
        call(capsys, "record", "-o", tmp_path / "r.xdf", *order, tmp_path / "lab.toml", *more)
    assert [one.selection["name"] for one in asked] == ["B", "B"]


def test_arguments_and_options_that_must_be_given_may_be_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(
        'model = "m.rtd.safetensors"\n[run]\nlog = "s.jsonl"\n[present]\nwords = "w.txt"\nwait = 0\n'
    )
    ran = call(capsys, "run", "--config", path)
    assert (ran.code, ran.err) == (
        1,
        "error: no model file m.rtd.safetensors; rt-calibrate fit writes one\n",
    )
    ran = call(capsys, "present", "--config", path)
    assert (ran.code, ran.err) == (1, "error: no such file: w.txt\n")
    (tmp_path / "w.txt").write_text("axe\n")
    ran = call(capsys, "present", "--config", path)
    assert "need a terminal" in ran.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('nname = "A"', "unknown key nname above the tables; did you mean name?"),
        ('log = "s.jsonl"', "need log in [run], got it above the tables"),
        ("[record]\nuntil-lost = true\nuntil_lost = true", "need each key once in [record]"),
        ("[recordd]\n", "unknown table [recordd]; did you mean record?"),
        ('[decode]\njsonl = "x"', "unknown table [decode]"),
        ("[record]\nuntil_lots = true", "unknown key until_lots in [record]; did you mean until_lost?"),
        ('[run]\nconfig = "b.toml"', "unknown key config in [run]"),
        ("name = 3", "need name to be a text, got 3"),
        ("timeout = 'soon'", "need timeout to be a number, got 'soon'"),
        ("timeout = true", "need timeout to be a number, got True"),
        ("timeout = -1", "need timeout from 0, got -1"),
        ("channels = 3", "need channels to be a text, got 3"),
        ("reference = [1.5]", "need reference to be a text or a list, got [1.5]"),
        ('reference = "belt=soon"', "reference: need --reference NAME"),
        ("name = ['a']", "need name to be a text, got ['a']"),
        ("[run]\nforce = 1", "need force to be true or false, got 1"),
        ("[run]\ntop = 2.5", "need top to be a whole number, got 2.5"),
        ("[run]\nwhen-behind = 'stop'", "when_behind: need catch-up or skip"),
        ("[present]\nbrowser = 'yes'", "need browser to be true or false, got 'yes'"),
        ("name = ", "lab.toml is not TOML"),
        ("name = 1979-05-27", "need name to be a text"),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_key(text: str, why: str, refused: Any) -> None:
    """In any table: before the day on which it would matter."""
    told = refused(text)
    assert "lab.toml" in told
    assert why in told


def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, why in (
        ("none.toml", "No such file"),
        ("binary.toml", "is not TOML"),
        ("", "folder"),
    ):
        ran: Ran = call(capsys, "record", "-o", "r.xdf", "--config", tmp_path / name)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert why in ran.err or "directory" in ran.err


def test_the_example_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("# reference", "reference")
    (tmp_path / "session.toml").write_text(text.replace("# channels", "channels"))
    ran = call(capsys, "info", "--config", tmp_path / "session.toml", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out.splitlines()[-1])["config"]
    assert told["file"] == "session.toml"
    assert set(told["options"]) == {
        "name", "markers", "reference", "channels", "model",
        "check", "present", "record", "run", "dashboard",
    }  # fmt: skip
    assert set(told["options"]) - {"check", "present", "record", "run", "dashboard"} <= set(SHARED)


@pytest.mark.lsl
def test_log_and_record_say_what_was_used(
    source_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = small_recording(seconds=8.0)
    save_model(random_model(recording, small_recipe()), tmp_path / "m.rtd.safetensors")
    (tmp_path / "lab.toml").write_text(
        f'name = "{source_id}"\nmarkers = "{source_id}-markers"\nmodel = "m.rtd.safetensors"\n'
        '[run]\nlog = "s.jsonl"\nrecord = "s.xdf"\nmarker-offset = 23\nforce = true\n'
        'until-lost = true\ntop = 3\noutlet = ""\n'
    )
    options = ReplayOptions(speed=4.0, wait=120.0, linger=3.0)
    sender = threading.Thread(
        target=replay, args=(recording, recording.markers, options),
        kwargs={"name": source_id, "source_id": source_id},
    )  # fmt: skip
    sender.start()
    try:
        ran = call(capsys, "run", "--config", tmp_path / "lab.toml", "--top", "2")
    finally:
        sender.join()
    assert (ran.code, ran.err) == (0, "")
    header = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[0])
    told = header["config"]
    assert told["file"] == "lab.toml"
    assert told["options"]["marker_offset"] == 23
    assert told["options"]["name"] == source_id
    assert "top" not in told["options"]  # the command line came first
    assert "config lab.toml: " in ran.out
    streams, _ = pyxdf.load_xdf(tmp_path / "s.xdf")
    said = [one["info"]["desc"][0] for one in streams if one["info"]["desc"][0]]
    assert told in [json.loads(one["config"][0]) for one in said if "config" in one]
    assert read_recording(tmp_path / "s.xdf").markers


def test_a_program_gives_its_options_itself() -> None:
    with pytest.raises(TypeError, match="config"):
        run_options({"config": "session.toml"})
