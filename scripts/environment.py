"""Set up the virtual environment that the other scripts run in; standard library only.

`enter` installs the project into ``.venv`` if its requirements have changed, then restarts the
calling script inside it.

PyTorch is installed first and alone, in a fixed version and without CUDA, which is several
gigabytes on Linux. Where pip finds no such build, as on a Linux that asks PyPI alone, that is said
before the one with CUDA is downloaded. ``RT_DECODER_TORCH`` selects another (any pip requirement, such
as ``torch==2.9.1``), with CUDA where that has it; if it is empty, pip chooses.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
VENV = REPO / ".venv"
TORCH = os.environ.get("RT_DECODER_TORCH", "torch==2.13.0")
NO_CUDA = [] if "RT_DECODER_TORCH" in os.environ else ["-c", "scripts/no-cuda.txt"]
OTHERWISE = f"""pip found no PyTorch without CUDA: taking the one with it, several gigabytes unless it is there already.
To avoid that, stop with Ctrl-C, install a CPU build into {VENV.name} as PyTorch's site says, and set
RT_DECODER_TORCH to nothing."""


def _python() -> Path:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return VENV / folder / name


def _wanted(extra: str) -> str:
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    return hashlib.sha256(f"{extra}\n{TORCH}\n{sys.version}\n{text}".encode()).hexdigest()


def _pip(*arguments: str) -> bool:
    """Install; False if pip could not."""
    command = [str(_python()), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    return not subprocess.run([*command, *arguments], cwd=REPO).returncode


def _install(extra: str) -> None:
    """Install PyTorch, then the project."""
    limits = NO_CUDA
    if TORCH and not _pip(*TORCH.split(), *limits):
        if not limits:
            sys.exit(f"error: could not install {TORCH}; see pip's message above")
        print(OTHERWISE, flush=True)
        limits = []
        if not _pip(*TORCH.split()):
            sys.exit(f"error: could not install {TORCH}; see pip's message above")
    if not _pip("--editable", f".[{extra}]", *limits):
        sys.exit(f"error: could not install .[{extra}]; see pip's message above")


def enter(extra: str) -> None:
    """Install the project with `extra` into ``.venv`` if needed, and run the caller inside it."""
    if sys.version_info < (3, 11):  # noqa: UP036  (this runs before anything is installed)
        sys.exit(f"error: need Python 3.11 or later, got {sys.version.split()[0]}")
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    stamp = VENV / f".rt-decoder-{extra}"
    if not (stamp.is_file() and stamp.read_text() == _wanted(extra) and _python().is_file()):
        print(f"setting up {VENV.name} (once; downloads PyTorch and more) ...", flush=True)
        if not _python().is_file():
            venv.create(VENV, with_pip=True)
        _install(extra)
        stamp.write_text(_wanted(extra))
    command = [str(_python()), *sys.argv]
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit("error: environment.py is a module of scripts/demo, scripts/test and scripts/check")
