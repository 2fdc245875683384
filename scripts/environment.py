"""Set up the virtual environment that the other scripts run in; standard library only.

`enter` installs the project into ``.venv`` if its requirements have changed, then restarts the
calling script inside it.

PyTorch is installed first and alone, in a fixed version and without CUDA, which is several
gigabytes on Linux. Where pip finds no such build, it ends and says what to choose between.
``RT_DECODER_TORCH`` selects another (any pip requirement, such as ``torch==2.9.1``), with CUDA where
that has it; if it is empty, pip chooses.
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
OTHERWISE = f"""
If pip found no PyTorch without CUDA, choose one:
  RT_DECODER_TORCH={TORCH}   takes it with CUDA, several gigabytes
  RT_DECODER_TORCH=               takes what you have installed into {VENV.name}: the CPU build, as PyTorch's site says
"""


def _python() -> Path:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return VENV / folder / name


def _wanted(extra: str) -> str:
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    return hashlib.sha256(f"{extra}\n{TORCH}\n{sys.version}\n{text}".encode()).hexdigest()


def _pip(*arguments: str, otherwise: str = "") -> None:
    command = [str(_python()), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.run([*command, *arguments], cwd=REPO).returncode:
        what = " ".join(arguments)
        sys.exit(f"error: could not install {what}; see pip's message above{otherwise.rstrip()}")


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
        if TORCH:
            _pip(*TORCH.split(), *NO_CUDA, otherwise=OTHERWISE if NO_CUDA else "")
        _pip("--editable", f".[{extra}]", *NO_CUDA)
        stamp.write_text(_wanted(extra))
    command = [str(_python()), *sys.argv]
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit("error: environment.py is a module of scripts/demo, scripts/test and scripts/check")
