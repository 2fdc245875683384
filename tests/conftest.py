"""Fixtures for all tests; the LSL configuration is set before liblsl is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.lsl_loopback"]

# No example has a deadline: on a busy machine any of them may pause. What hangs is ended by
# pytest-timeout.
# `.ci/run` draws the same examples each time: whether a change lands is no matter of luck.
settings.register_profile("busy", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("busy")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings, or a skip that says why."""
    folder = Path(os.environ.get("RT_DECODER_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}: set RT_DECODER_DATA")
    return folder
