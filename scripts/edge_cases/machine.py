"""Caches, terminals, texts from outside."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from edge_cases.case import Ran, case, rt_decoder

from calibration.demo import save_recording
from rt_decoder.files.model_file import save_model
from tests.small import WORDS, random_model, small_recipe, small_recording

REPO = Path(__file__).resolve().parents[2]
ESCAPE = "axe\x1b[2J\x1b[1;1H\x9b31m\u202ebee\r\n"  # clears a screen, colours, turns text around


def _program(
    *arguments: str | Path, at: Path = REPO, program: str = "rt_decoder", **environment: str | None
) -> Ran:
    """Run a program in a process of its own; an environment variable that is None is unset."""
    env = os.environ | {"PYTHONPATH": str(at), "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in environment.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    ran = subprocess.run(
        [sys.executable, "-m", program, *map(str, arguments)], cwd=at, env=env,
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    return Ran(
        ran.returncode, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
    )


def _inputs(folder: Path) -> None:
    recording = small_recording(seconds=20.0)
    save_recording(recording, folder / "rec.xdf")
    save_model(random_model(recording, small_recipe()), folder / "m.safetensors")


def _decoding(folder: Path, **how: str | Path | None) -> Ran:
    return _program(
        "decode", folder / "rec.xdf", "--model", folder / "m.safetensors", "--jsonl",
        folder / "l.jsonl", **how,
    )  # fmt: skip


def _readouts(folder: Path) -> list[str]:
    """Winning words of the log."""
    lines = map(json.loads, (folder / "l.jsonl").read_text(encoding="utf-8").splitlines())
    return [line["top"][0][0] for line in lines if line["type"] == "readout" and line["top"]]


def _installed(folder: Path) -> Path:
    """A copy of the programs that has no place for compiled kernels beside them."""
    place = folder / "install"
    for name in ("rt_decoder", "calibration"):
        shutil.copytree(REPO / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "rt_decoder" / "kernels" / "__pycache__").write_text("no folder")
    return place


# --- where kernels are kept


def _without_cache(folder: Path, **where: str | None) -> str:
    _inputs(folder)
    (folder / "file").write_text("no folder")
    ran = _decoding(folder, at=_installed(folder), NUMBA_CACHE_DIR=None, **where)
    assert ran.code == 0, ran
    assert ran.err.count("warning: need a folder for compiled kernels") == 1, ran.err
    assert "Traceback" not in ran.err
    assert len(_readouts(folder)) > 5
    return "compiled in memory, said once, decoded"


@case("machine", "no cache: read-only install, home that is a file", "traceback at import")
def _(folder: Path) -> str:
    home = str(folder / "file")
    return _without_cache(folder, HOME=home, XDG_CACHE_HOME=None, RT_DECODER_CACHE=None)


@case("machine", "no cache: RT_DECODER_CACHE empty", "traceback at import")
def _(folder: Path) -> str:
    return _without_cache(folder, RT_DECODER_CACHE="")


def _info(**environment: str | None) -> tuple[str, Ran]:
    ran = _program("info", "--json", **environment)
    assert ran.code == 0, ran
    return json.loads(ran.out.splitlines()[-1])["kernel_cache"], ran


@case("machine", "info names the cache", "not told")
def _(folder: Path) -> str:
    (folder / "kept").mkdir(mode=0o700)
    told, _ = _info(NUMBA_CACHE_DIR=str(folder / "kept"))
    assert told.startswith(str(folder / "kept")), told
    return "info tells kernel_cache"


def _open_folder(folder: Path, mode: int) -> str:
    kept, own = folder / "kept", folder / "own"
    kept.mkdir(mode=0o700)
    first, _ = _info(NUMBA_CACHE_DIR=str(kept), RT_DECODER_CACHE=str(own))
    Path(first).chmod(mode)
    told, _ = _info(NUMBA_CACHE_DIR=str(kept), RT_DECODER_CACHE=str(own))
    assert told != first
    return f"not used at mode {mode:o}"


for _mode in (0o777, 0o775):
    case("machine", f"cache that others can write to, {_mode:o}", "loaded: whatever lay there ran")(
        lambda folder, mode=_mode: _open_folder(folder, mode)
    )


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "halved": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "a wrong byte each": lambda content: (
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0xFF])
        + content[len(content) // 2 + 1 :]
    ),
    "zeros": lambda content: bytes(len(content)),
}  # fmt: skip


def _damaged(folder: Path, how: str) -> str:
    _inputs(folder)
    kept = folder / "kept"
    kept.mkdir(mode=0o700)
    place = Path(_info(NUMBA_CACHE_DIR=str(kept))[0])
    shutil.copytree(Path(_info(NUMBA_CACHE_DIR=None)[0]), place, dirs_exist_ok=True)
    place.chmod(0o700)
    assert _decoding(folder, NUMBA_CACHE_DIR=str(kept)).code == 0
    words = _readouts(folder)
    files = [path for path in place.rglob("*.nbc")][:4]
    whole = {path: path.read_bytes() for path in files}
    for path, content in whole.items():
        path.write_bytes(DAMAGE[how](content))
    (folder / "l.jsonl").unlink()
    ran = _decoding(folder, NUMBA_CACHE_DIR=str(kept))
    assert ran.code == 0, ran
    assert _readouts(folder) == words
    n = sum(path.read_bytes() != DAMAGE[how](content) for path, content in whole.items())
    return f"same readouts; {n} of {len(files)} damaged files were needed, and were rebuilt"


for _how in DAMAGE:
    case("machine", f"kernel cache, {_how}", "segmentation fault, or a traceback of pickle")(
        lambda folder, how=_how: _damaged(folder, how)
    )


# --- text from outside


def _is_plain(text: str) -> None:
    found = re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert found is None, repr(text[max(0, found.start() - 40) : found.end() + 40])


def _named(folder: Path, label: str) -> None:
    """A recording whose first marker has another label."""
    recording = small_recording(seconds=20.0)
    first = recording.markers[0]._replace(label=label)
    save_recording(replace(recording, markers=(first, *recording.markers[1:])), folder / "rec.xdf")
    save_model(random_model(recording, small_recipe()), folder / "m.safetensors")


@case("machine", "label that moves the cursor, in a log", "kept as it is (right)")
def _(folder: Path) -> str:
    _named(folder, ESCAPE)
    ran = rt_decoder(
        "decode", folder / "rec.xdf", "--model", folder / "m.safetensors", "--jsonl",
        folder / "l.jsonl", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran
    _is_plain(ran.out + ran.err)
    lines = map(json.loads, (folder / "l.jsonl").read_text(encoding="utf-8").splitlines())
    assert ESCAPE.strip() in {line.get("label", "").strip() for line in lines}
    return "terminal clean; the log holds the label exactly, escaped"


@case("machine", "label that moves the cursor, in a session", "moved the operator's cursor")
def _(folder: Path) -> str:  # noqa: ARG001
    from rt_decoder.commands.console import show_lines
    from rt_decoder.commands.run import event_text, readout_text
    from tests.small import random_model as _model

    assert _model is not None
    event = {"type": "event", "event": "marker_lost", "index": 3, "time": 0.0, "label": ESCAPE}
    out = io.StringIO()
    with patch.object(sys, "stdout", out):
        show_lines(event_text(event))
    _is_plain(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert callable(readout_text)
    return out.getvalue().strip()


@case("machine", "label of 100,000 characters", "filled the terminal")
def _(folder: Path) -> str:  # noqa: ARG001
    from rt_decoder.commands.run import event_text

    event = {
        "type": "event",
        "event": "marker_lost",
        "index": 3,
        "time": 0.0,
        "label": "x" * 100_000,
    }
    assert len(event_text(event)) < 1000
    return f"{len(event_text(event))} characters are shown"


@case("machine", "file name that moves the cursor", "moved the operator's cursor")
def _(folder: Path) -> str:
    ran = rt_decoder("inspect", folder / "m\x1b[2J\x9b1m.safetensors")
    assert ran.code == 1, ran
    _is_plain(ran.err)
    return ran.err.strip()


@case("machine", "stream name that moves the cursor", "moved the operator's cursor")
def _(folder: Path) -> str:  # noqa: ARG001
    from rt_decoder.signal import SignalInfo
    from rt_decoder.sinks.outlets import data_outlet

    name = f"edges-\x1b[2J{os.getpid()}"
    outlet = data_outlet(
        "edges-\u202e\x7f" + str(os.getpid()),
        SignalInfo(250.0, ("Fz",), ("eeg",), ("V",)),
        name[:5],
    )
    ran = rt_decoder("streams", "--wait", "1.2", "--json")
    del outlet
    assert ran.code == 0, ran
    assert str(os.getpid()) in ran.out
    _is_plain(ran.out)
    return "shown as escapes"


def _words_of(encoding: str, folder: Path) -> Ran:
    recording = small_recording(seconds=20.0)
    items = ("épée", "字", *WORDS[2:])
    save_model(random_model(recording, small_recipe(), items=items), folder / "字.safetensors")
    return _program("inspect", folder / "字.safetensors", "--json", PYTHONIOENCODING=encoding)


@case("machine", "terminal of ASCII", "UnicodeEncodeError")
def _(folder: Path) -> str:
    ran = _words_of("ascii:strict", folder)
    assert ran.code == 0, ran
    json.loads(ran.out.splitlines()[-1])
    missing = _program("inspect", folder / "épée", PYTHONIOENCODING="ascii:strict")
    assert missing.err.startswith("error: no model file"), missing
    return missing.err.strip()


@case("machine", "terminal of Latin-1", "UnicodeEncodeError")
def _(folder: Path) -> str:
    ran = _words_of("latin-1:strict", folder)
    assert ran.code == 0, ran
    return "shown with a replacement"


@case("machine", "terminal of ASCII, printing thread", "the thread died: no line more, unsaid")
def _(folder: Path) -> str:  # noqa: ARG001
    program = (
        "import sys, typer\n"
        "from rt_decoder.commands.console import add_commands, app_of, run_app, show_lines\n"
        "from rt_decoder.sinks.worker import Worker\n"
        "def say() -> None:\n"
        "    '''Say.\n\n    Example: say\n    '''\n"
        "    worker = Worker('terminal', 8)\n"
        "    for line in ('ein', '字', 'drei'):\n"
        "        worker.put(lambda line=line: show_lines(line))\n"
        "    worker.close()\n"
        "app = app_of('x', 'x')\nadd_commands(app, say)\nsys.argv = ['x', 'say']\nrun_app(app)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(REPO), "PYTHONIOENCODING": "ascii:strict"},
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["ein", "\\u5b57", "drei"], ran
    return "ein, \\u5b57, drei"


@case("machine", "reader of the output that has gone", "error: [Errno 32] Broken pipe, exit 1")
def _(folder: Path) -> str:
    _inputs(folder)
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "rt_decoder", "inspect", str(folder / "m.safetensors")], cwd=REPO,
        env=os.environ | {"PYTHONPATH": str(REPO)}, stdout=writing, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return "ends well, without a word"


def _report_of(folder: Path, names: tuple[str, ...]) -> str:
    from calibration.report.html import report_page
    from calibration.report.stretch import Stretch
    from rt_decoder.signal import FLAGS

    recording = small_recording(seconds=20.0)
    info = recording.info
    ch_names = (*names, *info.ch_names[len(names) :])
    info = replace(info, ch_names=ch_names, positions=None)
    recording = replace(recording, info=info)
    model = random_model(recording, small_recipe())
    n = 5000
    data = 1e-6 * np.random.default_rng(0).standard_normal((n, model.info.n_channels))
    events = np.arange(300, 4500, 250)
    stretch = Stretch(model.info, data, data, np.zeros(n, FLAGS), events, False)
    page = report_page(model, stretch)
    (folder / "r.html").write_text(page, encoding="utf-8")
    _is_plain(re.sub(r"base64,[^\"]*", "", page))
    return page


@case("machine", "channel named as a formula, in a report", "ParseFatalException of matplotlib")
def _(folder: Path) -> str:
    page = _report_of(folder, (r"$\frac$", "$$", "a$b_c^$"))
    assert page.count("<img") >= 2
    return "drawn as it is written"


@case("machine", "channel that moves the cursor or is HTML, in a report", "kept in the page")
def _(folder: Path) -> str:
    page = _report_of(folder, ("<script>x</script>", "F\x1b[2J\u202ez"))
    assert "<script>" not in page
    return "shown as text"


# --- this machine only


def _kept_here(folder: Path, gone: str) -> str:
    import socket

    _inputs(folder)
    config = folder / "rt_decoder-lsl-x.cfg"  # as if written by the program
    config.write_text("[lab]\nKnownPeers = {127.0.0.1}\n")
    replaced = patch.object(socket.socket, "setsockopt", side_effect=PermissionError(1, "no"))
    if gone == "system":
        replaced = patch.object(socket, "SO_BINDTODEVICE", None)
    said = []
    with replaced, patch.dict(os.environ, {"LSLAPICFG": str(config)}):
        for command in (
            ("replay", folder / "rec.xdf", "--wait", "0.1"),
            ("run", "--model", folder / "m.safetensors", "--name", "no", "--timeout", "0.1"),
        ):
            ran = rt_decoder(*command)
            assert ran.code == 2, ran
            assert "need --network" in ran.err, ran
            said.append(ran.err)
        without = rt_decoder(*command, "--outlet", "")  # offers nothing
        assert "need a stream" in without.err, without
    return said[0].strip()


@case("machine", "system without SO_BINDTODEVICE", "streams open to the network, unsaid")
def _(folder: Path) -> str:
    return _kept_here(folder, "system")


@case("machine", "container that forbids SO_BINDTODEVICE", "streams open to the network, unsaid")
def _(folder: Path) -> str:
    return _kept_here(folder, "permission")
