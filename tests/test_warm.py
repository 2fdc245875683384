"""Kernels are compiled ahead, by processes that end when they are asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rt_decoder.live import warm
from tests.lsl_loopback import wait_for
from tests.small import call

REPO = Path(__file__).resolve().parents[1]
CODE = """
from rt_decoder.commands.interrupt import interruptible
from rt_decoder.live.warm import warm

if __name__ == "__main__":
    with interruptible():
        warm(lambda done, n: print(done, n, flush=True))
"""


@pytest.mark.parametrize("kernel", warm.listed(), ids=lambda one: f"{one.file}.{one.name}")
def test_every_line_of_the_list_is_a_kernel(kernel: warm.Kernel) -> None:
    assert len(kernel.signature) == kernel.dispatcher.py_func.__code__.co_argcount
    assert "; ".join(map(warm.spelled, kernel.signature)) == kernel.types


def test_a_kernel_is_compiled_into_the_cache_and_a_wrong_line_is_refused(tmp_path: Path) -> None:
    line = next(" ".join(one) for one in warm.listed() if one.file == "ranks")
    ran = subprocess.run(
        [sys.executable, "-c", "from rt_decoder.live.warm import compile_asked; compile_asked()"],
        input=f"{line}\nranks rank_of int64; int64\n", capture_output=True, text=True, check=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, cwd=REPO,
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["compiled", "refused"]
    assert list(tmp_path.rglob("ranks.rank_of*.nbc"))


@pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_a_kernel_is_being_compiled(tmp_path: Path, number: int) -> None:
    """Its processes end with it, before they could have compiled all."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, cwd=REPO,
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline().split()
    assert first == ["0", str(len(warm.listed()))]
    children = wait_for(lambda: _children(process.pid))
    process.send_signal(number)
    _, err = process.communicate(timeout=120.0)
    assert "KeyboardInterrupt" in err
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert len(list(tmp_path.rglob("*.nbc"))) < len(warm.listed())


def _children(pid: int) -> list[str]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return listed.read_text().split() if listed.exists() else ["none"]


def test_the_command_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    ran = call(capsys, "warm", "--check")
    assert ran.code in (0, 1)
    assert " missing; in " in ran.out


@pytest.mark.slow
def test_the_list_holds_what_fits_and_sessions_compile() -> None:
    ran = subprocess.run(
        [sys.executable, str(REPO / "scripts" / "kernels.py")], capture_output=True, text=True,
        check=False, cwd=REPO,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
