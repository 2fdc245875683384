"""What is told of the package as a whole: its version, and that it is typed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import rt_decoder

REPO = Path(__file__).resolve().parents[1]
VERSION = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_version_is_that_of_the_project():
    assert rt_decoder.__version__ == VERSION


def test_citation_and_changelog_tell_this_version():
    citation = (REPO / ".github" / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {VERSION}" in citation.splitlines()
    changelog = (REPO / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{VERSION}]" in changelog


def test_version_costs_nothing_at_import():
    code = "import sys, rt_decoder; print('importlib.metadata' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=REPO
    )
    assert ran.stdout.strip() == "False"


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rt_decoder.nothing


@pytest.mark.parametrize("name", ["rt_decoder", "calibration"])
def test_packages_are_typed(name):
    assert files(name).joinpath("py.typed").is_file()
