"""What cases of refused calls share: inputs that are good, and what a sentence has to be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from edge_cases.case import Ran, rt_calibrate, rt_decoder

from calibration.demo import save_recording
from rt_decoder.files.model_file import save_model
from rt_decoder.files.recording import Recording
from tests.small import random_model, small_recipe, small_recording

REPO = Path(__file__).resolve().parents[2]
RAW = ("Traceback", "[Errno", "NoneType", "codec can't", "HeaderTooLarge", "header too large")


@lru_cache(maxsize=1)
def small() -> Recording:
    return small_recording(seconds=20.0)


def write_inputs(folder: Path) -> None:
    save_recording(small(), folder / "rec.xdf")  # and rec.tsv
    save_model(random_model(small(), small_recipe()), folder / "m.safetensors")


def sentence(ran: Ran, *words: str, code: tuple[int, ...] = (1, 2)) -> str:
    assert ran.code in code, ran
    assert ran.err.startswith("error: "), ran.err[-300:]
    assert ran.err.count("\n") == 1, ran.err[-600:]
    assert not any(raw in ran.err for raw in RAW), ran.err
    for word in words:
        assert word in ran.err, (word, ran.err)
    return f"refused: {ran.err.removeprefix('error: ').strip()}"


def decode(folder: Path, *more: str | Path) -> Ran:
    return rt_decoder(
        "decode", "--force", folder / "rec.xdf", "--model", folder / "m.safetensors",
        "--jsonl", folder / "l.jsonl", *more,
    )  # fmt: skip


def fit(folder: Path, *more: str | Path) -> Ran:
    return rt_calibrate(
        "fit", folder / "rec.xdf", "--events", folder / "rec.tsv", "-o", folder / "o.safetensors",
        *more,
    )  # fmt: skip


@contextmanager
def no_cleaning() -> Iterator[None]:
    """Whatever is refused after minutes of cleaning fails the case."""
    with patch("calibration.cleaning.chain.fit_cleaning", side_effect=AssertionError("cleaned")):
        yield


@contextmanager
def missing(*names: str) -> Iterator[None]:
    """Packages that cannot be imported for a while."""
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def program(
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
