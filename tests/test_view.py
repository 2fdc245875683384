"""The lines that `run` keeps up to date on a terminal."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from rt_decoder.commands import view
from rt_decoder.commands.view import View
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import replay
from rt_decoder.signal import Readout
from tests.lsl_loopback import wait_for
from tests.small import REPO, command_line, save_small, small_recording

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor


def readout(seq: int, **fields: object) -> Readout:
    answer = Readout(
        seq=seq, kind="event", label="the", index=100 * seq, onset=float(seq), time=seq + 1.0,
        words=("the", "and"), scores=(0.3, 0.1), probabilities=(0.71, 0.12), abstained=False,
        bits=2.0, quality=0.98, reasons=(), latency_ms=0.85, late=False, fit="fits",
    )  # fmt: skip
    return answer._replace(**fields)


def event(name: str, **details: object) -> dict[str, object]:
    return {"type": "event", "event": name, "time": 1.0, "index": 5, **details}


class Slow(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.goes_on = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.is_asked.set()
        self.goes_on.wait()
        return super().write(text)


def seen(shown: View, file: io.StringIO, *, counts: Counter[str] | None = None) -> str:
    with shown.shown(counts or Counter()):
        pass
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())


def console(file: io.StringIO) -> Console:
    return Console(file=file, force_terminal=True, width=120, color_system=None)


def test_the_essentials_are_shown() -> None:
    file = io.StringIO()
    shown = View(20.0, console(file))
    for seq in range(8):
        shown.on_readout(readout(seq))
    shown.on_readout(readout(8, abstained=True, reasons=("muscle",), late=True, latency_ms=25.0))
    shown.on_event(event("channel_replaced", channel="C3"))
    shown.on_event(event("stale", silent_s=0.4))
    one = {"value": 0.31, "low": 0.2, "high": 0.4, "chance": 0.08}
    shown.on_score({"n": 9, "n_outside": 0, "verdict": "above chance since event 4", "top_1": one})
    text = seen(shown, file, counts=Counter(lost_samples=12))
    for part in (
        "STALE", "like calibration: fits", "9 readouts, 1 abstained", "the -> the 0.71  and 0.12",
        "abstained (muscle)", "budget 20 ms, 1 late", "above chance since event 4", "bad channels: C3",
        "12 samples", "no samples for too long",
    ):  # fmt: skip
        assert part in text, part
    assert "    3 " not in text  # only the newest five
    assert file.getvalue().endswith(SHOW) or file.getvalue().rindex(SHOW) > file.getvalue().rindex(
        HIDE
    )


def test_a_channel_that_returned_is_not_bad() -> None:
    file = io.StringIO()
    shown = View(20.0, console(file))
    shown.on_event(event("channel_replaced", channel="C3"))
    shown.on_event(event("channel_returned", channel="C3"))
    assert "bad channels: none" in seen(shown, file)


def test_names_from_a_stream_cannot_steer_the_terminal() -> None:
    file = io.StringIO()
    shown = View(20.0, console(file))
    shown.on_readout(readout(0, label="\x1b[2Jgone"))
    shown.on_event(event("channel_replaced", channel="[red]\x1b[2J"))
    assert "\x1b[2J" not in (seen(shown, file), file.getvalue())[1]


def test_a_terminal_that_is_held_up_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "CLOSE_TIMEOUT", 0.1)
    file = Slow()
    shown = View(20.0, console(file))
    with shown.shown(Counter()):
        wait_for(file.is_asked.is_set)
        for seq in range(10_000):  # returns, and keeps a bounded number
            shown.on_readout(readout(seq))
            shown.on_event(event("gap"))
    assert len(shown._events) == 256
    file.goes_on.set()
    wait_for(lambda: "view" not in [thread.name for thread in threading.enumerate()])


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    shown = View(20.0, console(Gone()))
    with shown.shown(Counter()):
        shown.on_readout(readout(0))
        wait_for(lambda: "view" not in [thread.name for thread in threading.enumerate()])


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.skipif(os.name == "nt", reason="no pty")
def test_ctrl_c_leaves_the_terminal_in_order(source_id: str, tmp_path: Path) -> None:
    import pty

    model = tmp_path / "me.rtd.safetensors"
    save_small(model)
    recording = small_recording(seconds=60.0)
    sender = threading.Thread(
        target=replay, args=(recording, recording.markers, ReplayOptions(wait=120.0)),
        kwargs={"name": source_id, "source_id": source_id},
    )  # fmt: skip
    master, slave = pty.openpty()
    run = ("run", "--model", model, "--name", source_id, "--markers", f"{source_id}-markers",
           "--force", "--outlet", "", "--timeout", "60", "--until-lost")  # fmt: skip
    process = subprocess.Popen(
        command_line(*run), stdin=slave, stdout=slave, stderr=slave, cwd=REPO,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )  # fmt: skip
    os.close(slave)
    told = bytearray()

    def read() -> None:
        while True:
            try:
                told.extend(os.read(master, 65536))
            except OSError:  # the other end is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    sender.start()
    try:
        wait_for(lambda: b" -> word" in told)
        process.send_signal(signal.SIGINT)
        assert process.wait(60.0) == 0
    finally:
        process.kill()
        reader.join(60.0)
        os.close(master)
        sender.join()
    text = told.decode()
    assert "LIVE" in text
    assert text.count(HIDE) == text.count(SHOW) > 0
    after = text[text.rindex(SHOW) :]
    assert HIDE not in after
    assert "ended: " in after
    assert "lost: " in after
    assert "Traceback" not in text
    assert not re.search(r"\d{4}-\d\d-\d\d .*(INFO|WARN|ERR)", text)  # liblsl's own lines
