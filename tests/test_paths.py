"""Every path that a command takes, given something that is not what it needs.

Exit code 1 or 2, one line on stderr that begins with "error:" and names the path; no traceback, no
number of the operating system, no words of Python. What is a file of ours stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibration.demo import save_recording
from rt_decoder.files.model_file import save_model
from tests.small import call, random_model, small_recipe, small_recording

MODEL = ("--model", "{in}/model.safetensors")
GOOD = {  # a command that would work, and its program
    "fit": (
        "calibration",
        "fit",
        "{in}/rec.xdf",
        "--events",
        "{in}/rec.tsv",
        "-o",
        "{out}/m.safetensors",
    ),
    "cleaning": ("calibration", "cleaning", "{in}/rec.xdf", "-o", "{out}/m.safetensors"),
    "evaluate": ("calibration", "evaluate", "{in}/rec.xdf", "--events", "{in}/rec.tsv", *MODEL),
    "encode": ("calibration", "encode", "{in}/rec.xdf", "--events", "{in}/rec.tsv", *MODEL),
    "embed": ("calibration", "embed", "{in}/words.txt", "-o", "{out}/v.safetensors"),
    "decode": (
        "rt_decoder",
        "decode",
        "--force",
        "{in}/rec.xdf",
        *MODEL,
        "--jsonl",
        "{out}/log.jsonl",
    ),
    "clean": ("rt_decoder", "clean", "{in}/rec.xdf", *MODEL, "-o", "{out}/c_raw.fif"),
    "convert": ("rt_decoder", "convert", "{in}/rec.xdf", "-o", "{out}/c_raw.fif"),
    "inspect": ("rt_decoder", "inspect", "{in}/model.safetensors"),
    "replay": ("rt_decoder", "replay", "{in}/rec.xdf", "--wait", "0.1"),
    "run": ("rt_decoder", "run", "--force", *MODEL, "--source-id", "no-such", "--timeout", "0.1"),
}
RECORDING = ("xdf", "csv", "fif", "edf", "bdf", "vhdr", "set", "cnt", "snirf", "mff", "gdf", "dat")
PLACES = {  # where the bad path goes: in place of an argument, or as a further option
    **{f"{name} REC.{suffix}": (name, "{in}/rec.xdf", suffix)
       for name in ("fit", "decode", "convert", "replay") for suffix in RECORDING},
    "cleaning REC": ("cleaning", "{in}/rec.xdf", "xdf"),
    "evaluate REC": ("evaluate", "{in}/rec.xdf", "xdf"),
    "encode REC": ("encode", "{in}/rec.xdf", "xdf"),
    "encode --language-model": ("encode", "--language-model", "folder"),
    "clean REC": ("clean", "{in}/rec.xdf", "xdf"),
    **{f"{name} --model": (name, MODEL[1], "safetensors")
       for name in ("evaluate", "encode", "decode", "clean", "inspect", "run")},
    **{f"{name} --events": (name, "--events", "tsv")
       for name in ("fit", "cleaning", "evaluate", "decode", "replay")},
    **{f"{name} --channels": (name, "--channels", "tsv")
       for name in ("fit", "cleaning", "evaluate", "decode", "clean", "convert", "replay", "run")},
    **{f"{name} --recipe": (name, "--recipe", "toml") for name in ("fit", "cleaning")},
    "fit --vocabulary": ("fit", "--vocabulary", "txt"),
    "fit --embedding": ("fit", "--embedding", "folder"),
    "embed --embedding": ("embed", "--embedding", "folder"),
    "embed TEXT": ("embed", "{in}/words.txt", "txt"),
}  # fmt: skip
JUNK = np.random.default_rng(0).bytes(4096)


def _file(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


KINDS: dict[str, Callable[[Path], object]] = {
    "nonexistent": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: path.mkdir(),
    "junk": lambda path: path.write_bytes(JUNK),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "below a file": lambda path: path.parent.write_bytes(b"x"),
    "nowhere": lambda path: None,
    "circle": lambda path: path.symlink_to(path),
    "bracket": lambda path: path.write_bytes(b"["),
    "long line": lambda path: path.write_bytes(b"a" * 200_000 + b"\n" + b"b\tc" * 10),
}
FINE = {
    ("--recipe", "empty"),
    ("--recipe", "zeros"),
    ("TEXT", "bracket"),
    ("--vocabulary", "bracket"),
}
RAW = re.compile(
    r"Traceback|\[Errno|Errno \d|NoneType|HeaderTooLarge|header too|unexpected keyword|object has no"
    r"|codec can't|invalid literal|positional argument|KeyError|IndexError|:\s*$"
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, its events, words and a model."""
    folder = tmp_path_factory.mktemp("inputs")
    recording = small_recording(seconds=20.0)
    save_recording(recording, folder / "rec.xdf")
    save_model(random_model(recording, small_recipe()), folder / "model.safetensors")
    (folder / "words.txt").write_text("axe\nbee\n")
    return folder


# the fast set: each place once, each kind once
QUICK = {(place, "junk") for place in PLACES if "." not in place or place.startswith("decode")}
QUICK |= {("decode REC.xdf", kind) for kind in KINDS} | {("fit --events", kind) for kind in KINDS}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        pytest.param(place, kind, marks=() if (place, kind) in QUICK else pytest.mark.slow)
        for place in PLACES
        for kind in KINDS
    ],
)
def test_a_path_that_is_none(
    place: str, kind: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, where, suffix = PLACES[place]
    out, bad = tmp_path / "out", tmp_path / "bad" / f"wrong.{suffix}"
    out.mkdir()
    if kind not in ("below a file", "nowhere"):
        bad.parent.mkdir()
    KINDS[kind](bad)
    program, *arguments = GOOD[name]
    if where.startswith("--"):
        arguments = [*_without(arguments, where), where, str(bad)]
    else:
        arguments[arguments.index(where)] = str(bad)
    if (place.partition(" ")[2], kind) in FINE:
        pytest.skip("that is what it takes")
    ran = call(
        capsys, *(a.format(**{"in": inputs, "out": out}) for a in arguments), program=program
    )
    assert ran.code in (1, 2), ran
    assert ran.err.startswith("error: "), ran
    assert ran.err.count("\n") == 1, ran.err
    assert not RAW.search(ran.err), ran.err
    assert "wrong" in ran.err, ran.err
    assert str(tmp_path) not in ran.err.replace(str(bad), ""), ran.err
    assert list(out.iterdir()) == []


def _without(arguments: list[str], option: str) -> list[str]:
    if option not in arguments:
        return arguments
    at = arguments.index(option)
    return arguments[:at] + arguments[at + 2 :]
