"""What is told of the package as a whole: its version, how it is installed, and that it is typed."""

from __future__ import annotations

import os
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


def test_what_the_readme_says_of_a_pytorch_with_cuda_that_is_there(tmp_path: Path) -> None:
    """With the constraints pip refuses in those words; without, it keeps what is there."""
    for name, needs in (("torch-9.0", "Requires-Dist: triton==3.0\n"), ("triton-3.0", "")):
        info = tmp_path / f"{name}.dist-info"
        info.mkdir()
        kind, version = name.split("-")
        text = f"Metadata-Version: 2.1\nName: {kind}\nVersion: {version}\n{needs}"
        (info / "METADATA").write_text(text)
        (info / "RECORD").touch()
    words = "The user requested (constraint) triton<0"
    assert words in (REPO / "README.md").read_text(encoding="utf-8")
    alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PYTHONPATH": str(tmp_path)}
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "torch"]

    def install(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*pip, *more], env=os.environ | alone, capture_output=True, text=True, timeout=600
        )

    refused = install("-c", str(REPO / "scripts/no-cuda.txt"))
    assert (refused.returncode, words in refused.stdout + refused.stderr) == (1, True)
    kept = install()
    assert (kept.returncode, "already satisfied: torch" in kept.stdout) == (0, True), kept.stderr
