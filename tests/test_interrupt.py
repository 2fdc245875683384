"""A signal is heard wherever it comes, also where Python lets nothing raise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rt_decoder.commands.interrupt import stop_on_signals

ROOT = Path(__file__).parents[1]

# a program that is interrupted in a finalizer, as an import may be, and works on
PROGRAM = """
import signal
import time
from contextlib import nullcontext

from rt_decoder.commands.interrupt import interruptible


class Finalized:
    def __del__(self):
        signal.raise_signal(signal.{signal})
        time.sleep(0)


def main():
    with {hearing}:
        Finalized()
        end = time.monotonic() + 60.0
        while time.monotonic() < end:
            time.sleep(0.001)
    print("not interrupted")
"""


@pytest.mark.parametrize(
    ("hearing", "signal_name"),
    [("nullcontext()", "SIGINT"), ("interruptible()", "SIGINT"), ("interruptible()", "SIGTERM")],
)
def test_an_interrupt_in_a_finalizer_ends_the_program(
    hearing: str, signal_name: str, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(hearing=hearing, signal=signal_name))
    ran = subprocess.run(
        [sys.executable, "-c", "from rt_decoder.__main__ import start; start('program')"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=120.0,
    )  # fmt: skip
    assert ran.returncode == 130, ran
    assert ran.stdout == ""
    assert ran.stderr == "error: interrupted; nothing was written\n"


# a session whose loop asks at once, or whose step under way does not
ASKED = """
import signal
import time

from rt_decoder.commands.interrupt import interruptible, stop_on_signals


def main():
    with interruptible(), stop_on_signals() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        end = time.monotonic() + {busy}
        while not stop.came or time.monotonic() < end:
            time.sleep(0.001)
        assert stop()
    print("ended in order")
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a wakeup descriptor")
@pytest.mark.parametrize(("busy", "said"), [(0.0, 0), (3.0, 1)])
def test_a_signal_that_is_not_asked_for_in_time_is_told_once(
    busy: float, said: int, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(ASKED.format(busy=busy))
    ran = subprocess.run(
        [sys.executable, "-c", "from rt_decoder.__main__ import start; start('program')"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=120.0,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "ended in order\n"), ran
    told = "interrupted: ending once the step under way is done\n"
    assert ran.stderr in ([told] if said else ["", told])  # a machine may be slow to ask


def test_a_signal_raises_until_the_work_asks() -> None:
    """A session that opens its stream asks nobody, and one whose loop runs ends in order."""
    with stop_on_signals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with stop_on_signals() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        assert stop.came
