"""Fixtures for all tests; the LSL configuration is set before liblsl is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.lsl_loopback"]

REPO = Path(__file__).resolve().parents[1]
KERNELS = REPO / "rt_decoder" / "kernels"


def pytest_sessionstart() -> None:
    """Drop kernels that were cached before the options changed: numba does not look at these."""
    changed = (KERNELS / "options.py").stat().st_mtime
    for cached in (KERNELS / "__pycache__").glob("*.nb[ci]"):
        if cached.stat().st_mtime < changed:
            cached.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings, or a skip that says why."""
    folder = Path(os.environ.get("RT_DECODER_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}: set RT_DECODER_DATA")
    return folder
