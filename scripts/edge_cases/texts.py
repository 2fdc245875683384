"""Texts from outside: labels, names and files, on terminals and in reports."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from edge_cases.calls import REPO, program, write_inputs
from edge_cases.case import Ran, case, rt_decoder

from calibration.demo import save_recording
from rt_decoder.files.model_file import save_model
from tests.small import WORDS, random_model, small_recipe, small_recording

ESCAPE = "axe\x1b[2J\x1b[1;1H\x9b31m\u202ebee\r\n"  # clears a screen, colours, turns text around


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
        "decode", "--force", folder / "rec.xdf", "--model", folder / "m.safetensors", "--jsonl",
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
    from rt_decoder.commands.lines import event_text

    event = {"type": "event", "event": "marker_lost", "index": 3, "time": 0.0, "label": ESCAPE}
    out = io.StringIO()
    with patch.object(sys, "stdout", out):
        show_lines(event_text(event))
    _is_plain(out.getvalue())
    assert out.getvalue().count("\n") == 1
    return out.getvalue().strip()


@case("machine", "label of 100,000 characters", "filled the terminal")
def _(folder: Path) -> str:  # noqa: ARG001
    from rt_decoder.commands.lines import event_text

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
    return program("inspect", folder / "字.safetensors", "--json", PYTHONIOENCODING=encoding)


@case("machine", "terminal of ASCII", "UnicodeEncodeError")
def _(folder: Path) -> str:
    ran = _words_of("ascii:strict", folder)
    assert ran.code == 0, ran
    json.loads(ran.out.splitlines()[-1])
    missing = program("inspect", folder / "épée", PYTHONIOENCODING="ascii:strict")
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
    write_inputs(folder)
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
    assert page.count("<img") + page.count("<svg") >= 2
    return "drawn as it is written"


@case("machine", "channel that moves the cursor or is HTML, in a report", "kept in the page")
def _(folder: Path) -> str:
    page = _report_of(folder, ("<script>x</script>", "F\x1b[2J\u202ez"))
    assert "<script>" not in page
    return "shown as text"
