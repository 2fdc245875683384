"""Fixtures for all tests; the LSL configuration is set before liblsl is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.browser import Browser, browsing, find_browser

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A tab of a headless Chromium, or a skip where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip("no chromium is on the path (RT_DECODER_CHROMIUM names one)")
    with browsing(program, tmp_path_factory.mktemp("profile")) as found:
        yield found
