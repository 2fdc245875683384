"""What a case is, and the table of all of them.

A case is a function of a folder to work in. It builds its situation there, asserts what is right,
and returns in a few words what it saw.
"""

from __future__ import annotations

import importlib
import io
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

KINDS = {
    "outputs": "an output that would destroy something",
    "clocks": "stamps that are not what they seem",
    "files": "recordings with gaps, several rates or several clocks",
    "items": "markers that are no stimuli, and the same item twice",
    "channels": "types, units, scale and names of channels",
    "refusals": "calls that cannot work, interrupted or not",
    "machine": "caches, terminals, texts from outside",
    "load": "streams that are lost, late, many, or not alone",
}
_CASES: list[Case] = []


class Case(NamedTuple):
    """A situation, what an earlier version did with it, and the function that tries it."""

    kind: str
    name: str
    before: str
    run: Callable[[Path], str]

    def tried(self) -> dict[str, Any]:
        """Try it in a new folder: kind, name, before, after and pass."""
        with tempfile.TemporaryDirectory(prefix="rt_decoder-edges-") as folder:
            try:
                after, passed = self.run(Path(folder)), True
            except Exception as error:  # noqa: BLE001  (the other cases are tried, too)
                after, passed = f"{type(error).__name__}: {error}"[:400], False
        return {
            "kind": self.kind, "name": self.name, "before": self.before, "after": after,
            "pass": passed,
        }  # fmt: skip


def case(kind: str, name: str, before: str) -> Callable[[Callable[[Path], str]], Callable]:
    """Enter a function into the table."""
    assert kind in KINDS

    def enter(run: Callable[[Path], str]) -> Callable[[Path], str]:
        _CASES.append(Case(kind, name, before, run))
        return run

    return enter


def cases() -> list[Case]:
    """All cases, a module of this folder a kind."""
    for kind in KINDS:
        if (Path(__file__).parent / f"{kind}.py").exists():
            importlib.import_module(f"{__package__}.{kind}")
    return _CASES


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def rt_decoder(*arguments: str | Path) -> Ran:
    """Run a command of `rt-decoder` in this process, as its program would."""
    from rt_decoder.commands.cli import app

    return _run(app, "rt-decoder", arguments)


def rt_calibrate(*arguments: str | Path) -> Ran:
    """Run a command of `rt-calibrate` in this process, as its program would."""
    from calibration.cli import app

    return _run(app, "rt-calibrate", arguments)


def _run(app: Any, program: str, arguments: tuple[str | Path, ...]) -> Ran:
    from rt_decoder.commands.console import run_app

    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = [program, *map(str, arguments)]
    code: Any = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            run_app(app)
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = before
    return Ran(int(code or 0), out.getvalue(), err.getvalue())
