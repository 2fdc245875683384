"""What the programs answer to a call that is wrong: the other program, an example, the kind of file."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.cli import app as calibrate
from rt_decoder.commands.cli import app as decode
from rt_decoder.commands.console import PROGRAMS
from tests.small import call


def test_a_command_of_the_other_program_is_named(capsys) -> None:
    ran = call(capsys, "inspect", "m", program="calibration")
    assert ran.code == 2
    assert ran.err == "error: No such command 'inspect'; rt-decoder inspect is one\n"
    assert "rt-calibrate evaluate is one" in call(capsys, "evaluate", "m").err
    assert "is one" not in call(capsys, "nonsense").err
    apps = {"rt-decoder": decode, "rt-calibrate": calibrate}
    for program, app in apps.items():
        names = {one.name or one.callback.__name__ for one in app.registered_commands}
        assert names == set(PROGRAMS[program])


def test_a_missing_option_comes_with_an_example(capsys) -> None:
    ran = call(capsys, "decode", "me.rtd.safetensors", "--model", "run2.xdf")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "Missing option '--jsonl'; example: rt-decoder decode run2.xdf --model me" in ran.err


@pytest.mark.parametrize("name", ["me.rtd.safetensors", "me.sums.safetensors"])
def test_a_model_is_no_recording(name: str, tmp_path: Path, capsys) -> None:
    (tmp_path / name).write_bytes(b"x")
    ran = call(
        capsys,
        "fit",
        tmp_path / name,
        "-o",
        tmp_path / "new.rtd.safetensors",
        program="calibration",
    )
    assert ran.code == 1
    assert f"need a recording, got {name}, which is a model" in ran.err


def test_a_recording_is_no_model(tmp_path: Path, capsys) -> None:
    path = tmp_path / "run2.xdf"
    path.write_bytes(b"XDF:")
    ran = call(capsys, "inspect", path)
    assert ran.code == 1
    assert "run2.xdf is no whole model file" in ran.err
    assert "a model is called *.rtd.safetensors" in ran.err
